"""Whatever a line holds, it becomes events or bad rows, and an accepted event is one that the worker accepts."""

import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.core.decode import decode_events
from model.events import Event
from model.formats import FORMATS, ga4, matomo, otto, posthog, segment, snowplow
from model.validate import BadRow

MARK = "Zq7"
JSON_FORMATS = {
    "segment": segment.FORMAT,
    "ga4": ga4.FORMAT,
    "otto": otto.FORMAT,
    "posthog": posthog.FORMAT,
    "matomo": matomo.FORMAT,
    "snowplow": snowplow.FORMAT,
}

texts = st.sampled_from(["", MARK, "track", "Order Completed", "purchase", "search", "clicks", "2017-11-24T16:00:17Z"])
numbers = st.sampled_from([0, -1, 1.5, 1e308, 1511539217000, 1511539217000000, 10**19, 2**70, True, False, None])
leaves = texts | numbers | st.text(max_size=3)
names = [
    "type", "event", "messageId", "userId", "anonymousId", "timestamp", "properties", "products", "product_id",
    "price", "category", "query", "context", "device", "event_name", "event_timestamp", "user_pseudo_id",
    "event_params", "key", "value", "int_value", "items", "item_id", "name", "params", "events", "client_id",
    "timestamp_micros", "search_term", "session", "aid", "ts", "uuid", "distinct_id", "batch", "visitorId",
    "actionDetails", "itemDetails", "productViewSku", "orderId", "event_id", "user_id", "derived_tstamp", "contexts",
    "unstruct_event", "data", "schema", "id", "terms", "tr_orderid",
]  # fmt: skip
trees = st.recursive(
    leaves,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(names), inner, max_size=8),
    max_leaves=25,
)
objects = st.dictionaries(st.sampled_from(names), trees, max_size=15)
deep = st.integers(1, 1200).map(lambda depth: '{"x":' * depth + "1" + "}" * depth)
lines = (objects.map(json.dumps) | deep).map(str.encode) | st.binary(max_size=60).map(
    lambda raw: raw.replace(b"\n", b"")
)


def assert_event_or_bad_row(row) -> None:
    if isinstance(row, BadRow):
        assert row.reason
        assert MARK not in row.error
        assert "\n" not in row.error
        return
    assert isinstance(row, Event)
    batch, rejects = decode_events([msgspec.json.encode(row)], [row.user_id.encode()])
    assert (len(batch), rejects) == (1, [])


@pytest.mark.parametrize("format_name", FORMATS)
@given(st.lists(lines.filter(bool), max_size=4))
def test_any_line_is_events_or_a_bad_row(format_name, content):
    numbered = list(enumerate(content, start=1))
    rows = list(FORMATS[format_name](iter(numbered)))
    for row in rows:
        assert_event_or_bad_row(row)
    assert {row.line for row in rows if isinstance(row, BadRow)} <= {number for number, _ in numbered}


@pytest.mark.parametrize("format_name", JSON_FORMATS)
@given(objects)
def test_any_object_is_events_or_bad_rows(format_name, fields):
    rows = list(JSON_FORMATS[format_name].read_rows(iter([(1, json.dumps(fields).encode())])))
    assert rows
    for row in rows:
        assert_event_or_bad_row(row)
