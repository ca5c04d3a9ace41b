import json

import pytest

from model.events import Event
from model.formats.ga4 import FORMAT
from model.validate import BadRow

ITEM = {"item_id": "p1", "item_name": "Boots", "item_category": "shoes", "price": 19.5, "quantity": "2"}
EXPORT_ROW = {
    "event_date": "20171124",
    "event_timestamp": "1511539217250000",
    "event_name": "add_to_cart",
    "event_params": [
        {"key": "ga_session_id", "value": {"string_value": None, "int_value": "661084800"}},
        {"key": "search_term", "value": {"string_value": "boots"}},
    ],
    "user_id": None,
    "user_pseudo_id": "1026454.4271112504",
    "device": {"category": "mobile"},
    "geo": {"country": "Germany"},
    "traffic_source": {"medium": "organic"},
    "items": [ITEM],
}
PAYLOAD = {
    "client_id": "c1",
    "timestamp_micros": "1511539217250000",
    "events": [
        {"name": "view_item", "params": {"items": [ITEM]}},
        {"name": "search", "params": {"search_term": "boots"}},
    ],
}


def rows_of(*lines: object):
    return list(FORMAT.read_rows(iter(enumerate((json.dumps(line).encode() for line in lines), start=1))))


def row_of(**changed: object):
    (row,) = rows_of({name: value for name, value in (EXPORT_ROW | changed).items() if value != "left out"})
    return row


def test_a_row_of_the_export_becomes_a_canonical_event():
    event = row_of()
    assert event == Event(
        event_id=event.event_id,
        user_id="1026454.4271112504",
        type="cart",
        ts=1511539217250,
        item_id="p1",
        category="shoes",
        price=19.5,
        quantity=2.0,
        context={"device": "mobile", "channel": "organic", "country": "Germany", "session": "661084800"},
    )


def test_a_payload_becomes_as_many_events_as_it_holds():
    view, search = rows_of(PAYLOAD)
    assert [view.user_id, search.user_id] == ["c1", "c1"]
    assert [view.ts, search.ts] == [1511539217250] * 2
    assert (view.type, view.item_id, view.category, view.price) == ("view", "p1", "shoes", 19.5)
    assert (search.type, search.text) == ("search", "boots")
    assert view.event_id != search.event_id


def test_an_event_of_a_payload_that_is_wrong_is_a_bad_row_beside_its_neighbours():
    first, bad, last = rows_of(
        {"events": []} | PAYLOAD | {"events": [PAYLOAD["events"][0], {"name": None}, PAYLOAD["events"][1]]}
    )
    assert isinstance(first, Event)
    assert isinstance(last, Event)
    assert (bad.line, bad.reason) == (1, "event_name")


def test_an_event_of_a_payload_may_have_a_time_of_its_own():
    event = {"name": "view_item", "timestamp_micros": 1511539218000000}
    assert [row.ts for row in rows_of(PAYLOAD | {"events": [event]})] == [1511539218000]


@pytest.mark.parametrize(
    ("name", "event_type"),
    [
        ("view_item", "view"),
        ("select_item", "view"),
        ("view_item_list", "impression"),
        ("view_promotion", "impression"),
        ("view_search_results", "search"),
        ("add_to_wishlist", "favorite"),
        ("remove_from_cart", "remove_from_cart"),
        ("begin_checkout", "checkout"),
        ("add_payment_info", "checkout"),
        ("purchase", "purchase"),
        ("refund", "refund"),
        ("view_cart", "other"),
        ("page_view", "other"),
        ("session_start", "other"),
    ],
)
def test_every_event_has_its_type(name, event_type):
    assert row_of(event_name=name).type == event_type


def test_other_events_say_what_they_were_and_have_no_item():
    event = row_of(event_name="view_cart", items=[ITEM | {"price": "free"}])
    assert (event.item_id, event.price, event.context["event"]) == (None, None, "view_cart")


def test_a_list_is_an_impression_in_the_order_of_its_indices():
    items = [ITEM | {"index": 2, "item_list_id": "related"}, {"item_id": "p0", "index": "1"}, {"item_id": "(not set)"}]
    event = row_of(event_name="view_item_list", items=items[:2])
    assert (event.type, event.items, event.placement, event.item_id) == ("impression", ["p0", "p1"], "related", None)
    assert row_of(event_name="view_item_list", items=items).items == ["p1", "p0"]  # one of them has no index


def test_a_payloads_list_says_which_model_made_it():
    params = {"items": [ITEM], "item_list_name": "Related", "model_version": "m1"}
    (event,) = rows_of(PAYLOAD | {"events": [{"name": "view_item_list", "params": params}]})
    assert (event.items, event.placement, event.model_version) == (["p1"], "Related", "m1")


@pytest.mark.parametrize(("name", "event_type"), [("view_item_list", "view"), ("view_promotion", "other")])
def test_a_list_without_items_is_what_it_was(name, event_type):
    event = row_of(event_name=name, items=[])
    assert (event.type, event.item_id, event.items) == (event_type, None, None)


def test_a_user_id_comes_before_the_devices_id():
    assert (row_of(user_id="u1").user_id, row_of(user_id="u1").anonymous_id) == ("u1", "1026454.4271112504")
    assert row_of().anonymous_id is None
    payload = rows_of(PAYLOAD | {"user_id": "u1"})[0]
    assert payload.user_id == "u1"
    assert payload.anonymous_id in {PAYLOAD.get("app_instance_id"), PAYLOAD.get("client_id")} - {None}


def test_what_google_calls_not_set_is_not_set():
    event = row_of(items=[ITEM | {"item_id": "(not set)", "item_category": "(not set)"}], geo={"country": "(not set)"})
    assert (event.item_id, event.category) == ("Boots", None)
    assert "country" not in event.context


def test_an_order_says_what_analysts_group_by():
    params = [
        {"key": "transaction_id", "value": {"string_value": "T1"}},
        {"key": "value", "value": {"double_value": 39.0}},
        {"key": "currency", "value": {"string_value": "EUR"}},
    ]
    context = row_of(event_name="purchase", event_params=params, items=[ITEM, ITEM]).context
    assert context["order_id"] == "T1"
    assert (context["order_total"], context["order_products"], context["currency"]) == ("39.0", "2", "EUR")


def test_a_repeated_row_is_the_same_event_and_one_that_differs_is_another():
    assert row_of() == row_of()
    assert rows_of(dict(reversed(EXPORT_ROW.items())))[0] == row_of()
    assert rows_of(PAYLOAD) == rows_of(PAYLOAD | {"non_personalized_ads": True})
    assert row_of(event_timestamp="1511539217250001").event_id != row_of().event_id
    assert row_of(items=[{"item_id": "other"}]).event_id != row_of().event_id


def test_an_event_of_the_intraday_and_of_the_daily_export_is_one():
    daily = {"is_active_user": True, "session_traffic_source_last_click": {"manual_campaign": {"source": "x"}}}
    assert row_of(**daily).event_id == row_of().event_id


def test_an_order_whose_confirmation_is_loaded_again_is_one_purchase():
    order = {"event_name": "purchase", "ecommerce": {"transaction_id": "T1"}}
    first, again = (row_of(event_timestamp=time, **order) for time in (1511539217250000, 1511539220250000))
    assert first.event_id == again.event_id
    assert row_of(event_name="refund", ecommerce={"transaction_id": "T1"}).event_id != first.event_id
    unset = row_of(event_name="purchase", ecommerce={"transaction_id": "(not set)"})
    assert unset.event_id != row_of(event_name="purchase", event_timestamp=1511539220250000).event_id


def test_rows_whose_records_are_columns_are_understood():
    flat = {
        "event_name": "purchase", "event_timestamp": "1511539217250000", "user_pseudo_id": "1.2", "user_id": "nan",
        "geo.country": "Malta", "device_category": "mobile", "ga_session_id": 7, "transaction_id": "T1",
        "item_id": "p1", "item_category": "hats", "price": "1.234,50 EUR", "quantity": "2", "value": "$12.00",
    }  # fmt: skip
    (event,) = rows_of(flat)
    assert (event.user_id, event.item_id, event.category, event.price, event.quantity) == (
        "1.2",
        "p1",
        "hats",
        1234.5,
        2,
    )
    assert event.context == {
        "device": "mobile", "country": "Malta", "session": "7", "order_id": "T1", "order_total": "12.0",
        "order_products": "1",
    }  # fmt: skip
    table = [",".join(flat), ",".join(f'"{value}"' for value in flat.values())]
    (same,) = FORMAT.read_rows(iter(enumerate((line.encode() for line in table), start=1)))
    assert same == event


@pytest.mark.parametrize("joint", ["_", "."])
def test_an_item_and_an_order_may_be_columns_of_their_records(joint):
    flat = {"event_name": "purchase", "event_timestamp": "1511539217250000", "user_pseudo_id": "1.2"}
    flat |= {f"items{joint}item_id": "p1", f"items{joint}price": "9,50", f"ecommerce{joint}purchase_revenue": 19}
    (event,) = rows_of(flat | {f"ecommerce{joint}transaction_id": "T1"})
    assert (event.event_id, event.item_id, event.price) == ("purchase:T1", "p1", 9.5)
    assert event.context == {"order_id": "T1", "order_total": "19", "order_products": "1"}


@pytest.mark.parametrize(
    ("reason", "changed"),
    [
        ("event_name", {"event_name": "left out"}),
        ("event_name", {"event_name": None}),
        ("user_pseudo_id", {"user_pseudo_id": None}),
        ("event_timestamp", {"event_timestamp": None}),
        ("event_timestamp", {"event_timestamp": "1511539217250"}),
        ("event_timestamp", {"event_timestamp": 1511539217250000.5}),
        ("items", {"items": {}}),
        ("event_params", {"event_params": [1]}),
        ("price", {"items": [{"price": -1}]}),
    ],
)
def test_what_is_wrong_names_its_field(reason, changed):
    bad = row_of(**changed)
    assert isinstance(bad, BadRow)
    assert bad.reason == reason


@pytest.mark.parametrize("events", [[], None, {}, [1]])
def test_a_payload_without_events_is_a_bad_row(events):
    (bad,) = rows_of(PAYLOAD | {"events": events})
    assert bad.reason == "events"
