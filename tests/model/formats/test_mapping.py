import json
from copy import deepcopy

import pytest
import yaml

from model.events import Event
from model.formats.mapping import definition_of, format_of
from model.formats.mapping_suggestion import suggested_mapping
from model.validate import BadRow
from service.errors import UsageError

MAPPING = yaml.safe_load("""
fields:
  user_id: [customer.id, visitor]
  ts: created_at
  type: action
  event_id: id
  order_id: order.number
  item_id: lines.0.sku
  price: lines.0.price
  context: {device: ua.device}
types: {product_seen: view, basket_add: cart, paid: purchase}
time: seconds
""")
ROW = {
    "id": "e1", "action": "paid", "created_at": 1700000000.5, "visitor": "v", "customer": {"id": None},
    "order": {"number": 17.0}, "lines": [{"sku": "s1", "price": "$9.50"}, {"sku": "s2"}], "ua": {"device": "phone"},
}  # fmt: skip


def rows_of(mapping: dict, *lines: object):
    texts = (line.encode() if isinstance(line, str) else json.dumps(line).encode() for line in lines)
    return list(format_of(definition_of(deepcopy(mapping))).read_rows(iter(enumerate(texts, start=1))))


def test_a_row_becomes_the_event_that_the_mapping_says():
    (event,) = rows_of(MAPPING, ROW)
    assert event == Event(
        event_id="purchase:17",
        user_id="v",
        type="purchase",
        ts=1700000000500,
        item_id="s1",
        price=9.5,
        context={"order_id": "17", "device": "phone"},
    )
    view, cart = rows_of(MAPPING, ROW | {"action": "product_seen"}, ROW | {"action": "cart", "customer": {"id": "c"}})
    assert (view.type, view.event_id, cart.type, cart.user_id) == ("view", "e1", "cart", "c")


def test_columns_of_a_table_are_paths_too():
    mapping = {
        "fields": {"user_id": "Customer Nr", "ts": "Datum"},
        "types": {"*": "purchase"},
        "time": "%d.%m.%Y %H:%M",
    }
    first, other = rows_of(mapping, "Datum;Customer Nr;Preis", "05.01.2026 10:00;7.0;3,50", "06.01.2026 10:00;7.0;3,50")
    assert (first.user_id, first.type, first.ts) == ("7", "purchase", 1767607200000)
    assert first.event_id != other.event_id
    headless = mapping | {"columns": ["Datum", "Preis", "Customer Nr"]}
    (same,) = rows_of(headless, "05.01.2026 10:00\t3,50\t7")
    assert same == first


def test_an_array_of_events_shares_what_stands_beside_it():
    mapping = {"fields": {"user_id": "who", "ts": "at", "type": "kind"}, "types": {}, "events": "actions"}
    actions = [{"at": "2026-01-05T10:00:00Z", "kind": kind} for kind in ("view", "cart", "dance")]
    view, cart, bad = rows_of(mapping, {"who": "u", "actions": actions})
    assert (view.user_id, view.type, cart.type, bad.reason) == ("u", "view", "cart", "type")


@pytest.mark.parametrize(
    ("reason", "changed"),
    [
        ("type", {"action": "dance"}),
        ("type", {"action": None}),
        ("ts", {"created_at": None}),
        ("ts", {"created_at": "yesterday"}),
        ("ts", {"created_at": 1700000000000}),
        ("user_id", {"visitor": "undefined"}),
        ("price", {"lines": [{"price": "free"}]}),
        ("item_id", {"lines": [{"sku": "2.1E+18"}]}),
    ],
)
def test_what_is_wrong_names_its_field(reason, changed):
    (bad,) = rows_of(MAPPING, ROW | changed)
    assert isinstance(bad, BadRow)
    assert bad.reason == reason


@pytest.mark.parametrize(
    ("place", "changed"),
    [
        ("file", {"file": "csv"}),
        ("fields.user", {"fields": {"user": "u"}}),
        ("fields.user_id", {"fields": {"ts": "t", "type": "x"}}),
        ("fields.ts", {"fields": {"user_id": "u", "type": "x"}}),
        ("fields.type", {"fields": {"user_id": "u", "ts": "t"}}),
        ("fields.price", {"fields": MAPPING["fields"] | {"price": 5}}),
        ("fields.context", {"fields": MAPPING["fields"] | {"context": "ua"}}),
        ("fields", {"fields": ["user_id"]}),
        ("types.paid", {"types": {"paid": "sold"}}),
        ("time", {"time": "minutes"}),
        ("events", {"events": 5}),
        ("columns", {"columns": ["a", "a"]}),
    ],
)
def test_a_mapping_that_cannot_be_is_refused_at_its_place(place, changed):
    with pytest.raises(UsageError, match=rf"^{place}: "):
        definition_of(deepcopy(MAPPING) | changed)


SAMPLES = {
    "objects": [json.dumps(ROW | {"created_at": 1700000000 + number, "customer": {"id": "c"}}) for number in range(3)],
    "table": [
        "Kunde;customer_id;timestamp;event name;sku",
        *(f"x;7;0{n}.01.2026 10:00;Added to basket;s" for n in (1, 2)),
    ],
    "hours": ["user_pseudo_id,item_sku,behavior_type,order_date", *(f"7,s,cart,2014-12-0{n} 02" for n in (1, 2))],
}


@pytest.mark.parametrize("sample", SAMPLES)
def test_a_suggested_mapping_reads_its_sample(sample):
    lines = SAMPLES[sample]
    text = suggested_mapping(iter(enumerate((line.encode() for line in lines), start=1)))
    events = rows_of(yaml.safe_load(text), *lines)
    assert [type(event) for event in events] == [Event] * (3 if sample == "objects" else 2)
    assert {(event.type, event.user_id) for event in events} == {
        ("purchase", "c") if sample == "objects" else ("cart", "7")
    }
    assert {event.item_id for event in events} == {None if sample == "objects" else "s"}


def test_what_no_name_looks_like_is_a_comment():
    text = suggested_mapping(iter([(1, b'{"a": 5, "who": "u", "timestamp": "soon"}')]))
    assert "  # user_id:\n" in text
    assert "# not read: a\n" in text
    assert "# time: " in text
    with pytest.raises(UsageError, match=r"fields\.user_id: missing"):
        definition_of(yaml.safe_load(text))


IDENTITY = {
    "fields": {"user_id": ["customer", "device"], "anonymous_id": "device", "ts": "at", "type": "kind"},
    "types": {"log_in": "identify", "seen": "view"},
}


def test_a_mapping_may_name_an_anonymous_id_and_a_log_in():
    at = {"at": "2026-01-05T10:00:00Z"}
    before, login, after, bad = rows_of(
        IDENTITY,
        at | {"device": "d", "kind": "seen"},
        at | {"device": "d", "customer": 7, "kind": "log_in"},
        at | {"device": "d", "customer": 7, "kind": "seen"},
        at | {"device": "d", "kind": "log_in"},
    )
    found = [(event.user_id, event.anonymous_id, event.type) for event in (before, login, after)]
    assert found == [("d", None, "view"), ("7", "d", "identify"), ("7", "d", "view")]
    assert isinstance(bad, BadRow)
    assert bad.reason == "anonymous_id"


def test_a_suggested_mapping_knows_a_shopper_by_the_anonymous_id_before_a_log_in():
    rows = [{"user_id": user, "anonymous_id": "d", "ts": "2026-01-05T10:00:00Z", "type": "view"} for user in ("", "u")]
    lines = [json.dumps(row) for row in rows]
    text = suggested_mapping(iter(enumerate((line.encode() for line in lines), start=1)))
    events = rows_of(yaml.safe_load(text), *lines)
    assert [(event.user_id, event.anonymous_id) for event in events] == [("d", None), ("u", "d")]


def test_a_word_for_nothing_is_no_id_where_another_path_has_one():
    row = {"device": "d", "at": "2026-01-05T10:00:00Z", "kind": "seen"}
    kept, missing = rows_of(IDENTITY, row | {"customer": "undefined"}, row | {"customer": "null", "device": "nan"})
    assert (kept.user_id, kept.anonymous_id) == ("d", None)
    assert missing.error == "user_id is missing"
