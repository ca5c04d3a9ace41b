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
        anonymous_id="a1",
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


def test_the_product_of_a_cart_may_be_the_first_of_a_list():
    products = {"products": [{"product_id": "p1", "price": "5"}, {"product_id": "p2"}]}
    assert (event_of(event="Product Added", properties=products).item_id) == "p1"
    assert event_of(event="Product Added", properties=products | {"sku": "p3"}).item_id == "p3"
    assert event_of(event="Products Searched", properties=products).item_id is None


@pytest.mark.parametrize("kind", ["page", "screen"])
def test_page_and_screen_calls_are_other_events_that_say_what_they_were(kind):
    event = event_of(type=kind, event="left out", name="Home", properties={"price": "from 3 EUR"})
    assert (event.type, event.item_id, event.price, event.context) == ("other", None, None, {"event": "Home"})


@pytest.mark.parametrize("kind", ["group", "view", None, 1, ["track"]])
def test_a_call_that_is_nothing_a_shopper_did_is_a_bad_row(kind):
    (bad,) = rows_of(CALL | {"type": kind})
    assert isinstance(bad, BadRow)
    assert (bad.line, bad.reason) == (1, "type")


def test_calls_with_both_ids_and_those_that_say_only_that_are_identities():
    for given, anonymous in (({"type": "identify"}, "a1"), ({"type": "alias", "previousId": "p1"}, "p1")):
        event = event_of(**given)
        assert (event.type, event.user_id, event.anonymous_id) == ("identify", "u1", anonymous)
    assert event_of().anonymous_id == "a1"
    assert event_of(anonymousId="u1").anonymous_id is None
    assert event_of(userId=None).anonymous_id is None


@pytest.mark.parametrize("kind", ["identify", "alias"])
@pytest.mark.parametrize(
    ("changed", "reason"),
    [({"userId": None}, "userId"), ({"anonymousId": "", "previousId": None}, None), ({"userId": "x"}, "equal")],
)
def test_an_identity_call_without_two_ids_is_a_bad_row(kind, changed, reason):
    other = {"identify": "anonymousId", "alias": "previousId"}[kind]
    if reason == "equal":
        changed = changed | {other: "x"}
    (bad,) = rows_of(CALL | {"type": kind, "previousId": "p1"} | changed)
    assert isinstance(bad, BadRow)
    assert bad.reason == ("userId" if reason == "userId" else other)


@pytest.mark.parametrize("user", [None, "", "left out", "undefined", "NULL", "nan", "  ", "[object Object]"])
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


@pytest.mark.parametrize(
    ("name", "products"),
    [("Product List Viewed", []), ("Product List Viewed", [{"name": "Hat"}]), ("Product List Filtered", [{"id": "p"}])],
)
def test_a_list_that_does_not_say_what_was_in_it_or_was_filtered_is_viewed_without_an_item(name, products):
    event = event_of(event=name, properties={"category": "hats", "products": products})
    assert (event.type, event.item_id, event.category, event.items) == ("view", None, "hats", None)


def test_a_list_of_products_is_an_impression_in_the_order_of_their_positions():
    products = [{"product_id": "p2", "position": 2}, {"sku": "p1", "position": "1"}, {"name": "no id", "position": 3}]
    properties = {"category": "hats", "list_id": "home", "model_version": "m1", "products": products}
    event = event_of(event="Product List Viewed", properties=properties)
    assert (event.type, event.items, event.category, event.item_id) == ("impression", ["p1", "p2"], "hats", None)
    assert (event.model_version, event.placement) == ("m1", "home")


def test_without_a_position_of_each_the_order_of_the_products_counts():
    products = [{"product_id": "p2", "position": "top"}, {"product_id": "p1", "position": 1}]
    assert event_of(event="product_list_viewed", properties={"products": products}).items == ["p2", "p1"]


def test_a_list_that_is_too_long_is_a_bad_row():
    products = [{"product_id": f"p{number}"} for number in range(501)]
    (row,) = rows_of(CALL | {"event": "Product List Viewed", "properties": {"products": products}})
    assert (row.reason, row.error) == ("items", "items has 501 ids, more than 500")


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


def test_without_a_message_id_what_identifies_a_call_is_its_id():
    first, again = event_of(messageId="left out"), event_of(messageId="undefined")
    assert first.event_id == again.event_id
    reordered = dict(reversed([(name, value) for name, value in CALL.items() if name != "messageId"]))
    assert rows_of(reordered)[0].event_id == first.event_id
    assert event_of(messageId="left out", sentAt="2017-11-24T16:00:18Z").event_id == first.event_id
    assert event_of(messageId="left out", properties={"product_id": "p2"}).event_id != first.event_id


def test_an_order_is_one_purchase_however_often_it_is_confirmed():
    order = {"event": "Order Completed", "properties": {"orderId": "o1"}}
    assert event_of(**order).event_id == event_of(**order, messageId="m2").event_id == "purchase:o1"
    assert event_of(event="Order Refunded", properties={"order_id": "o1"}).event_id == "m1"
    assert event_of(event="Order Completed", properties={"order_id": "null"}).event_id == "m1"


@pytest.mark.parametrize("names", [("productId", "orderId"), ("Product ID", "Order ID"), ("ProductID", "OrderID")])
def test_properties_are_understood_in_other_spellings(names):
    product, order = names
    properties = {order: "o1", "products": [{product: "p2", "price": "$7.50"}], "revenue": "1.234,50 EUR"}
    event = event_of(event="Completed Order", properties=properties)
    assert (event.item_id, event.price) == ("p2", 7.5)
    assert event.context == {"order_id": "o1", "order_total": "1234.5", "order_products": "1"}
    assert event_of(properties={product: "p2"}).item_id == "p2"


def test_calls_of_a_batch_are_events_of_their_own():
    calls = [CALL, {name: value for name, value in (CALL | {"messageId": "m2"}).items() if name != "timestamp"}]
    rows = rows_of({"batch": calls, "sentAt": "2017-11-24T17:00:00Z", "writeKey": "k"})
    assert [(row.event_id, row.ts) for row in rows] == [("m1", 1511539217250), ("m2", 1511542800000)]


def test_rows_of_a_warehouse_are_track_calls():
    header = "id,event,event_text,user_id,anonymous_id,original_timestamp,product_id,price,context_device_type"
    row = "m1,product_viewed,Product Viewed,,a1,2017-11-24 16:00:17.250 UTC,p1,19.5,ios"
    (event,) = FORMAT.read_rows(iter(enumerate((line.encode() for line in (header, row)), start=1)))
    assert (event.event_id, event.user_id, event.type, event.ts) == ("m1", "a1", "view", 1511539217250)
    assert (event.item_id, event.price, event.context) == ("p1", 19.5, {"device": "ios"})


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
    shallow = {name: value for name, value in CALL.items() if name not in {"messageId", "properties"}}
    raw = json.dumps(shallow).encode()[:-1] + b',"properties":' + b'{"x":' * 300 + b"1" + b"}" * 301
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
        ("price", {"properties": {"price": "5 pieces"}}),
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


def test_ids_that_are_numbers_keep_every_digit():
    line = json.dumps(CALL).replace('"u1"', "123456789012345678901234567890").replace('"p1"', "12345.0").encode()
    (event,) = FORMAT.read_rows(iter([(1, line)]))
    assert (event.user_id, event.item_id) == ("123456789012345678901234567890", "12345")
    assert FORMAT.one_event(line) == event
    for lost in ("2.10381E+18", "5.41312E+11", "2103807459595387904.0"):
        (bad,) = FORMAT.read_rows(iter([(1, json.dumps(CALL).replace('"p1"', lost).encode())]))
        assert (bad.reason, "digits are lost" in bad.error) == ("product_id", True)
