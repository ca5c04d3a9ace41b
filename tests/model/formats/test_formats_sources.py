"""PostHog, Snowplow, Matomo and Shopify: what their exports hold becomes canonical events."""

import json

import pytest

from model.events import Event
from model.formats import FORMATS
from model.formats.snowplow import COLUMNS
from model.validate import BadRow

POSTHOG = {
    "uuid": "0190-1", "event": "Product Viewed", "distinct_id": "u1", "timestamp": "2024-07-01T10:00:00.5+00:00",
    "properties": {"product_id": "p1", "price": 19.5, "$device_type": "Mobile", "$geoip_country_name": "Malta"},
}  # fmt: skip
VISIT = {
    "idVisit": "7", "visitorId": "v1", "userId": None, "country": "Malta", "deviceType": "Smartphone",
    "referrerType": "campaign",
    "actionDetails": [
        {"type": "action", "url": "https://shop/p1", "pageId": "1", "timestamp": 1719828000, "productViewSku": "p1",
         "productViewCategories": ["hats"], "productViewPrice": "19.5"},
        {"type": "search", "siteSearchKeyword": "hats", "pageId": "2", "timestamp": "1719828060"},
        {"type": "event", "eventAction": "Play", "pageId": "3", "timestamp": 1719828070},
        {"type": "ecommerceOrder", "orderId": "O1", "revenue": "21.50", "timestamp": 1719828120,
         "itemDetails": [{"itemSKU": "p1", "itemCategory": "hats", "price": 19.5, "quantity": 1}, {"itemSKU": "p2"}]},
    ],
}  # fmt: skip
SHOPIFY_HEADER = (
    "Name,Email,Financial Status,Total,Currency,Created at,Lineitem quantity,Lineitem name,Lineitem price,Notes"
)
SHOPIFY = [
    '#1001,a@example.com,paid,41.00,EUR,2024-07-01 12:00:00 +0200,1,Hat,19.50,"ring\ntwice"',
    "#1001,a@example.com,,,,2024-07-01 12:00:00 +0200,2,Scarf,10.75,",
]


def rows_of(name: str, *lines: object):
    texts = (line.encode() if isinstance(line, str) else json.dumps(line).encode() for line in lines)
    numbered = enumerate(b"\n".join(texts).splitlines(), start=1)
    return list(FORMATS[name](iter(numbered)))


def snowplow(**values: object) -> str:
    row = {
        "event_id": "e1", "domain_userid": "d1", "derived_tstamp": "2024-07-01 10:00:00.500", "event": "page_view",
        "event_name": "page_view", "dvce_type": "Mobile", "page_title": '"Hats", 5"', **values,
    }  # fmt: skip
    return "\t".join(one if isinstance(one := row.get(name, ""), str) else json.dumps(one) for name in COLUMNS)


def entity(name: str, **data: object) -> dict:
    return {"schema": f"iglu:com.snowplowanalytics.snowplow.ecommerce/{name}/jsonschema/1-0-0", "data": data}


def unstructured(name: str, **data: object) -> dict:
    return {
        "schema": "iglu:com.snowplowanalytics.snowplow/unstruct_event/jsonschema/1-0-0",
        "data": entity(name, **data),
    }


def test_a_posthog_event_becomes_a_canonical_event():
    (event,) = rows_of("posthog", POSTHOG)
    assert event == Event(
        event_id="0190-1",
        user_id="u1",
        type="view",
        ts=1719828000500,
        item_id="p1",
        price=19.5,
        context={"device": "Mobile", "country": "Malta"},
    )
    as_text = POSTHOG | {"properties": json.dumps(POSTHOG["properties"])}
    assert rows_of("posthog", as_text, {"batch": [POSTHOG]}, {"results": [POSTHOG]}) == [event] * 3
    (page,) = rows_of("posthog", POSTHOG | {"event": "$pageview"})
    assert (page.type, page.context["event"]) == ("other", "$pageview")
    order = {"event": "Order Completed", "properties": {"order_id": "O1"}}
    assert rows_of("posthog", POSTHOG | order)[0].event_id == "purchase:O1"


def test_the_actions_of_a_matomo_visit_are_events():
    view, search, play, order = rows_of("matomo", VISIT)
    assert (view.type, view.user_id, view.ts, view.item_id) == ("view", "v1", 1719828000000, "p1")
    assert (view.category, view.price) == ("hats", 19.5)
    assert view.context == {"device": "Smartphone", "channel": "campaign", "country": "Malta", "session": "7"}
    assert (search.type, search.text, play.type, play.context["event"]) == ("search", "hats", "other", "Play")
    assert (order.type, order.event_id, order.item_id, order.quantity) == ("purchase", "purchase:O1", "p1", 1)
    assert (order.context["order_id"], order.context["order_total"]) == ("O1", "21.50")
    assert len({event.event_id for event in (view, search, play, order)}) == 4


def test_rows_of_a_shopify_order_are_one_purchase():
    first, second = rows_of("shopify", SHOPIFY_HEADER, *SHOPIFY)
    assert first == Event(
        event_id="purchase:#1001",
        user_id="a@example.com",
        type="purchase",
        ts=1719828000000,
        item_id="Hat",
        price=19.5,
        quantity=1,
        context={"order_id": "#1001", "order_total": "41.00", "currency": "EUR"},
    )
    assert second.event_id == first.event_id


def test_all_rows_of_a_shopify_order_are_of_the_shopper_whom_its_first_row_names():
    other = SHOPIFY[1].replace("#1001", "#1002")
    rows = rows_of("shopify", SHOPIFY_HEADER + ",Customer ID", SHOPIFY[0] + ",7", SHOPIFY[1] + ",", other + ",")
    assert [event.user_id for event in rows] == ["7", "7", "a@example.com"]


@pytest.mark.parametrize("status", ["refunded", "voided", "Expired"])
def test_an_order_that_was_undone_is_no_purchase(status):
    undone = [SHOPIFY[0].replace("paid", status), SHOPIFY[1]]
    other = SHOPIFY[0].replace("#1001", "#1002").replace("paid", "partially_refunded")
    first, second, bought = rows_of("shopify", SHOPIFY_HEADER, *undone, other)
    assert {(event.type, event.context["order_status"]) for event in (first, second)} == {("other", status.lower())}
    assert (bought.type, bought.event_id, "order_status" in bought.context) == ("purchase", "purchase:#1002", False)
    (cancelled,) = rows_of("shopify", SHOPIFY_HEADER + ",Cancelled at", SHOPIFY[0] + ",2024-07-02 09:00:00 +0200")
    assert (cancelled.type, cancelled.context["order_status"]) == ("other", "cancelled")


def test_a_snowplow_list_is_an_impression_of_its_products():
    products = [entity("product", id="p2", position=2), entity("product", id="p1", position=1)]
    columns = {
        "user_id": "u1", "event": "unstruct", "event_name": "snowplow_ecommerce_action",
        "unstruct_event": {"data": {"data": {"type": "list_view", "name": "home"}}},
    }  # fmt: skip
    (shown, without) = rows_of(
        "snowplow", snowplow(**columns, contexts={"data": products}), snowplow(**columns, event_id="e2")
    )
    assert (shown.type, shown.items, shown.placement, shown.item_id) == ("impression", ["p1", "p2"], "home", None)
    assert (without.type, without.items) == ("view", None)


def test_a_snowplow_event_of_a_warehouse_has_a_column_for_each_schema():
    ecommerce = "com_snowplowanalytics_snowplow_ecommerce"
    row = {"event_id": "e", "domain_userid": "d", "collector_tstamp": "2024-07-01 10:00:00 UTC", "event": "unstruct"}
    plugin = row | {
        "event_name": "snowplow_ecommerce_action",
        f"unstruct_event_{ecommerce}_snowplow_ecommerce_action_1_0_2": {"type": "transaction"},
        f"contexts_{ecommerce}_product_1_0_0": [{"id": "p1", "price": 5.5}, {"id": "p2"}],
        f"contexts_{ecommerce}_transaction_1_0_0": json.dumps([{"transaction_id": "O1", "revenue": 9}]),
    }
    older = row | {
        "event_name": "add_to_cart",
        "unstruct_event_com_snowplowanalytics_snowplow_add_to_cart_1": {"sku": "p3", "unitPrice": "2.5"},
    }
    order, cart = rows_of("snowplow", plugin, older)
    assert (order.type, order.event_id, order.item_id, order.price) == ("purchase", "purchase:O1", "p1", 5.5)
    assert order.context["order_total"] == "9"
    assert (cart.type, cart.item_id, cart.price) == ("cart", "p3", 2.5)


def test_a_snowplow_page_view_is_an_event_of_type_other():
    (event,) = rows_of("snowplow", snowplow(user_id="u1"))
    assert (event.event_id, event.user_id, event.ts) == ("e1", "u1", 1719828000500)
    assert (event.type, event.context) == ("other", {"event": "page_view", "device": "Mobile"})


@pytest.mark.parametrize(
    ("values", "found"),
    [
        (
            {
                "event": "unstruct", "event_name": "snowplow_ecommerce_action",
                "unstruct_event": unstructured("snowplow_ecommerce_action", type="add_to_cart"),
                "contexts": {"data": [entity("product", id="p1", price=19.5), entity("product", id="p2")]},
            },
            ("cart", "p1", 19.5, "e1"),
        ),
        (
            {
                "event": "unstruct", "event_name": "snowplow_ecommerce_action",
                "unstruct_event": unstructured("snowplow_ecommerce_action", type="transaction"),
                "contexts": {"data": [entity("transaction", transaction_id="O1"), entity("product", id="p1")]},
            },
            ("purchase", "p1", None, "purchase:O1"),
        ),
        (
            {
                "event": "unstruct", "event_name": "add_to_cart",
                "unstruct_event": unstructured("add_to_cart", sku="p1", unitPrice=3, quantity=2),
            },
            ("cart", "p1", 3, "e1"),
        ),
        (
            {"event": "transaction", "event_name": "transaction", "tr_orderid": "O1", "tr_total": "5"},
            ("purchase", None, None, "purchase:O1"),
        ),
        (
            {
                "event": "transaction_item", "event_name": "transaction_item",
                "ti_orderid": "O1", "ti_sku": "p1", "ti_price": "5",
            },
            ("purchase", "p1", 5, "purchase:O1"),
        ),
        ({"event": "struct", "event_name": "event", "se_action": "add_to_cart"}, ("cart", None, None, "e1")),
    ],
)  # fmt: skip
def test_snowplows_shopping_has_its_types(values, found):
    (event,) = rows_of("snowplow", snowplow(**values))
    assert (event.type, event.item_id, event.price, event.event_id) == found


@pytest.mark.parametrize(
    ("name", "line", "reason"),
    [
        ("posthog", {name: one for name, one in POSTHOG.items() if name != "distinct_id"}, "distinct_id"),
        ("posthog", POSTHOG | {"distinct_id": "undefined"}, "distinct_id"),
        ("matomo", {"visitorId": "v"}, "actionDetails"),
        ("matomo", VISIT | {"visitorId": None}, "visitorId"),
        ("matomo", VISIT | {"actionDetails": [{"type": "action", "timestamp": "today"}]}, "timestamp"),
        ("snowplow", snowplow(domain_userid=""), "network_userid"),
        ("snowplow", snowplow(derived_tstamp=""), "derived_tstamp"),
        ("snowplow", snowplow(event_id=""), "event_id"),
    ],
)
def test_what_is_wrong_names_its_field(name, line, reason):
    (bad,) = rows_of(name, line)
    assert isinstance(bad, BadRow)
    assert bad.reason == reason


def test_a_row_with_another_number_of_columns_says_so():
    event, bad = rows_of("snowplow", snowplow(), snowplow() + "\tx")
    assert (event.type, bad.line, bad.reason) == ("other", 2, "columns")


def test_who_is_known_keeps_the_id_of_before():
    known = rows_of("snowplow", snowplow(user_id="u"), snowplow())
    assert [(event.user_id, event.anonymous_id) for event in known] == [("u", "d1"), ("d1", None)]
    visits = [rows_of("matomo", VISIT | {"userId": user})[0] for user in ("u", None)]
    assert [(event.user_id, event.anonymous_id) for event in visits] == [("u", "v1"), ("v1", None)]


@pytest.mark.parametrize(("name", "field"), [("$identify", "$anon_distinct_id"), ("$create_alias", "alias")])
def test_posthogs_identities_are_followed(name, field):
    (event,) = rows_of("posthog", POSTHOG | {"event": name, "properties": {field: "a1"}})
    assert (event.type, event.user_id, event.anonymous_id) == ("identify", "u1", "a1")
    (bad,) = rows_of("posthog", POSTHOG | {"event": name, "properties": {}})
    assert isinstance(bad, BadRow)
