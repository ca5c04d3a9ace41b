"""Events of a shop with types and attributes of its own: scanned, and validated one by one."""

import json
from functools import partial

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from model.core.decode import decode_each, decode_events
from model.core.shop_tables import ShopTables
from model.shop import shop_of
from model.validate import validate_event
from tests.harness.records import event_fields
from tests.model.core.test_decode import assert_same_batch
from tests.model.own_shop import as_json, large_shop, own_events, shops
from tests.model.wire_values import literals

SHOP = shop_of(
    {
        "types": {"joined": "none", "one click": "purchase"},
        "attributes": {
            "brand": {"kind": "categorical"},
            "device": {"kind": "categorical", "from": "context.device"},
            "total": {"kind": "numeric", "from": "properties.total"},
            "deep": {"kind": "numeric", "from": "properties.cart.value"},
        },
    }
)
TABLES = ShopTables.of(SHOP)
HEAD = b'{"event_id":"e","user_id":"u","ts":1511539217000,"type":"view",'

SIZE = shop_of({"attributes": {"size": {"kind": "numeric", "from": "size"}}})

_names = st.sampled_from(["size", "total", "price", "brand", "device", "cart", "value", "attributes", "context"])
_flat = st.lists(st.tuples(_names, literals | st.sampled_from(["1.5", '"1.5"', '"red"', "true", "null"])), max_size=4)
_objects = _flat.map(lambda fields: "{" + ",".join(f"{json.dumps(name)}:{value}" for name, value in fields) + "}")
_fields = st.lists(
    st.tuples(_names | st.sampled_from(["properties"]), literals | _objects | st.sampled_from(["2", '"blue"'])),
    max_size=5,
)
_types = st.sampled_from(['"view"', '"joined"', '"Größe"', '"two words"', '"\\u006aoined"', '"never heard of"'])
records = st.builds(
    lambda event_type, fields: (
        '{"event_id":"e","user_id":"u","ts":1511539217000,"type":' + event_type
        + "".join(f", {json.dumps(name)} : {value}" for name, value in fields) + "}"
    ).encode("utf-8", "surrogatepass"),
    _types,
    _fields,
)  # fmt: skip


def written(**fields: object) -> bytes:
    return json.dumps(event_fields() | fields).encode()


def assert_same_own(batch, expected, shop) -> None:
    assert_same_batch(batch, expected)
    assert batch.attributes(shop) == expected.attributes(shop)
    if not shop.has_own_events:
        assert batch.own is None
        assert expected.own is None
        return
    for column in ("types", "type_hashes", "labels", "numbers"):
        np.testing.assert_array_equal(getattr(batch.own, column), getattr(expected.own, column), err_msg=column)


def one_by_one(values, shop):
    tables = ShopTables.of(shop)
    return decode_each(values, None, partial(validate_event, places=tables.places), shop)


@settings(max_examples=400)
@given(shops, st.lists(records, min_size=1, max_size=4))
@example(SIZE, [HEAD + b'"attributes":{"size":1},"attributes":5}'])
@example(SIZE, [HEAD + b'"attributes":{"size":1,"size":null}}'])
@example(SIZE, [HEAD + b'"attributes":{"size":{}},"size":1}'])
def test_scanned_events_are_those_that_are_validated_one_by_one(shop, values):
    batch, rejects = decode_events(values, tables=ShopTables.of(shop))
    expected, expected_rejects = one_by_one(values, shop)
    assert_same_own(batch, expected, shop)
    assert [reject.position for reject in rejects] == [reject.position for reject in expected_rejects]


def test_forty_types_and_ten_attributes_are_read_as_one_by_one():
    shop = large_shop()
    values = as_json(own_events(shop, 500))
    batch, rejects = decode_events(values, tables=ShopTables.of(shop))
    expected, _ = one_by_one(values, shop)
    assert not rejects
    assert_same_own(batch, expected, shop)
    assert len(np.unique(batch.own.types)) == 50
    assert (batch.own.labels > 0).any(axis=0).all()
    assert (~np.isnan(batch.own.numbers)).any(axis=0).all()


def test_an_own_type_counts_as_the_one_that_it_behaves_like():
    batch, _ = decode_events([written(type="one click"), written(type="joined"), written(type="x")], tables=TABLES)
    assert batch.type_codes.tolist() == [6, 9, 9]
    assert batch.own.types.tolist() == [11, 10, 9]


@pytest.mark.parametrize(
    ("fields", "found"),
    [
        ({"attributes": {"brand": "acme"}}, {"brand": "acme"}),
        ({"brand": "acme"}, None),
        ({"context": {"device": "phone"}}, {"device": "phone"}),
        ({"context": {"device": "phone"}, "attributes": {"device": "tablet"}}, {"device": "tablet"}),
        ({"context": {"device": "phone"}, "attributes": {"device": None}}, {"device": "phone"}),
        ({"properties": {"total": 12.5}}, {"total": 12.5}),
        ({"properties": {"total": "12.5"}}, {"total": 12.5}),
        ({"properties": {"total": "1e3"}}, {"total": 1000.0}),
        ({"properties": {"total": "a lot"}}, None),
        ({"properties": {"total": {"of": 1}}}, None),
        ({"properties": {"total": True}}, None),
        ({"properties": {"total": "1e999"}}, None),
        ({"properties": {"cart": {"value": 3}}}, {"deep": 3.0}),
        ({"attributes": {"brand": 42}}, {"brand": "42"}),
        ({"attributes": {"brand": True}}, {"brand": "true"}),
        ({"attributes": {"brand": ""}}, None),
        ({"attributes": {"brand": ["a"]}}, None),
        ({"attributes": {"brand": "x" * 129}}, None),
        ({"attributes": "no object", "properties": [1]}, None),
    ],
)  # fmt: skip
def test_what_is_of_another_kind_is_unknown_and_no_reason_to_refuse_an_event(fields, found):
    batch, rejects = decode_events([written(**fields)], tables=TABLES)
    assert not rejects
    assert batch.attributes(SHOP) == [found]
