import json
import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.core.byte_strings import ByteStrings
from model.core.decode import decode_events
from model.events import MAX_ID_BYTES
from model.validate import Reject
from streams.fetch import Fetch
from streams.messages import UNPACKED, dead_letter_records, decode_unreadable, score_records
from streams.observe.trace_context import trace_headers
from streams.records.reader import StoredBatch
from streams.records.writer import MOST_BATCH_BYTES, record_batches, written_headers
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


@pytest.mark.parametrize("part", ["key", "value", "error"])
def test_a_dead_letter_that_no_batch_holds_is_cut(part):
    for size, is_cut in ((MOST_BATCH_BYTES - 1_000, False), (MOST_BATCH_BYTES, True)):
        key, value, error = (b"x" * (size if part == name else 10) for name in ("key", "value", "error"))
        fetch = replace(fetch_of(value, offsets=[7]), keys=ByteStrings.of([key]))
        records = dead_letter_records(fetch, [Reject(0, "json", error.decode())])
        (record,) = records
        headers = dict(record.headers)
        assert ("sha256" in headers) == is_cut
        assert (headers["offset"], headers["reason"]) == (b"7", b"json")
        assert is_cut or (record.key, record.value, headers["error"]) == (key, value, error)
        assert is_cut == (len(record.key) + len(record.value) + len(headers["error"]) < size)
        assert headers.get("bytes", b"%d" % len(value)) == b"%d" % len(value)
        assert all(batch.size() < 1_000_000 for batch in record_batches(records, 0))


def test_a_batch_that_nobody_can_read_is_one_cut_letter():
    batch = StoredBatch(5, 9, 4, 0, 1000, -1, 5, memoryview(bytes(61) + b"packed"))
    fetch = Fetch.unreadable("shop.events", 3, batch, "damaged")
    assert (len(fetch), fetch.next_offset, fetch.timestamps_ms.tolist()) == (1, 10, [1000])
    events, rejects = decode_unreadable(fetch)(fetch.values, fetch.keys)
    assert (len(events), rejects) == (0, [Reject(0, UNPACKED, "damaged")])
    (letter,) = dead_letter_records(fetch, rejects)
    assert (letter.key, letter.value) == (None, b"packed")
    headers = dict(letter.headers)
    assert (headers["offset"], headers["reason"], headers["bytes"]) == (b"9", b"unpacked", b"6")
    assert len(headers["sha256"]) == 64


def test_the_largest_event_makes_a_score_far_smaller_than_a_batch():
    """Whatever its record's size: every text that is copied has a bound, and JSON takes six bytes for one at most."""
    ids = dict.fromkeys(("user_id", "event_id", "item_id", "category"), "\x01" * MAX_ID_BYTES)
    value = written(**ids, price="?", channel="\x01" * 100_000).replace(b'"?"', b"1." + b"9" * 200_000)
    trace = trace_headers(
        [("traceparent", b"01-%s-%s-01-" % (b"a" * 32, b"b" * 16) + b"x" * 200)] + [("tracestate", b"s" * 100)] * 81
    )
    assert trace_headers([trace[0], ("tracestate", b"s" * 100_000)]) == (trace[0],)
    fetch = replace(fetch_of(value), keys=ByteStrings.of([ids["user_id"].encode()]), traces={0: trace})
    (record,) = scores_of(fetch)
    sizes = len(record.key), len(record.value), len(written_headers(record.headers))
    assert sizes[0] == MAX_ID_BYTES
    assert 4 * 6 * MAX_ID_BYTES < sizes[1] < 30_000
    assert 8_000 < sizes[2] < 10_000
