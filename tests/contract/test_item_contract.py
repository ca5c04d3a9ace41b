"""The schema of items agrees with the code, as far as JSON Schema can say it."""

import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.items.item import InvalidItem, Item, decode_item
from tests.harness.contract_schemas import validator

LEAST = {"item_id": "sku"}
FULL = LEAST | {
    "title": "Boots", "description": "warm", "category": "Shoes > Boots", "brand": "Acme", "price": 9.5,
    "currency": "EUR", "in_stock": "in_stock", "vector": [0.5, -1],
    "added_at": 1_767_571_200_000,
}  # fmt: skip
VALUES = [
    None, True, False, 0, -1, 7.5, -0.5, 1e300, "", "a", "x" * 1024, "x" * 1025, [], ["a"], ["a", 1], [None], {},
    {"a": "b"}, [1, 2.5], [65_504], [65_505], [-65_504], [True], [0.5] * 4096, [0.5] * 4097,
    1_767_571_200_000, "1767571200000", "2026-01-05", "2026-01-05T00:00:00Z", 4_102_444_800_000, 946_684_800_000,
    ["in stock"], "in stock", "out_of_stock", "preorder",
]  # fmt: skip
"""What a field may or may not be; each is tried in each field."""
FIELDS = [*Item.__struct_fields__, "unknown"]

texts = st.none() | st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
items = st.builds(
    Item,
    item_id=st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20),
    title=texts,
    description=texts,
    category=texts,
    brand=texts,
    price=st.none() | st.floats(0, 1e12),
    currency=texts,
    in_stock=st.none() | st.booleans(),
    vector=st.none() | st.lists(st.floats(-65_504, 65_504), min_size=1, max_size=3),
    added_at=st.none() | st.integers(946_684_800_000, 4_102_444_799_999),
)


def accepted(item: object) -> bool:
    try:
        decode_item(json.dumps(item).encode())
    except InvalidItem:
        return False
    return True


@pytest.mark.parametrize("name", FIELDS)
def test_a_field_is_valid_if_and_only_if_it_is_accepted(name):
    for item in (LEAST, FULL):
        for value in VALUES:
            if name == "in_stock" and isinstance(value, str) and value[:1] in {"", "a", "x", "1", "2"}:
                continue  # an unknown word, which the description speaks of
            changed = item | {name: value}
            assert validator("item").is_valid(changed) == accepted(changed), (name, value)


@given(items)
def test_every_item_is_read_as_it_is_written(item):
    written = msgspec.json.encode(item)
    assert decode_item(written) == item
    assert validator("item").is_valid(json.loads(written))


def test_the_schema_names_what_items_are_written_with():
    schema = validator("item").schema
    assert list(schema["properties"]) == [*Item.__struct_fields__]
    assert schema["required"] == ["item_id"]
