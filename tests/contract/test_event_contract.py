"""The events topic's records as design and documentation promise to accept and to refuse them."""

import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.core.decode import decode_events
from model.events import EVENT_TYPES, Event
from tests.harness.records import event_fields

MINIMAL = event_fields()

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
ids = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20)
numbers = st.none() | st.floats(0, 1e12)
canonical_events = st.builds(
    Event,
    event_id=ids,
    user_id=ids,
    type=st.sampled_from(EVENT_TYPES),
    ts=st.integers(946_684_800_000, 4_102_444_799_999),
    item_id=st.none() | texts,
    category=st.none() | texts,
    price=numbers,
    quantity=numbers,
    rating=numbers,
    text=st.none() | texts,
    context=st.none() | st.dictionaries(texts, texts, max_size=3),
)


@given(st.lists(canonical_events, min_size=1, max_size=5))
def test_every_canonical_event_is_accepted_as_it_is_written(events):
    values = [msgspec.json.encode(event) for event in events]
    batch, rejects = decode_events(values, [event.user_id.encode() for event in events])
    assert rejects == []
    assert batch.user_ids == [event.user_id for event in events]
    assert batch.event_ids == [event.event_id for event in events]
    assert batch.item_ids == [event.item_id for event in events]
    assert batch.event_time_ms.tolist() == [event.ts for event in events]


def decoded(key: bytes | None = b"u", **fields):
    value = json.dumps({name: value for name, value in (MINIMAL | fields).items() if value != "left out"}).encode()
    return decode_events([value], [key])


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"type": "wave"},
        {"ts": "2017-11-24T16:00:17+01:00"},
        {"ts": 946684800000},
        {"price": 0},
        {"price": 19.99, "quantity": 0, "rating": 4.5, "text": "", "context": {"country": "DE"}},
        {"item_id": None, "category": None, "price": None, "context": None},
        {"item_id": 4711, "category": 12},
        {"anonymous_id": "a"},
        {"anonymous_id": 4711, "type": "identify"},
        {"anonymous_id": "u"},
        {"anonymous_id": None},
        {"unknown": {"deep": [1, 2, {"x": None}]}},
    ],
)
def test_what_the_contract_allows_is_accepted(fields):
    batch, rejects = decoded(**fields)
    assert (len(batch), rejects) == (1, [])


@pytest.mark.parametrize(
    ("reason", "fields"),
    [
        *((field, {field: value}) for field in MINIMAL for value in ("left out", None, "")),
        ("ts", {"ts": -1}),
        ("ts", {"ts": 32503680000000}),
        ("ts", {"ts": "2017-11-24 16:00"}),
        ("price", {"price": "9.99"}),
        ("price", {"price": -1}),
        ("user_id", {"user_id": "u" * 10_000}),
        ("anonymous_id", {"anonymous_id": "a" * 10_000}),
        ("anonymous_id", {"type": "identify"}),
        ("anonymous_id", {"type": "identify", "anonymous_id": ""}),
        ("anonymous_id", {"type": "identify", "anonymous_id": "u"}),
    ],
)
def test_what_the_contract_forbids_is_a_dead_letter_with_the_fields_name(reason, fields):
    batch, (reject,) = decoded(**fields)
    assert (len(batch), reject.reason) == (0, reason)


@pytest.mark.parametrize(
    ("anonymous_id", "expected"), [("a", "a"), ("ä \n", "ä \n"), (7, "7"), ("u", None), ("", None), (None, None)]
)
@pytest.mark.parametrize("beside", [{}, {"text": "\u2028 escaped"}, {"price": 1e-3}])
def test_an_anonymous_id_is_read_unless_it_says_nothing(anonymous_id, expected, beside):
    batch, rejects = decoded(anonymous_id=anonymous_id, **beside)
    assert (batch.anonymous_ids, rejects) == ([expected], [])


@pytest.mark.parametrize("key", [None, b"", b"U", b"someone else", b"\xff"])
def test_a_record_with_another_key_or_none_is_a_dead_letter(key):
    batch, (reject,) = decoded(key=key)
    assert (len(batch), reject.reason) == (0, "key")


def test_a_number_as_user_id_is_its_decimal_text_also_for_the_key():
    batch, rejects = decoded(key=b"42", user_id=42)
    assert (batch.user_ids, rejects) == (["42"], [])
