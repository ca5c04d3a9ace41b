import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.core.byte_strings import ByteStrings
from model.core.decode import decode_events
from model.validate import Reject
from streams.fetch import Fetch
from streams.messages import dead_letter_records, score_records
from tests.harness.records import event_fields

MINIMAL = event_fields()


def fetch_of(*values: bytes | None, offsets: list[int] | None = None) -> Fetch:
    offsets = list(range(len(values))) if offsets is None else offsets
    numbers = np.array(offsets, np.int64)
    keys = ByteStrings.of([b"key %d" % offset for offset in offsets])
    return Fetch("shop.events", 3, keys, ByteStrings.of(values), numbers, numbers)


def written(**fields) -> bytes:
    return json.dumps(MINIMAL | fields).encode()


def scores_of(fetch: Fetch, rows=None, propensities=None):
    batch, _ = decode_events(fetch.values)
    rows = np.arange(len(batch)) if rows is None else np.array(rows, np.int64)
    if propensities is None:
        propensities = np.full((len(rows), 3), 0.5)
    numbers = np.asarray(propensities, np.float32)
    return list(score_records(fetch, batch, rows, numbers, model="lstm8-0a", scored_at_ms=1_700_000_000_000))


@pytest.mark.parametrize(("price", "written_as"), [(b"10", b"10.0"), (b"9.990", b"9.990"), (b"1e3", b"1000.0")])
def test_a_price_is_written_with_a_decimal_point_for_readers_that_tell_types_apart(price, written_as):
    (record,) = scores_of(fetch_of(written(price="?").replace(b'"?"', price)))
    assert b'"price":' + written_as + b"," in record.value


def test_scores_are_in_source_order_each_with_its_own_numbers():
    fetch = fetch_of(*(written(event_id=f"e{n}") for n in range(4)), offsets=[10, 11, 13, 20])
    records = scores_of(fetch, rows=[3, 0, 2], propensities=[[0.3, 0.31, 0.32], [0.0625, 0.5, 1], [0.2, 0.2, 0.2]])
    bodies = [json.loads(record.value) for record in records]
    assert [body["event_id"] for body in bodies] == ["e0", "e2", "e3"]
    assert [body["source_offset"] for body in bodies] == [10, 13, 20]
    assert [body["propensity_session"] for body in bodies] == pytest.approx([0.0625, 0.2, 0.3], abs=1e-6)
    assert [record.key for record in records] == [b"key 10", b"key 13", b"key 20"]


def test_a_score_names_its_source_record_when_others_were_rejected():
    fetch = fetch_of(b"damaged", written(event_id="a"), b"", written(event_id="b"), offsets=[5, 6, 7, 9])
    records = scores_of(fetch)
    assert [dict(record.headers)["offset"] for record in records] == [b"6", b"9"]
    assert [json.loads(record.value)["source_offset"] for record in records] == [6, 9]


@pytest.mark.parametrize(
    ("given_number", "published"), [(0.0, 1e-6), (1.0, 1 - 1e-6), (0.12345678, 0.123457), (1e-9, 1e-6)]
)
def test_a_propensity_has_six_decimals_and_is_never_0_or_1(given_number, published):
    (record,) = scores_of(fetch_of(written()), propensities=[[given_number] * 3])
    assert json.loads(record.value)["propensity_24h"] == published
    assert len(record.value.split(b'"propensity_24h":')[1].split(b",")[0]) <= 8


@given(st.floats(0, 1, width=32))
def test_every_propensity_is_a_probability_with_a_finite_log_loss(number):
    (record,) = scores_of(fetch_of(written()), propensities=[[number] * 3])
    published = json.loads(record.value)["propensity_1h"]
    assert abs(published - number) < 2e-6
    assert math.isfinite(math.log(published) + math.log(1 - published))


def test_no_scores_are_no_records():
    assert scores_of(fetch_of(written()), rows=[], propensities=np.zeros((0, 3))) == []


def test_a_dead_letter_is_the_record_as_received_with_where_it_lay_and_why():
    fetch = fetch_of(written(), None, b"\xff", offsets=[10, 12, 40])
    rejects = [Reject(1, "tombstone", "the record has no value"), Reject(2, "encoding", "invalid UTF-8 at byte 0")]
    records = list(dead_letter_records(fetch, rejects))
    assert [(record.key, record.value) for record in records] == [(b"key 12", None), (b"key 40", b"\xff")]
    assert records[1].headers == [
        ("topic", b"shop.events"),
        ("partition", b"3"),
        ("offset", b"40"),
        ("reason", b"encoding"),
        ("error", b"invalid UTF-8 at byte 0"),
    ]
