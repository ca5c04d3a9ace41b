"""The scores topic's records, field by field, as design and documentation promise them to whoever reads the topic."""

import json

import numpy as np
import pytest

from model.core.byte_strings import ByteStrings
from model.core.decode import decode_events
from model.events import EVENT_TYPES, Score
from model.heads import HeadNames
from model.level import SHIFT_FIELDS
from model.text import MAX_CHARACTERS
from streams.fetch import Fetch
from streams.messages import score_records

FIELDS = {
    "user_id": str,
    "event_id": str,
    "event_type": str,
    "item_id": (str, type(None)),
    "category": (str, type(None)),
    "price": (float, type(None)),
    "event_time": int,
    "propensity_session": float,
    "propensity_1h": float,
    "propensity_24h": float,
    "model": str,
    "source_topic": str,
    "source_partition": int,
    "source_offset": int,
    "scored_at": int,
    "channel": (str, type(None)),
    "source_timestamp": int,
}
OF_SOME_EVENTS = {"quantity": float, "rating": float, "text": str, "anonymous_id": str}
FULL = {
    "event_id": "e-1", "user_id": "ü", "type": "cart", "ts": "2017-11-24T16:00:17.5Z", "item_id": "sku",
    "category": "c", "price": 10, "quantity": 2, "rating": 5,
    "text": "good \"soles\"", "anonymous_id": "a-1",
    "context": {"device": "phone", "channel": "email"}, "shoe_size": 44,
}  # fmt: skip
LEAST = {"event_id": 7, "user_id": 42, "type": "wave", "ts": 1511539217000, "item_id": None, "price": None}


@pytest.fixture
def records():
    values = [json.dumps(event).encode() for event in (FULL, LEAST)]
    keys, times = ByteStrings.of(["ü".encode(), b"42"]), np.array([1700000000007, 0])
    fetch = Fetch("shop.events", 3, keys, ByteStrings.of(values), np.array([100, 107]), times)
    batch, _ = decode_events(fetch.values, fetch.keys)
    propensities = np.array([[0.25, 0.5, 0.75], [0.125, 0.0, 1.0]], np.float32)
    return score_records(fetch, batch, np.arange(2), propensities, model="lstm8-ab", scored_at_ms=1700000000123)


def test_a_score_has_exactly_the_promised_fields_of_the_promised_types(records):
    full, least = (json.loads(record.value) for record in records)
    assert list(full) == [*list(FIELDS)[:6], *OF_SOME_EVENTS, *list(FIELDS)[6:]]
    assert list(least) == list(FIELDS)
    for name, value in (*full.items(), *least.items()):
        assert isinstance(value, (FIELDS | OF_SOME_EVENTS)[name]), name
        assert not isinstance(value, bool)


def test_a_score_is_flat_json_on_one_line(records):
    for record in records:
        assert b"\n" not in record.value
        assert record.value.count(b"{") == record.value.count(b"[") + 1 == 1


def test_a_score_says_what_its_event_said_and_where_it_lay(records):
    full, least = (json.loads(record.value) for record in records)
    assert full == {
        "user_id": "ü", "event_id": "e-1", "event_type": "cart", "item_id": "sku", "category": "c", "price": 10.0,
        "quantity": 2.0, "rating": 5.0, "text": 'good "soles"', "anonymous_id": "a-1",
        "event_time": 1511539217500, "propensity_session": 0.25, "propensity_1h": 0.5, "propensity_24h": 0.75,
        "model": "lstm8-ab", "source_topic": "shop.events", "source_partition": 3, "source_offset": 100,
        "scored_at": 1700000000123, "channel": "email", "source_timestamp": 1700000000007,
    }  # fmt: skip
    assert (least["user_id"], least["event_id"], least["event_type"]) == ("42", "7", "other")
    assert (least["item_id"], least["category"], least["price"]) == (None, None, None)
    assert (least["channel"], least["source_timestamp"]) == (None, 0)


def test_the_headers_name_the_source_record_and_the_key_is_the_events(records):
    assert [record.headers for record in records] == [
        [("topic", b"shop.events"), ("partition", b"3"), ("offset", b"100")],
        [("topic", b"shop.events"), ("partition", b"3"), ("offset", b"107")],
    ]
    assert [record.key for record in records] == ["ü".encode(), b"42"]


def test_the_declared_message_type_is_this_contract():
    assert Score.__struct_fields__ == (*FIELDS, *OF_SOME_EVENTS, "shown", "shown_by", "placement", *SHIFT_FIELDS)


@pytest.mark.parametrize("number", [0, -3, 2.5, 1e22, 7])
def test_numbers_of_an_event_are_repeated_as_it_had_them(number):
    body = score_of(quantity=number, rating=number)
    assert (body["quantity"], body["rating"]) == (number, number)


@pytest.mark.parametrize("character", ["a", "ü", "日", "🛒", '"', "\\", "\n", "\x01", "\u2028"])
@pytest.mark.parametrize("as_ascii", [True, False])
def test_of_a_text_a_score_repeats_as_much_as_the_model_reads(character, as_ascii):
    for length in (1, MAX_CHARACTERS - 1, MAX_CHARACTERS, MAX_CHARACTERS + 1, 2 * MAX_CHARACTERS):
        text = character * (length - 1) + "z"
        assert score_of(as_ascii=as_ascii, text=text)["text"] == text[:MAX_CHARACTERS]


@pytest.mark.parametrize(
    "nothing", [{}, {"quantity": None, "rating": None, "text": None}, {"text": "", "anonymous_id": "42"}]
)
def test_a_score_of_an_event_without_words_and_numbers_has_no_such_fields(nothing):
    assert list(score_of(**nothing)) == list(FIELDS)


def score_of(*, as_ascii=True, **fields):
    """Return the score of an event with these fields."""
    batch, _ = decode_events([json.dumps(LEAST | fields, ensure_ascii=as_ascii).encode()])
    fetch = Fetch("shop.events", 3, ByteStrings.of([b"42"]), ByteStrings.of([b""]), np.array([7]), np.array([9]))
    (record,) = score_records(fetch, batch, np.arange(1), np.full((1, 3), 0.5, np.float32), model="m", scored_at_ms=1)
    return json.loads(record.value)


@pytest.mark.parametrize("horizons", [("30m",), ("session", "7d"), ("24h", "1h", "session"), ("1h", "2h", "3h", "4h")])
def test_a_model_of_other_horizons_publishes_theirs_in_the_same_place(horizons):
    batch, _ = decode_events([json.dumps(LEAST).encode()])
    fetch = Fetch("shop.events", 3, ByteStrings.of([b"42"]), ByteStrings.of([b""]), np.array([7]), np.array([9]))
    numbers = np.linspace(0.25, 0.5, len(horizons), dtype=np.float32)
    (record,) = score_records(fetch, batch, np.arange(1), numbers[None], model="m", scored_at_ms=1, horizons=horizons)
    body = json.loads(record.value)
    fields = list(FIELDS)
    assert list(body) == [*fields[:7], *(f"propensity_{horizon}" for horizon in horizons), *fields[10:]]
    assert [body[f"propensity_{horizon}"] for horizon in horizons] == numbers.astype(float).round(6).tolist()
    assert (body["event_time"], body["source_offset"], body["scored_at"]) == (LEAST["ts"], 7, 1)


def test_further_heads_answer_in_fields_of_their_own_after_the_propensities():
    batch, _ = decode_events([json.dumps(LEAST).encode()])
    fetch = Fetch("shop.events", 3, ByteStrings.of([b"42"]), ByteStrings.of([b""]), np.array([7]), np.array([9]))
    names, answers = HeadNames(("next_type", "purchase_category")), ("cart", 0.41, ["shoes", "bags", "hats"])
    (record,) = score_records(
        fetch,
        batch,
        np.arange(1),
        np.full((1, 3), 0.5, np.float32),
        model="m",
        scored_at_ms=1,
        extra={name: [answer] for (name, _), answer in zip(names.fields, answers, strict=True)},
    )
    body = json.loads(record.value)
    fields = list(FIELDS)
    extra = {"next_type": "cart", "next_type_propensity": 0.41, "next_purchase_categories": ["shoes", "bags", "hats"]}
    assert list(body) == [*fields[:10], *extra, *fields[10:]]
    assert {name: body[name] for name in extra} == extra


def test_event_types_are_the_promised_ones():
    assert EVENT_TYPES == (
        "view", "search", "favorite", "cart", "remove_from_cart", "checkout", "purchase", "review", "refund", "other",
    )  # fmt: skip
