"""The schemas of docs/contracts agree with the code: what decoding accepts, and what the worker publishes."""

import json
from concurrent.futures import ThreadPoolExecutor

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.core.byte_strings import ByteStrings
from model.core.decode import decode_events
from model.events import Event
from model.formats.records import decoder_of
from model.heads import HeadNames
from model.items.moments import Moments
from model.shop import NO_SHOP
from model.validate import LATE
from sinks.recommendations import RecommendationJudge
from streams.fetch import Fetch
from streams.lookups.answers import Reason, StoredEvent, Suggestion
from streams.lookups.item_query import ItemQuery
from streams.messages import UNPACKED, dead_letter_records, score_records
from streams.recommendations import Recommendations
from tests.harness.contract_schemas import CONTRACTS, headers_of, validator
from tests.harness.memory_kafka import MemoryRecord
from tests.harness.records import event_fields

LEAST = event_fields()
FULL = LEAST | {
    "ts": "2017-11-24T16:00:17.5+01:00", "type": "cart", "item_id": "sku", "category": "c", "price": 10, "quantity": 2,
    "rating": 4.5, "text": "words", "anonymous_id": "a", "context": {"channel": "email", "device": "phone"},
}  # fmt: skip
TRACE = (("traceparent", b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"), ("tracestate", b"a=1"))


def accepted(value: bytes) -> bool:
    return not decode_events([value])[1]


VALUES = [
    None, True, False, 0, -1, 1, 7.5, -0.5, 1e300, "", "a", "ü", "x" * 1024, "x" * 1025, [], ["a"], {}, {"a": "b"},
    {"channel": "email"}, {"channel": 7}, "view", "wave", "identify",
    946_684_799_999, 946_684_800_000, 4_102_444_799_999, 4_102_444_800_000, 1.5e12, 1.5e12 + 0.5,
    "2017-11-24T16:00:17Z", "2099-12-31T23:59:59.999Z", "2017-11-24T16:00:17.123456789-08:00",
    "2017-11-24", "2017-11-24T16:00:17", "2017-13-24T16:00:17Z", "2017-11-24T24:00:01Z", "1999-11-24T16:00:17Z",
    "1511539217000", "yesterday",
]  # fmt: skip
"""What a field may or may not be; each is tried in each field."""
FIELDS = [*Event.__struct_fields__, "unknown"]


@st.composite
def nearly_events(draw) -> dict[str, object]:
    """An event of which a few fields were exchanged or taken away."""
    event: dict[str, object] = dict(draw(st.sampled_from([LEAST, FULL])))
    for name in draw(st.sets(st.sampled_from(FIELDS), max_size=3)):
        event[name] = draw(st.sampled_from(VALUES) | st.integers() | st.floats(allow_nan=False, allow_infinity=False))
    for name in draw(st.sets(st.sampled_from(list(event)), max_size=1)):
        del event[name]
    return event


def is_valid_and_accepted(event) -> bool:
    """Return what both say; fail if they say different things."""
    value = json.dumps(event).encode()
    assert validator("event").is_valid(event) == accepted(value), event
    return accepted(value)


@pytest.mark.parametrize("name", FIELDS)
def test_a_field_is_valid_if_and_only_if_it_is_accepted(name):
    for event in (LEAST, FULL):
        verdicts = [is_valid_and_accepted(event | {name: value}) for value in VALUES]
        assert any(verdicts)
        is_valid_and_accepted({each: value for each, value in event.items() if each != name})


@given(nearly_events() | st.sampled_from(VALUES))
def test_an_event_is_valid_if_and_only_if_it_is_accepted(event):
    is_valid_and_accepted(event)


def test_the_schema_of_events_names_what_events_are_written_with():
    schema = validator("event").schema
    assert list(schema["properties"]) == [*Event.__struct_fields__]
    assert validator("event").is_valid(json.loads(msgspec.json.encode(Event("e", "u", "view", LEAST["ts"], price=1.0))))


@pytest.mark.parametrize(
    ("value", "is_accepted"),
    [
        (b'{"event_id":"e","user_id":"u","type":"view","ts":1511539217000,"price":NaN}', False),
        (json.dumps(LEAST | {"user_id": "ü" * 1024}).encode(), False),
        (json.dumps(LEAST | {"text": "\ud800"}).encode(), False),
        (json.dumps(LEAST | {"ts": "2017-02-30T00:00:00Z"}).encode(), False),
        (json.dumps(LEAST | {"ts": "2000-01-01T00:00:00+01:00"}).encode(), False),
        (b"%b" % json.dumps(LEAST).encode().replace(b"}", b',"price":1e999}'), False),
        (json.dumps(LEAST | {"x": json.loads("[" * 70 + "]" * 70)}).encode(), False),
    ],
)
def test_what_the_schema_cannot_say_is_where_its_description_says(value, is_accepted):
    assert validator("event").is_valid(json.loads(value))
    assert accepted(value) is is_accepted


@pytest.mark.parametrize("ts", ["20171124T160017Z", "2017-11-24 16:00:17Z", "2100-01-01T00:30:00+01:00"])
def test_other_forms_of_time_are_accepted_though_the_schema_does_not_know_them(ts):
    assert not validator("event").is_valid(LEAST | {"ts": ts})
    assert accepted(json.dumps(LEAST | {"ts": ts}).encode())


def scored(horizons=("session", "1h", "24h"), heads=(), extra=(), traces=None, *, has_money=False):
    """Score three events as the worker does: one with everything, one with little, one with strange types."""
    events = [FULL, LEAST, LEAST | {"event_id": 7, "user_id": 42, "type": "wave", "item_id": "", "price": 1}]
    keys = [str(event["user_id"]).encode() for event in events]
    fetch = Fetch(
        "shop.events", 3, ByteStrings.of(keys), ByteStrings.of([json.dumps(event).encode() for event in events]),
        np.array([0, 107, 2**62]), np.array([1_700_000_000_007, 0, 1]), traces or {},
    )  # fmt: skip
    batch, rejects = decode_events(fetch.values, fetch.keys)
    assert rejects == []
    names = HeadNames(heads, has_money=has_money)
    numbers = np.array([[0.0] * len(horizons), [1.0] * len(horizons), [0.5] * len(horizons)], np.float32)
    fields = {name: column for (name, _), column in zip(names.fields, extra, strict=True)}
    records = score_records(
        fetch, batch, np.arange(3), numbers, model="m", scored_at_ms=1_700_000_000_123, horizons=horizons, extra=fields
    )
    return list(records)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"horizons": ("30m",)},
        {"horizons": ("session", "1h", "24h", "7d")},
        {"heads": ("next_type",), "extra": [["cart", "view", "other"], [0.4, 0.0, 1.0]]},
        {"heads": ("purchase_category",), "extra": [[["a", "b", "c"], [], ["a"]]]},
        {"horizons": ("session", "1h", "24h", "add_to_cart"), "has_money": True, "extra": [[0.0, 12.3456, 1e6]]},
    ],
)
def test_scores_are_valid_whatever_the_models_horizons_and_heads(options):
    for record in scored(**options):
        validator("score").validate(json.loads(record.value))
        validator("score-headers").validate(headers_of(record.headers))


@pytest.mark.parametrize(
    "changes",
    [
        {"user_id": ""},
        {"event_type": "wave"},
        {"price": "9.99"},
        {"propensity_24h": 1.5},
        {"propensity_7d": "0.5"},
        {"source_offset": -1},
        {"scored_at": "2023-11-14"},
        {"channel": 7},
        {"next_type": "cart"},
        {"next_purchase_categories": ["a", "b", "c", "d"]},
        *({name: ...} for name in ("user_id", "price", "model", "source_timestamp")),
    ],
)
def test_what_is_no_score_is_not_valid(changes):
    score = json.loads(scored()[0].value) | changes
    assert not validator("score").is_valid({name: value for name, value in score.items() if value is not ...})


def test_a_score_without_any_propensity_is_not_valid():
    score = json.loads(scored()[0].value)
    assert not validator("score").is_valid(
        {name: value for name, value in score.items() if not name.startswith("propensity_")}
    )


BAD_VALUES = [None, b"", b"{", b"[]", b"\xff", b"{}", b"[" * 70, json.dumps(LEAST | {"price": -1}).encode()]


@pytest.mark.parametrize("input_format", ["cartcast", "segment", "ga4"])
def test_headers_of_dead_letters_are_valid(input_format):
    fetch = Fetch(
        "shop.events", 3, ByteStrings.of([b"u"] * len(BAD_VALUES)), ByteStrings.of(BAD_VALUES),
        np.arange(len(BAD_VALUES)), np.zeros(len(BAD_VALUES), np.int64),
    )  # fmt: skip
    _, rejects = decoder_of(input_format)(fetch.values, fetch.keys)
    records = dead_letter_records(fetch, rejects)
    assert len(records) == len(BAD_VALUES)
    for record in records:
        validator("dead-letter-headers").validate(headers_of(record.headers))


def test_reasons_of_dead_letters_are_among_the_schemas():
    values = [*BAD_VALUES, *(json.dumps(LEAST | {name: []}).encode() for name in Event.__struct_fields__)]
    _, rejects = decode_events(values, [b"u"] * len(values))
    _, other_key = decode_events([json.dumps(LEAST).encode()], [b"v"])
    found = {reject.reason for reject in [*rejects, *other_key]}
    assert found | {LATE, UNPACKED} == set(validator("dead-letter-headers").schema["properties"]["reason"]["examples"])


def test_the_trace_of_the_event_is_in_valid_headers():
    traced, untraced, _ = scored(traces={0: TRACE})
    validator("score-headers").validate(headers_of(traced.headers))
    assert headers_of(traced.headers).items() >= {(name, value.decode()) for name, value in TRACE}
    assert headers_of(untraced.headers).keys() == {"topic", "partition", "offset"}


@pytest.mark.parametrize(
    "changes",
    [{"offset": "-1"}, {"partition": "1.0"}, {"topic": ""}, {"tracestate": "a=1"}, {"traceparent": "nonsense"}],
)
def test_what_are_no_headers_of_a_score_is_not_valid(changes):
    assert not validator("score-headers").is_valid(headers_of(scored()[0].headers) | changes)


def test_a_recommendation_is_as_its_contract_says():
    fetch = Fetch(
        "cartcast.events", 3, ByteStrings.of([b"u"]), ByteStrings.of([json.dumps(FULL | {"user_id": "u"}).encode()]),
        np.array([7]), np.array([5]),
    )  # fmt: skip
    batch, _ = decode_events(fetch.values, fetch.keys)
    event = StoredEvent(1_511_539_217_000, "view", "0123456789"[:9])
    reasons = [Reason("event", event, "i", None, 0.5), Reason("new")]
    suggested = msgspec.json.encode([Suggestion("j", 1.5, "title", None, 9.5, reasons)])
    made = Recommendations(
        lambda _states, _query: ByteStrings.of([suggested]),
        ItemQuery(),
        "m",
        NO_SHOP.event_types,
        ThreadPoolExecutor(1),
        lambda: 9,
    )
    (record,) = made.records(fetch, batch, Moments(np.zeros(1, np.int64), np.zeros(1)), 1_764_000_000_000)
    value = json.loads(record.value)
    validator("recommendation").validate(value)
    validator("score-headers").validate(headers_of(record.headers))
    assert set(value) == set(json.loads((CONTRACTS / "recommendation.schema.json").read_bytes())["properties"])
    read_by_sink = RecommendationJudge("cartcast.events", 3)(
        MemoryRecord(3, 0, record.value, record.headers, record.key)
    )
    assert read_by_sink.source_offset == 7
    for name in value:
        assert not validator("recommendation").is_valid({key: each for key, each in value.items() if key != name})
