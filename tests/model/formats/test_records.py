import json

import pytest

from model.events import INPUT_FORMATS
from model.formats import FORMATS
from model.formats.records import decoder_of
from model.formats.segment import FORMAT as SEGMENT
from model.training.history import read_history
from model.validate import BadRow

CALL = {
    "type": "track",
    "event": "Product Added",
    "messageId": "m1",
    "userId": "u1",
    "timestamp": "2017-11-24T16:00:17Z",
    "properties": {"product_id": "p1", "category": "shoes", "price": 19.5},
}
HIT = {"client_id": "c1", "timestamp_micros": 1511539217000000, "events": [{"name": "purchase"}]}


def encoded(*values: object) -> list[bytes | None]:
    return [value if value is None or isinstance(value, bytes) else json.dumps(value).encode() for value in values]


def test_a_segment_call_is_decoded_to_columns():
    batch, rejects = decoder_of("segment")(encoded(CALL), [b"u1"])
    assert rejects == []
    assert (batch.user_ids, batch.event_ids, batch.item_ids, batch.categories) == (["u1"], ["m1"], ["p1"], ["shoes"])
    assert (batch.type_codes.tolist(), batch.event_time_ms.tolist()) == ([3], [1511539217000])
    assert batch.prices.tolist() == [19.5]


def test_a_ga4_record_holds_exactly_one_event():
    two = HIT | {"events": [{"name": "purchase"}, {"name": "refund"}]}
    batch, rejects = decoder_of("ga4")(encoded(HIT, two, HIT | {"events": []}), [b"c1"] * 3)
    assert batch.positions.tolist() == [0]
    assert [(reject.position, reject.reason) for reject in rejects] == [(1, "events"), (2, "events")]
    assert rejects[0].error == "the record holds 2 events: send each in a record of its own"


@pytest.mark.parametrize("input_format", INPUT_FORMATS)
def test_records_without_an_event_have_the_reasons_of_canonical_ones(input_format):
    values = encoded(None, b"", b"not json", b"[1, 2]", b'{"a": "\xff"}')
    batch, rejects = decoder_of(input_format)(values, [b"?"] * 5)
    assert len(batch) == 0
    assert [reject.reason for reject in rejects] == ["tombstone", "empty", "json", "object", "encoding"]


def test_a_record_under_another_key_is_rejected_unless_keys_do_not_matter():
    _, (reject,) = decoder_of("segment")(encoded(CALL), [b"m1"])
    assert reject.reason == "key"
    batch, rejects = decoder_of("segment")(encoded(CALL), None)
    assert (len(batch), rejects) == (1, [])


def test_a_record_is_accepted_if_a_line_of_a_file_is_and_also_if_only_its_clock_is_wrong():
    calls = encoded(CALL, CALL | {"type": "identify"}, CALL | {"timestamp": 1511539217}, {}, CALL | {"userId": ""})
    _, rejects = decoder_of("segment")(calls, None)
    rows = SEGMENT.read_rows(iter(enumerate(calls)))
    assert [(reject.position, reject.reason, reject.error) for reject in rejects] == [
        (row.line, row.reason, row.error) for row in rows if isinstance(row, BadRow)
    ]
    wrong_clock = encoded(CALL | {"timestamp": "1970-01-01T00:00:00Z"})
    batch, rejects = decoder_of("segment")(wrong_clock, None)
    assert (batch.event_time_ms.tolist(), rejects) == ([0], [])
    (bad,) = SEGMENT.read_rows(iter([(1, wrong_clock[0])]))
    assert (bad.reason, bad.error) == ("ts", "ts lies outside the years 2000 to 2100")


@pytest.mark.parametrize(
    ("input_format", "record", "again"),
    [
        (
            "segment",
            CALL | {"event": "Order Completed", "properties": {"order_id": "O1"}},
            {"messageId": "m2", "timestamp": "2017-11-24T16:00:20Z"},
        ),
        (
            "ga4",
            {"event_name": "purchase", "user_pseudo_id": "u", "ecommerce": {"transaction_id": "O1"}}
            | {"event_timestamp": 1511539217000000},
            {"event_timestamp": 1511539220000000, "is_active_user": True},
        ),
    ],
)
def test_an_order_that_is_confirmed_again_is_one_event_live_and_in_training(input_format, record, again):
    batch, rejects = decoder_of(input_format)(encoded(record, record | again), None)
    assert (batch.event_ids, rejects) == (["purchase:O1"] * 2, [])
    rows = FORMATS[input_format](iter(enumerate(encoded(record, record | again))))
    history = read_history(rows)
    assert (history.counts["purchases"], history.duplicates) == (1, 1)
