import json

import pytest

from model.events import Event
from model.formats.segment import FORMAT
from model.validate import BadRow

CALL = {
    "type": "track",
    "event": "Product Viewed",
    "messageId": "m1",
    "userId": "u1",
    "anonymousId": "a1",
    "timestamp": "2017-11-24T16:00:17.250Z",
    "properties": {"product_id": "p1", "category": "shoes", "price": 19.5, "quantity": 2, "brand": "acme"},
}


def rows_of(*calls: object):
    return list(FORMAT.read_rows(iter(enumerate((json.dumps(call).encode() for call in calls), start=1))))


def event_of(**changed: object) -> Event:
    (event,) = rows_of({name: value for name, value in (CALL | changed).items() if value != "left out"})
    assert isinstance(event, Event), event
    return event


def test_a_track_call_becomes_a_canonical_event():
    assert event_of() == Event(
        event_id="m1",
        user_id="u1",
        type="view",
        ts=1511539217250,
        item_id="p1",
        category="shoes",
        price=19.5,
        quantity=2.0,
        context={"brand": "acme"},
    )


@pytest.mark.parametrize(
    ("name", "event_type"),
    [
        ("Product Viewed", "view"),
        ("Product List Viewed", "view"),
        ("Product Clicked", "view"),
        ("Products Searched", "search"),
        ("Product Added", "cart"),
        ("Product Removed", "remove_from_cart"),
        ("Product Added to Wishlist", "favorite"),
        ("Cart Viewed", "other"),
        ("Checkout Started", "checkout"),
        ("Order Completed", "purchase"),
        ("Order Refunded", "refund"),
        ("Order Cancelled", "other"),
        ("Product Reviewed", "review"),
        ("Video Played", "other"),
        ("Viewed Product", "view"),
        ("order_completed", "purchase"),
        ("OrderCompleted", "purchase"),
        ("productViewed", "view"),
        ("ORDER COMPLETED", "purchase"),
    ],
)
def test_every_event_has_its_type(name, event_type):
    assert event_of(event=name, properties={}).type == event_type


@pytest.mark.parametrize("kind", ["page", "screen"])
def test_page_and_screen_calls_are_other_events_that_say_what_they_were(kind):
    event = event_of(type=kind, event="left out", name="Home", properties={"price": "from 3 EUR"})
    assert (event.type, event.item_id, event.price, event.context) == ("other", None, None, {"event": "Home"})


@pytest.mark.parametrize("kind", ["identify", "group", "alias", "view", None, 1, ["track"]])
def test_a_call_that_is_nothing_a_shopper_did_is_a_bad_row(kind):
    (bad,) = rows_of(CALL | {"type": kind})
    assert isinstance(bad, BadRow)
    assert (bad.line, bad.reason) == (1, "type")


@pytest.mark.parametrize("user", [None, "", "left out"])
def test_without_a_user_id_the_anonymous_id_is_the_user(user):
    assert event_of(userId=user).user_id == "a1"


def test_of_an_order_one_purchase_event_speaks_for_all_products():
    products = [{"product_id": "p2", "price": "7.50", "quantity": 3, "category": "hats"}, {"product_id": "p3"}]
    order = {"order_id": "o1", "total": 42.5, "currency": "EUR", "products": products}
    event = event_of(event="Order Completed", properties=order)
    assert (event.type, event.item_id, event.category, event.price, event.quantity) == (
        "purchase",
        "p2",
        "hats",
        7.5,
        3,
    )
    assert event.context == {"order_id": "o1", "order_total": "42.5", "order_products": "2", "currency": "EUR"}


def test_a_list_of_products_is_viewed_without_an_item():
    event = event_of(event="Product List Viewed", properties={"category": "hats", "products": [{"product_id": "p2"}]})
    assert (event.type, event.item_id, event.category) == ("view", None, "hats")


def test_the_words_of_searches_and_reviews_are_the_text():
    assert event_of(event="Products Searched", properties={"query": "rote Schuhe"}).text == "rote Schuhe"
    review = event_of(event="Product Reviewed", properties={"review_body": "too small", "rating": "2"})
    assert (review.text, review.rating) == ("too small", 2.0)
    assert event_of(properties={"query": "boots", "rating": 4.4}).text is None
    assert event_of(properties={"rating": 4.4}).rating is None


@pytest.mark.parametrize(
    ("times", "ts"),
    [
        ({"timestamp": "2017-11-24T18:00:17+02:00"}, 1511539217000),
        ({"timestamp": "2017-11-24T16:00:17"}, 1511539217000),
        ({"timestamp": "2017-11-24 16:00:17 UTC"}, 1511539217000),
        ({"timestamp": 1511539217000}, 1511539217000),
        ({"timestamp": None, "sentAt": "2017-11-24T16:00:17Z"}, 1511539217000),
        ({"timestamp": "left out", "receivedAt": "2017-11-24T16:00:17.0009Z"}, 1511539217000),
    ],
)
def test_times_of_all_zones_are_utc_and_one_without_a_zone_is_taken_for_utc(times, ts):
    assert event_of(**times).ts == ts


def test_without_a_message_id_the_content_is_the_id():
    first, again = event_of(messageId="left out"), event_of(messageId=None)
    assert first.event_id != again.event_id  # null is content too
    reordered = dict(reversed([(name, value) for name, value in CALL.items() if name != "messageId"]))
    assert rows_of(reordered)[0].event_id == first.event_id
    assert event_of(messageId="left out", sentAt="2017-11-24T16:00:18Z").event_id != first.event_id


def test_where_somebody_shops_is_the_context():
    surroundings = {
        "device": {"type": "ios"},
        "campaign": {"medium": "mail", "name": "spring"},
        "location": {"country": "DE"},
        "locale": "de-DE",
        "page": {"path": "/"},
    }
    event = event_of(context=surroundings, properties={})
    assert event.context == {
        "device": "ios",
        "channel": "mail",
        "campaign": "spring",
        "country": "DE",
        "language": "de-DE",
    }
    assert event_of(context={"device": "ios", "locale": ["de"]}, properties={}).context is None


def test_a_call_that_nests_too_deep_to_get_an_id_is_a_bad_row():
    deep = json.dumps({name: value for name, value in CALL.items() if name != "messageId"}).encode()
    raw = deep[:-1] + b',"context":' + b'{"x":' * 300 + b"1" + b"}" * 301
    (bad,) = FORMAT.read_rows(iter([(1, raw)]))
    assert bad.reason == "nesting"


@pytest.mark.parametrize(
    ("reason", "changed"),
    [
        ("event", {"event": None}),
        ("event", {"event": {}}),
        ("anonymousId", {"userId": None, "anonymousId": None}),
        ("userId", {"userId": True}),
        ("userId", {"userId": 1.5}),
        ("userId", {"userId": "u" * 1025}),
        ("messageId", {"messageId": ["m"]}),
        ("timestamp", {"timestamp": "left out"}),
        ("timestamp", {"timestamp": "yesterday"}),
        ("timestamp", {"timestamp": "2017-11-24"}),
        ("ts", {"timestamp": "1999-12-31T23:59:59Z"}),
        ("ts", {"timestamp": "9999-12-31T23:59:59-23:59"}),
        ("timestamp", {"timestamp": 1511539217}),
        ("timestamp", {"timestamp": True}),
        ("properties", {"properties": []}),
        ("price", {"properties": {"price": "$5"}}),
        ("price", {"properties": {"price": -1}}),
        ("price", {"properties": {"price": "nan"}}),
        ("price", {"properties": {"price": [1]}}),
        ("quantity", {"properties": {"quantity": "two"}}),
        ("product_id", {"properties": {"product_id": {}}}),
        ("category", {"properties": {"category": ["a"]}}),
        ("products", {"event": "Order Completed", "properties": {"products": ["p"]}}),
        ("query", {"event": "Products Searched", "properties": {"query": {}}}),
    ],
)
def test_what_is_wrong_names_its_field(reason, changed):
    (bad,) = rows_of({name: value for name, value in (CALL | changed).items() if value != "left out"})
    assert isinstance(bad, BadRow)
    assert bad.reason == reason
