"""Snowplow's enriched events: 131 columns by tabs, without a header, of which some hold JSON.

https://docs.snowplow.io/docs/fundamentals/canonical-event/ and, for e-commerce, its plugin and the older events.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Final

from model.events import IMPRESSION, Event
from model.formats.fields import (
    Fields,
    first_id,
    flat_context,
    ids_of_shopper,
    number,
    object_in,
    objects_in,
    optional_id,
    optional_object,
    optional_text,
    plain_amount,
    required_id,
)
from model.formats.json_rows import JsonFormat
from model.formats.lists import shown_items
from model.formats.own import OwnReading
from model.formats.rows import order_event_id
from model.formats.times import moment_ms

COLUMNS: Final = tuple(
    (  # noqa: SIM905 - a line each would be two pages
        "app_id platform etl_tstamp collector_tstamp dvce_created_tstamp event event_id txn_id name_tracker v_tracker "
        "v_collector v_etl user_id user_ipaddress user_fingerprint domain_userid domain_sessionidx network_userid "
        "geo_country geo_region geo_city geo_zipcode geo_latitude geo_longitude geo_region_name ip_isp "
        "ip_organization ip_domain ip_netspeed page_url page_title page_referrer page_urlscheme page_urlhost "
        "page_urlport page_urlpath page_urlquery page_urlfragment refr_urlscheme refr_urlhost refr_urlport "
        "refr_urlpath refr_urlquery refr_urlfragment refr_medium refr_source refr_term mkt_medium mkt_source mkt_term "
        "mkt_content mkt_campaign contexts se_category se_action se_label se_property se_value unstruct_event "
        "tr_orderid tr_affiliation tr_total tr_tax tr_shipping tr_city tr_state tr_country ti_orderid ti_sku ti_name "
        "ti_category ti_price ti_quantity pp_xoffset_min pp_xoffset_max pp_yoffset_min pp_yoffset_max useragent "
        "br_name br_family br_version br_type br_renderengine br_lang br_features_pdf br_features_flash "
        "br_features_java br_features_director br_features_quicktime br_features_realplayer br_features_windowsmedia "
        "br_features_gears br_features_silverlight br_cookies br_colordepth br_viewwidth br_viewheight os_name "
        "os_family os_manufacturer os_timezone dvce_type dvce_ismobile dvce_screenwidth dvce_screenheight doc_charset "
        "doc_width doc_height tr_currency tr_total_base tr_tax_base tr_shipping_base ti_currency ti_price_base "
        "base_currency geo_timezone mkt_clickid mkt_network etl_tags dvce_sent_tstamp refr_domain_userid "
        "refr_dvce_tstamp derived_contexts domain_sessionid derived_tstamp event_vendor event_name event_format "
        "event_version event_fingerprint true_tstamp"
    ).split()
)
TYPES: Final = {
    "product_view": "view",
    "list_click": "view",
    "list_view": "view",
    "add_to_cart": "cart",
    "remove_from_cart": "remove_from_cart",
    "checkout_step": "checkout",
    "transaction": "purchase",
    "transaction_item": "purchase",
    "refund": "refund",
    "site_search": "search",
}
"""Canonical types by the action of the e-commerce plugin, or the name of an older event."""
_TIMES: Final = ("true_tstamp", "derived_tstamp", "collector_tstamp", "dvce_created_tstamp")
_OF_MANY_ITEMS: Final = frozenset({"list_view", "site_search"})
_LIST: Final = "list_view"
"""An impression if it has products."""
_ECOMMERCE: Final = "com_snowplowanalytics_snowplow_ecommerce_"
_SCHEMA_COLUMN: Final = re.compile(
    rf"(?P<kind>unstruct_event|contexts)_(?:{_ECOMMERCE}|com_snowplowanalytics_snowplow_)(?P<name>.+?)(?:_[0-9]+){{1,3}}"
)
"""A column of a warehouse's table, or a field of the analytics SDK's JSON, for each schema and version."""
_SIGNATURE: Final = frozenset({"event_id", "collector_tstamp", "domain_userid", "network_userid", "event_vendor"})


def _split(row: Fields) -> list[Fields]:
    """Return the row with what its JSON says: the event's name and data, a product, an order."""
    by_schema = [*_by_schema(row)]
    data = next((found for kind, _, found in by_schema if kind == "unstruct_event"), None)
    data = data or object_in(object_in(object_in(row, "unstruct_event"), "data"), "data")
    found = [*_entities(row), *((name, entity) for kind, name, entity in by_schema[::-1] if kind == "contexts")]
    entities = dict(found)
    products = [entity for name, entity in found if name == "product"][::-1]
    name = row.get("event_name") or row.get("event")
    if name == "snowplow_ecommerce_action":
        name = data.get("type")
    elif row.get("event") == "struct":
        name = row.get("se_action")
    product = _product(row, data, entities)
    return [row | {"name": name, "data": data, "product": product, "products": products, "entities": entities}]


def _by_schema(row: Fields) -> Iterator[tuple[str, str, Fields]]:
    """Yield what columns of a schema hold: whether of the event or a context, the schema's name, the data."""
    for column, given in row.items():
        if given and (schema := _SCHEMA_COLUMN.fullmatch(column)):
            held = optional_object(given)
            for data in held if isinstance(held, list) else [held]:
                if isinstance(data, dict):
                    yield schema["kind"], schema["name"], data


def _entities(row: Fields) -> Iterator[tuple[str, Fields]]:
    """Yield the entities, the last first, by the name of their schema: `iglu:vendor/name/jsonschema/1-0-0`."""
    for entity in reversed(objects_in(object_in(row, "contexts"), "data")):
        parts = str(entity.get("schema")).split("/")
        if len(parts) > 1:
            yield parts[1], object_in(entity, "data")


def _product(row: Fields, data: Fields, entities: Mapping[str, Fields]) -> Fields:
    older = {"id": row.get("ti_sku"), "category": row.get("ti_category"), "price": row.get("ti_price")}
    if older["id"]:
        return older | {"quantity": row.get("ti_quantity")}
    return entities.get("product") or {
        "id": data.get("sku"),
        "category": data.get("category"),
        "price": data.get("unitPrice") or data.get("unit_price"),
        "quantity": data.get("quantity"),
    }


def _event(part: Fields, own_types: Mapping[str, str] = {}) -> Event:
    name = required_id("event_name", part["name"])
    event_type = own_types.get(name) or TYPES.get(name, "other")
    items = None
    if name == _LIST and name not in own_types and (items := shown_items(part["products"], ("id",), "position")):
        event_type = IMPRESSION
    product = part["product"] if event_type != "other" and name not in _OF_MANY_ITEMS else {}
    order = first_id(part["entities"].get("transaction", {}) | part, "transaction_id", "tr_orderid", "ti_orderid")
    time = next((time for time in _TIMES if part.get(time)), _TIMES[1])
    terms = part["data"].get("terms")
    user_id, anonymous_id = ids_of_shopper(part, "user_id", "domain_userid", "network_userid")
    return Event(
        event_id=(order_event_id(order) if event_type == "purchase" else None)
        or required_id("event_id", part.get("event_id")),
        user_id=user_id,
        type=event_type,
        ts=moment_ms(time, required_id(time, part.get(time))),
        item_id=first_id(product, "id", "name"),
        category=optional_id("category", product.get("category")),
        price=number("price", product.get("price"), least=0),
        quantity=number("quantity", product.get("quantity")),
        text=optional_text("terms", " ".join(map(str, terms)) if isinstance(terms, list) else None),
        anonymous_id=anonymous_id,
        context=_context(part, order, name if event_type == "other" else None),
        items=items,
        placement=optional_id("name", part["data"].get("name")) if items else None,
    )


def _context(part: Fields, order: str | None, other_name: str | None) -> dict[str, str] | None:
    transaction, product = (part["entities"].get(name, {}) for name in ("transaction", "product"))
    return flat_context(
        {
            "event": other_name,
            "device": part.get("dvce_type"),
            "channel": part.get("mkt_medium"),
            "campaign": part.get("mkt_campaign"),
            "country": part.get("geo_country"),
            "session": part.get("domain_sessionid"),
            "brand": product.get("brand"),
            "order_id": order,
            "order_total": plain_amount(transaction.get("revenue") or part.get("tr_total")),
            "currency": transaction.get("currency") or part.get("tr_currency"),
        }
    )


_OWN: Final = OwnReading(lambda part: part["name"], lambda part: part, ("data",), frozenset({"data"}))
FORMAT: Final = JsonFormat(_split, _event, _OWN, _SIGNATURE, COLUMNS)
