"""What is an item, and what is said of a record that is none."""

import json

import pytest

from model.items.item import InvalidItem, Item, decode_item, levels_of


def written(**fields) -> bytes:
    return json.dumps({"item_id": "i"} | fields).encode()


def refusal(value: bytes | None) -> tuple[str, str]:
    with pytest.raises(InvalidItem) as refused:
        decode_item(value)
    return refused.value.reason, refused.value.error


def test_every_field_of_an_item_is_kept():
    item = decode_item(
        written(
            title="Stiefel größe 42",
            description="赤い靴",
            category="Shoes > Boots",
            brand="Acme",
            price=12.9,
            currency="EUR",
            in_stock=True,
            vector=[0.5, -1],
            added_at=1_767_571_200_000,
            color="red",
        )
    )
    assert item == Item(
        "i", "Stiefel größe 42", "赤い靴", "Shoes > Boots", "Acme", 12.9, "EUR", True, [0.5, -1.0], 1_767_571_200_000
    )


def test_an_id_is_enough():
    assert decode_item(b'{"item_id": "i"}') == Item("i")


def test_what_is_written_in_other_types_is_the_same_item():
    odd = written(item_id=7, category=["Shoes", "Boots"], title=5, in_stock=3, price=1)
    assert decode_item(odd) == Item("7", title="5", category="Shoes > Boots", in_stock=True, price=1.0)


@pytest.mark.parametrize(
    ("given", "in_stock"),
    [
        (0, False),
        (2.5, True),
        ("in stock", True),
        ("in_stock", True),
        ("https://schema.org/OutOfStock", False),
        ("preorder", True),
        ("SoldOut", False),
        (None, None),
    ],
)
def test_stock_is_a_number_or_a_word_of_product_feeds(given, in_stock):
    assert decode_item(written(in_stock=given)).in_stock is in_stock


@pytest.mark.parametrize("given", [1_767_571_200_000, "1767571200000", "2026-01-05", "2026-01-05T01:00:00+01:00"])
def test_a_time_is_a_number_a_moment_or_a_day(given):
    assert decode_item(written(added_at=given)).added_at == 1_767_571_200_000


@pytest.mark.parametrize(
    ("value", "reason", "error"),
    [
        (None, "tombstone", "the record has no value (a tombstone)"),
        (b'{"item_id":', "json", "not JSON: expecting value at character 11"),
        (b"[1]", "object", "the value is JSON but not an object"),
        (b'{"item_id":"i","x":"\xff"}', "encoding", "invalid UTF-8 at byte 20"),
        (b'{"title":"t"}', "item_id", "item_id is missing"),
        (written(item_id=""), "item_id", "item_id is empty"),
        (written(item_id="ü" * 600), "item_id", "item_id has 1200 bytes, more than 1024"),
        (written(title=["t"]), "title", "title is an array, not a string"),
        (written(category=[1]), "category", "category is an array, but not of strings"),
        (written(price="12.90 EUR"), "price", "price is a string, not a number"),
        (written(price=-1), "price", "price is negative"),
        (written(in_stock="perhaps"), "in_stock", None),
        (written(in_stock=[1]), "in_stock", "in_stock is an array, neither a boolean nor a number nor a word"),
        (written(vector=1), "vector", "vector is a number, not an array of numbers"),
        (written(vector=[]), "vector", "vector has 0 numbers, not 1 to 4096"),
        (written(vector=[1, "2"]), "vector", "vector holds something else than numbers"),
        (written(vector=[1, True]), "vector", "vector holds something else than numbers"),
        (written(vector=[70_000]), "vector", "vector holds a number beyond 65,504, or none"),
        (written(vector=[float("nan")]), "vector", "vector holds something else than numbers"),
        (written(added_at=1_767_571_200), "added_at", "added_at is in seconds, not in milliseconds"),
        (written(added_at=5), "added_at", "added_at lies outside the years 2000 to 2099"),
        (written(added_at=True), "added_at", "added_at is neither epoch milliseconds nor an RFC 3339 time nor a day"),
        (written(added_at="2026-01-05T00:00:00"), "added_at", None),
        (written(added_at=1.5e12 + 0.5), "added_at", None),
        (written(added_at="soon"), "added_at", None),
        (written(x=float("nan")), "json", "the value holds NaN or Infinity, which JSON does not know"),
    ],
)
def test_an_error_names_the_field_and_what_is_wrong_with_it(value, reason, error):
    found = refusal(value)
    assert found[0] == reason
    assert error is None or found[1] == error


def test_a_vector_of_another_length_than_the_catalogues_is_refused():
    item = Item("i", vector=[1.0, 2.0])
    assert item.with_dimension(2) is item.with_dimension(None) is item
    with pytest.raises(InvalidItem, match="vector has 2 numbers, the catalogue's have 3") as refused:
        item.with_dimension(3)
    assert refused.value.reason == "vector"
    assert Item("j").with_dimension(3) == Item("j")


@pytest.mark.parametrize(
    ("category", "levels"),
    [
        ("Shoes", ["Shoes"]),
        ("Shoes > Boots", ["Shoes", "Shoes > Boots"]),
        ("Shoes/Boots", ["Shoes", "Shoes > Boots"]),
        ("Home > Kitchen/Dining", ["Home", "Home > Kitchen/Dining"]),
        ("a > b > c > d > e", ["a", "a > b", "a > b > c", "a > b > c > d"]),
        (" > ", []),
    ],
)
def test_a_categorys_levels_are_paths_from_its_root(category, levels):
    assert levels_of(category) == levels
