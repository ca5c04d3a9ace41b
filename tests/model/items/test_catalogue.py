import threading

import numpy as np
import pytest

from model.batch import id_code
from model.items import catalogue as module
from model.items.catalogue import EVENTS_ONLY, IN_CATALOGUE, REMOVED, Catalogue, KnownItem
from model.items.codes import item_code, item_codes
from model.items.item import InvalidItem, Item


def embed(columns):
    """Price and first vector number, so that a test sees what a vector was made from."""
    first = columns.vectors[:, 0] if columns.dimension else np.zeros(len(columns))
    return np.stack([np.nan_to_num(columns.log_prices), np.nan_to_num(first)], axis=1).astype(np.float32)


@pytest.fixture
def catalogue():
    return Catalogue(2, embed)


BOOTS = Item("1", "Boots", category="Shoes > Boots", brand="Acme", price=np.e - 1, in_stock=True, vector=[5.0, 1.0])


def known(catalogue, item_id):
    return catalogue.known_items([catalogue.row_of(item_id)])[0]


def test_what_is_put_can_be_read(catalogue):
    catalogue.put([BOOTS, Item("2")])
    view = catalogue.view
    assert len(view) == 2
    assert view.find(item_codes(["2", "1", "3"])).tolist() == [1, 0, -1]
    assert view.items([0])[0] == KnownItem(
        "1", "Boots", "Shoes > Boots", "Acme", pytest.approx(np.e - 1), True, IN_CATALOGUE
    )
    assert view.items([1])[0] == KnownItem("2", None, None, None, None, None, IN_CATALOGUE)
    assert view.categories.tolist() == [id_code("Shoes > Boots"), 0]
    assert view.levels[0].tolist() == [id_code("Shoes"), id_code("Shoes > Boots"), 0, 0]
    assert view.brands.tolist() == [id_code("acme"), 0]
    np.testing.assert_allclose(view.vectors, [[1, 5], [0, 0]])
    assert catalogue.row_of("3") == -1


def test_what_is_put_again_replaces_everything_that_was_known(catalogue):
    catalogue.put([BOOTS])
    catalogue.put([Item("1", "Lost"), Item("1", "Sandals", in_stock=False)])
    assert known(catalogue, "1") == KnownItem("1", "Sandals", None, None, None, False, IN_CATALOGUE)
    assert len(catalogue.view) == 1
    np.testing.assert_array_equal(catalogue.view.vectors, [[0, 0]])


def test_what_is_removed_or_out_of_stock_cannot_be_ordered(catalogue):
    catalogue.put([BOOTS, Item("2", in_stock=False), Item("3"), Item("4")])
    view = catalogue.view
    assert view.can_be_ordered.tolist() == [True, False, True, True]
    catalogue.remove([b"3", b"unknown"])
    assert view.can_be_ordered.tolist() == [True, False, False, True]
    catalogue.put([Item("3")])
    assert view.can_be_ordered.tolist() == [True, False, True, True]


def test_an_item_that_only_events_name_is_known_by_its_id_until_the_catalogue_names_it(catalogue):
    catalogue.put([BOOTS])
    names = ["1", "new", None, "new", ""]
    catalogue.learn(item_codes(names), names, np.array([7, 8, 0, 8, 0], np.uint16))
    assert len(catalogue.view) == 2
    assert known(catalogue, "new").state == EVENTS_ONLY
    assert catalogue.view.categories.tolist() == [id_code("Shoes > Boots"), 8]
    assert [catalogue.count(state) for state in (EVENTS_ONLY, IN_CATALOGUE, REMOVED)] == [1, 1, 0]
    catalogue.put([Item("new", "New")])
    assert known(catalogue, "new") == KnownItem("new", "New", None, None, None, None, IN_CATALOGUE)


def test_a_removed_item_does_not_come_back_by_events(catalogue):
    catalogue.put([BOOTS])
    catalogue.remove([b"1"])
    catalogue.learn(item_codes(["1"]), ["1"])
    assert known(catalogue, "1").state == REMOVED


def test_no_more_items_are_learned_from_events_than_fit(catalogue, monkeypatch):
    monkeypatch.setattr(module, "MOST_LEARNED", 3)
    names = [f"i{number}" for number in range(5)]
    catalogue.learn(item_codes(names), names)
    catalogue.learn(item_codes(["other"]), ["other"])
    assert len(catalogue.view) == 3
    catalogue.put([Item("other")])
    assert len(catalogue.view) == 4


def test_a_topic_that_is_read_again_takes_away_what_it_no_longer_names(catalogue):
    catalogue.begin()
    catalogue.put([Item("1"), Item("2")])
    catalogue.learn(item_codes(["3"]), ["3"])
    catalogue.complete()
    assert catalogue.view.states.tolist() == [IN_CATALOGUE, IN_CATALOGUE, EVENTS_ONLY]
    catalogue.begin()
    catalogue.put([Item("2")])
    catalogue.complete()
    assert catalogue.view.states.tolist() == [REMOVED, IN_CATALOGUE, EVENTS_ONLY]


def test_the_first_vectors_length_is_the_catalogues(catalogue):
    catalogue.put([BOOTS])
    assert catalogue.vector_dimension == 2
    with pytest.raises(InvalidItem):
        catalogue.put([Item("2", vector=[1.0])])
    catalogue.put([Item("3")])


def test_a_view_keeps_its_rows_while_others_are_added(catalogue):
    catalogue.put([BOOTS])
    view = catalogue.view
    catalogue.put([Item(f"i{number}") for number in range(3000)])
    assert len(view) == len(view.vectors) == 1
    assert view.find(item_codes(["i5"])).tolist() == [-1]
    assert len(catalogue.view) == 3001
    rows = catalogue.view.find(item_codes([f"i{number}" for number in range(3000)]))
    assert rows.tolist() == list(range(1, 3001))


def test_two_items_of_one_code_have_a_row_each(catalogue, monkeypatch):
    monkeypatch.setattr("model.items.columns.item_codes", lambda ids: np.ones(len(ids), np.uint32))
    catalogue.put([Item("1", "one"), Item("2", "two")])
    assert (known(catalogue, "1").title, known(catalogue, "2").title) == ("one", "two")
    assert catalogue.view.find(np.ones(1, np.uint32)).tolist() == [0]


def test_a_long_title_is_cut_between_characters(catalogue):
    catalogue.put([Item("1", "ü" * 200)])
    assert known(catalogue, "1").title == "ü" * 127


def _learn(catalogue, first: int) -> None:
    for start in range(first, first + 1000, 100):
        names = [f"e{start + number}" for number in range(100)]
        catalogue.learn(item_codes(names), names)


def _read(catalogue, ended: threading.Event, failures: list[str]) -> None:
    while not ended.is_set():
        view = catalogue.view
        row = len(view) - 1
        if row < 0:
            continue
        item_id = view.items([row])[0].item_id
        if view.codes[row] != item_code(item_id) or view.find(view.codes[row:])[0] != row:
            failures.append(item_id)


def test_threads_that_learn_and_read_find_whole_rows_while_items_are_put(catalogue):
    failures, ended = list[str](), threading.Event()
    readers = [threading.Thread(target=_read, args=[catalogue, ended, failures]) for _ in range(2)]
    writers = [threading.Thread(target=_learn, args=[catalogue, first]) for first in (0, 1000)]
    for thread in (*readers, *writers):
        thread.start()
    for start in range(0, 3000, 100):
        catalogue.put([Item(f"i{start + number}", f"title {start + number}") for number in range(100)])
    for thread in writers:
        thread.join()
    ended.set()
    for thread in readers:
        thread.join()
    assert failures == []
    assert len(catalogue.view) == 5000
    assert known(catalogue, "i2999").title == "title 2999"
