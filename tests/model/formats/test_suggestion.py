import json

import pytest
import yaml

from model.formats import OWN_ROWS
from model.formats.suggestion import suggested
from model.shop import shop_of
from tests.harness.records import event_fields


def suggestion(name, lines):
    read, details = OWN_ROWS[name]
    return suggested(read(iter(enumerate(lines, start=1))), details)


def defined(name, lines):
    return shop_of(yaml.safe_load(suggestion(name, lines)))


def canonical(**fields):
    return json.dumps(event_fields() | fields).encode()


def segment(event, **properties):
    return json.dumps(
        {"type": "track", "event": event, "userId": "u", "timestamp": "2024-01-01T00:00:00Z", "properties": properties}
    ).encode()


def test_types_that_are_not_built_in_are_suggested_as_none():
    lines = [segment("Loyalty Joined"), segment("Product Viewed"), segment('Said "hi"'), segment("Loyalty Joined")]
    assert defined("segment", lines).types == {"Loyalty Joined": "none", 'Said "hi"': "none"}
    assert "2 of them" in suggestion("segment", lines)


def test_fields_that_differ_become_attributes_of_the_kind_that_their_values_are():
    seen = (("a", "gold", 1, "phone"), ("b", "silver", "2.5", "tablet"))
    objects = [
        {"attributes": {"plan": plan}, "properties": {"cartTotal": total}, "context": {"device": {"type": device}}}
        for _, plan, total, device in seen
    ]
    lines = [canonical(brand=brand, **held) for (brand, *_), held in zip(seen, objects, strict=True)]
    attributes = defined("cartcast", lines).attributes
    assert {name: (of.kind, of.path) for name, of in attributes.items()} == {
        "brand": ("categorical", "brand"),
        "plan": ("categorical", None),
        "cart_total": ("numeric", "properties.cartTotal"),
        "device_type": ("categorical", "context.device.type"),
    }


def test_numbers_that_are_names_are_no_amounts_and_what_is_built_in_is_not_asked_for_twice():
    rows = [
        {"store_id": number % 3, "shelfId": number, "price": number, "category": f"c{number}"} for number in range(300)
    ]
    attributes = defined("segment", [segment("Product Viewed", **row) for row in rows]).attributes
    assert {name: of.kind for name, of in attributes.items()} == {"store_id": "categorical"}


@pytest.mark.parametrize("differ", [1, 300])
def test_what_never_differs_and_what_always_does_is_left_as_a_comment(differ):
    lines = [canonical(session=f"s{number % differ}") for number in range(300)]
    assert defined("cartcast", lines).attributes == {}
    assert "# session: {kind: categorical" in suggestion("cartcast", lines)


def test_no_more_is_suggested_than_a_definition_may_hold():
    fields = {f"field {number}": number for number in range(40)}
    lines = [canonical(type=f"type {number}", **(fields | {"field 1": number})) for number in range(250)]
    lines.append(canonical(**{name: value + 1 for name, value in fields.items()}))
    shop = defined("cartcast", lines)
    assert (len(shop.types), len(shop.attributes)) == (200, 32)


def test_columns_and_types_of_a_csv_format():
    lines = [
        b"event_time,event_type,product_id,user_id,brand,stock",
        b"2019-10-01 00:00:00 UTC,view,p,u,acme,4",
        b"2019-10-01 00:00:00 UTC,wish,p,u,umbra,5",
        b"damaged",
    ]
    shop = defined("rees46", lines)
    assert shop.types == {"wish": "none"}
    assert {name: of.kind for name, of in shop.attributes.items()} == {"brand": "categorical", "stock": "numeric"}


def test_parameters_of_ga4():
    lines = [
        json.dumps(
            {
                "event_name": name,
                "user_pseudo_id": "u",
                "event_timestamp": "1700000000000000",
                "event_params": [{"key": "tier", "value": {"string_value": tier}}],
                "device": {"category": device},
            }
        ).encode()
        for name, tier, device in (("level_up", "a", "mobile"), ("view_item", "b", "desktop"))
    ]
    shop = defined("ga4", lines)
    assert shop.types == {"level_up": "none"}
    assert {name: of.path for name, of in shop.attributes.items()} == {"tier": None, "category": "device.category"}
