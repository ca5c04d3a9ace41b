"""What a shop defines of its own, in the rows of each format."""

import json

import pytest

from model.events import Event
from model.formats import FORMATS
from model.formats.records import decoder_of
from model.shop import NO_SHOP, shop_of

SHOP = shop_of(
    {
        "types": {"Loyalty Joined": "none", "level_up": "view", "wish": "favorite"},
        "attributes": {
            "brand": {"kind": "categorical"},
            "stock": {"kind": "numeric"},
            "device": {"kind": "categorical", "from": "device.category"},
            "city": {"kind": "categorical", "from": "context.location.city"},
        },
    }
)
SEGMENT = {
    "type": "track", "event": "Loyalty Joined", "messageId": "m", "userId": "u", "timestamp": "2024-01-01T00:00:00Z",
    "properties": {"brand": "acme", "stock": "12.5", "products": []}, "context": {"location": {"city": "Ulm"}},
}  # fmt: skip
GA4 = {
    "event_name": "level_up", "user_pseudo_id": "u", "event_timestamp": "1700000000000000",
    "event_params": [{"key": "brand", "value": {"string_value": "acme"}}, {"key": "stock", "value": {"int_value": 3}}],
    "device": {"category": "mobile"},
}  # fmt: skip
PAYLOAD = {
    "client_id": "u", "timestamp_micros": 1700000000000000,
    "events": [{"name": "level_up", "params": {"brand": "acme", "stock": 3}}],
}  # fmt: skip
CANONICAL = {
    "event_id": "e", "user_id": "u", "type": "wish", "ts": 1700000000000,
    "attributes": {"brand": "acme", "stock": "no"},
}  # fmt: skip
REES46 = "event_time,event_type,product_id,user_id,brand,stock\n2019-10-01 00:00:00 UTC,wish,p,u,acme,4"
RETAILROCKET = "timestamp,visitorid,event,itemid,transactionid,brand\n1433221332117,1,wish,2,,acme"


def rows_of(name: str, text: str, shop=SHOP):
    return list(FORMATS[name](iter(enumerate(text.encode().splitlines(), start=1)), shop))


@pytest.mark.parametrize(
    ("name", "text", "event_type", "attributes"),
    [
        ("segment", json.dumps(SEGMENT), "Loyalty Joined", {"brand": "acme", "stock": 12.5, "city": "Ulm"}),
        ("ga4", json.dumps(GA4), "level_up", {"brand": "acme", "stock": 3.0, "device": "mobile"}),
        ("ga4", json.dumps(PAYLOAD), "level_up", {"brand": "acme", "stock": 3.0}),
        ("cartcast", json.dumps(CANONICAL), "wish", {"brand": "acme"}),
        ("rees46", REES46, "wish", {"brand": "acme", "stock": 4.0}),
        ("retailrocket", RETAILROCKET, "wish", {"brand": "acme"}),
    ],
)
def test_rows_have_the_types_and_attributes_that_are_defined(name, text, event_type, attributes):
    (event,) = rows_of(name, text)
    assert isinstance(event, Event)
    assert (event.type, event.attributes) == (event_type, attributes)


def test_a_row_of_an_own_type_is_read_as_one_of_the_type_that_it_behaves_like():
    """So it has an item where the built-in type has one; one that is like none has nothing that can be wrong."""
    shop = shop_of({"types": {"Size Guide Opened": "view", "Joined": "none", "level_up": "cart"}})
    properties = {"product_id": "p", "category": "c", "price": 9.5}
    guide, joined = (
        rows_of("segment", json.dumps(SEGMENT | {"event": name, "properties": properties}), shop)[0]
        for name in ("Size Guide Opened", "Joined")
    )
    assert (guide.type, guide.item_id, guide.category, guide.price) == ("Size Guide Opened", "p", "c", 9.5)
    assert (joined.type, joined.item_id) == ("Joined", None)
    (event,) = rows_of("ga4", json.dumps(GA4 | {"items": [{"item_id": "i"}]}), shop)
    assert (event.type, event.item_id) == ("level_up", "i")


@pytest.mark.parametrize(
    ("name", "text"), [("segment", json.dumps(SEGMENT)), ("ga4", json.dumps(GA4)), ("cartcast", json.dumps(CANONICAL))]
)
def test_without_a_definition_nothing_of_it_is_read(name, text):
    (event,) = rows_of(name, text, NO_SHOP)
    assert event.attributes is None


def test_a_type_that_is_not_defined_is_no_row_of_a_csv_format():
    (bad,) = rows_of("rees46", REES46, NO_SHOP)
    assert bad.reason == "event_type"


@pytest.mark.parametrize(("name", "record"), [("segment", SEGMENT), ("ga4", GA4)])
def test_the_worker_reads_what_files_are_read_as(name, record):
    value = json.dumps(record).encode()
    batch, rejects = decoder_of(name, SHOP)([value, b"{"], None)
    (event,) = rows_of(name, json.dumps(record))
    assert [reject.position for reject in rejects] == [1]
    assert batch.attributes(SHOP) == [event.attributes]
    assert SHOP.event_types[batch.own.types[0]] == event.type


def test_a_line_keeps_its_context_whatever_stands_in_its_attributes():
    line = json.dumps(CANONICAL | {"attributes": {"a": {"b": 1}}, "context": {"device": "phone"}})
    for shop in (SHOP, NO_SHOP):
        (event,) = rows_of("cartcast", line, shop)
        assert (event.context, event.attributes) == ({"device": "phone"}, None)
