import numpy as np
import pytest

from model.batch import id_code
from model.items.codes import item_code, item_codes
from model.items.columns import PIECES, ItemColumns, columns_of
from model.items.item import InvalidItem, Item
from model.text import token_codes


def test_an_items_code_holds_the_code_by_which_states_know_it():
    codes = item_codes(["sku-1", None, "", "größe"])
    assert codes.dtype == np.uint32
    assert codes.tolist() == [item_code("sku-1"), 0, 0, item_code("größe")]
    assert (codes & 0xFFFF).tolist() == [id_code("sku-1"), 0, 0, id_code("größe")]
    assert len(set(item_codes([f"sku-{number}" for number in range(5000)]).tolist())) == 5000


def test_an_events_category_has_the_code_of_the_items():
    columns = columns_of([Item("i", category="Shoes/Boots"), Item("j", category="Shoes"), Item("k")])
    assert columns.categories.tolist() == [id_code("Shoes/Boots"), id_code("Shoes"), 0]
    assert columns.levels.tolist() == [
        [id_code("Shoes"), id_code("Shoes > Boots"), 0, 0],
        [id_code("Shoes"), 0, 0, 0],
        [0, 0, 0, 0],
    ]


def test_brands_are_the_same_however_they_are_capitalised():
    columns = columns_of([Item("i", brand="\uff21cme "), Item("j", brand="acme"), Item("k")])
    assert columns.brands[0] == columns.brands[1] != 0 == columns.brands[2]


def test_what_is_not_known_of_price_and_vector_is_nan():
    columns = columns_of([Item("i"), Item("j", price=0.0, vector=[1.0, 2.0]), Item("k", price=np.e - 1)])
    np.testing.assert_allclose(columns.log_prices, [np.nan, 0, 1], rtol=1e-6)
    np.testing.assert_array_equal(columns.vectors, np.array([[np.nan] * 2, [1, 2], [np.nan] * 2], np.float16))


def test_a_vector_of_another_length_is_refused():
    with pytest.raises(InvalidItem, match="vector has 1 numbers, the catalogue's have 2"):
        columns_of([Item("i", vector=[1.0, 2.0]), Item("j", vector=[1.0])])


def test_a_model_that_knows_no_vectors_reads_none():
    assert columns_of([Item("i", vector=[1.0, 2.0])], dimension=0).vectors.shape == (1, 0)


def test_words_of_title_and_description_have_the_codes_of_searches():
    (pieces,) = columns_of([Item("i", title="Red Boots", description="warm boots")]).pieces
    assert pieces[:3].tolist() == token_codes(["red boots warm"])[0, :3].tolist()


def test_words_of_one_stem_share_trigrams_and_no_trigram_is_a_word():
    first, second = columns_of([Item("i", title="running"), Item("j", title="runner")]).pieces
    assert len(set(first[first > 0]) & set(second)) >= 2
    assert token_codes(["run"])[0, 0] not in first


def test_a_long_text_leaves_room_for_trigrams():
    many = " ".join(f"word{number}" for number in range(100))
    (pieces,) = columns_of([Item("i", title="Boots", description=many)]).pieces
    assert (pieces > 0).sum() == 16 + 5 <= PIECES
    (pieces,) = columns_of([Item("i", title=many)]).pieces
    assert 16 < (pieces > 0).sum() <= PIECES


def test_columns_are_joined_and_taken():
    items = [Item("i", title="a"), Item("j", vector=[1.0])]
    joined = ItemColumns.concatenated([columns_of(items[:1]), columns_of(items[1:])])
    whole = columns_of(items)
    for name in ("codes", "levels", "pieces", "vectors"):
        np.testing.assert_array_equal(getattr(joined, name), getattr(whole, name))
    assert len(joined) == 2
    np.testing.assert_array_equal(joined.take(np.array([1])).vectors, [[1.0]])
