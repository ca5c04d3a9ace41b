"""What is a score of this application's workers, and what a stranger wrote."""

import json

import pytest

from service.signatures import SIGNATURE, Signatures
from sinks.blocks import MAX_OFFSET, RecordRefusedError
from sinks.judge import (
    DISAGREES,
    NO_COORDINATES,
    NO_OBJECT,
    OTHER_KEY,
    OTHER_SOURCE,
    STRANGER,
    UNSIGNED,
    ScoreJudge,
)
from sinks.table import identity
from tests.harness.memory_kafka import MemoryRecord, coordinates
from tests.harness.records import score_fields

judge = ScoreJudge("events", 3)


def record(value=None, headers="right", key=b"u", offset=5):
    value = json.dumps(score_fields(3, offset, event_time=1_700_000_000_000)).encode() if value is None else value
    headers = coordinates("events", 3, offset) if headers == "right" else headers
    return MemoryRecord(3, 0, value, headers, key)


def refusal(refused):
    with pytest.raises(RecordRefusedError) as found:
        judge(refused)
    assert "secret" not in str(found.value)
    return found.value.reason, found.value.error


def with_fields(**changes):
    return record(json.dumps(score_fields(3, 5) | changes).encode())


def test_with_keys_a_score_without_a_signature_of_one_of_them_is_a_strangers():
    signatures = Signatures(["0123456789abcdef"])
    judge = ScoreJudge("events", 3, signatures)
    plain = record()
    headers = [*coordinates("events", 3, 5), (SIGNATURE, signatures.of(plain.value()))]
    assert judge(record(headers=headers)).source_offset == 5
    for forged in (plain, record(headers=[*headers[:-1], (SIGNATURE, b"0" * 64)])):
        with pytest.raises(RecordRefusedError) as found:
            judge(forged)
        assert (found.value.reason, found.value.error) == (STRANGER, UNSIGNED)


def test_a_score_is_a_row_of_its_source_offset():
    row = judge(record())
    assert row.key == (5, identity("u", "e3-5"))


@pytest.mark.parametrize("offset", [0, MAX_OFFSET])
def test_every_offset_that_can_be_is_one(offset):
    assert judge(record(offset=offset)).source_offset == offset


@pytest.mark.parametrize(
    "headers",
    [
        None,
        [],
        [("topic", b"events"), ("partition", b"3")],
        coordinates("events", 3, -1),
        coordinates("events", 3, 2**64),
        coordinates("", 3, 0),
        [("topic", b"events"), ("partition", b"three"), ("offset", b"1")],
        [("topic", b"events"), ("partition", b"3"), ("offset", b"1.5")],
        [("topic", b"events"), ("partition", b"3"), ("offset", "²".encode())],
        [("topic", b"events"), ("partition", b"3"), ("offset", None)],
        [("topic", b"events"), ("partition", None), ("offset", b"1")],
        [("topic", None), ("partition", b"3"), ("offset", b"1")],
    ],
)
def test_headers_that_name_no_event_are_a_strangers(headers):
    assert refusal(record(headers=headers)) == ("stranger", NO_COORDINATES)


@pytest.mark.parametrize(
    "headers",
    [
        coordinates("others", 3, 5),
        coordinates("events", 4, 5),
        [("topic", b"events"), ("partition", b"03"), ("offset", b"5")],
    ],
)
def test_scores_of_another_topic_or_partition_are_a_strangers(headers):
    assert refusal(record(headers=headers)) == ("stranger", OTHER_SOURCE)


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"nonsense",
        *(json.dumps(score_fields(3, 5)).encode() + more for more in (b'{"a":2}', b"\n{}", b";")),
        b'{"a":"}',
        b'{"user_id":"\xff\xfe"}',
    ],
)
def test_a_value_that_is_not_one_object_is_a_strangers(value):
    assert refusal(record(value)) == ("stranger", NO_OBJECT)


def test_a_record_without_a_value_is_a_strangers():
    assert refusal(MemoryRecord(3, 0, None, coordinates("events", 3, 5))) == ("stranger", NO_OBJECT)


@pytest.mark.parametrize(
    "value", [b'{"a":' * 100_000, b'{"a":{"b":{"c":1}}}', b'{"a":' + b"[" * 900 + b"]" * 900 + b"}"]
)
def test_what_nests_deeply_is_a_strangers_and_never_reaches_the_engine(value):
    assert refusal(record(value))[0] == "stranger"


@pytest.mark.parametrize("brand", ["acme", "{[a]}"])
def test_what_a_shop_defines_of_its_own_may_be_an_object_beside_lists(brand):
    own = {"custom_type": None, "attributes": {"brand": brand, "cart_value": 12.5}}
    judge(with_fields(**own, next_purchase_categories=["shoes", "hats"]))


def test_answers_of_further_heads_may_be_lists():
    judge(with_fields(next_type="cart", next_type_propensity=0.4, next_purchase_categories=["shoes", "bags"]))
    judge(with_fields(category="{[{[{[", extra=["a", None]))


@pytest.mark.parametrize("changes", [{"source_offset": 7}, {"source_partition": 1}, {"source_topic": "others"}])
def test_a_value_that_names_another_event_than_the_headers_is_a_strangers(changes):
    assert refusal(with_fields(**changes)) == ("stranger", DISAGREES)


@pytest.mark.parametrize("key", [None, b"", b"another"])
def test_a_key_that_is_not_the_shopper_is_a_strangers(key):
    assert refusal(record(key=key)) == ("stranger", OTHER_KEY)


@pytest.mark.parametrize(
    ("field", "value"),
    [("model", ""), ("model", None), ("user_id", 1), ("event_id", ""), ("price", "secret"), ("source_offset", "5")],
)
def test_fields_that_this_application_does_not_publish_are_a_strangers(field, value):
    reason, error = refusal(with_fields(**{field: value}))
    assert (reason, field in error) == ("stranger", True)


@pytest.mark.parametrize(
    ("field", "value"),
    [("scored_at", 1), ("scored_at", 2**62), ("event_time", 0), ("propensity_1h", 1.5), ("propensity_session", -0.1)],
)
def test_what_the_tables_constraints_refuse_is_no_row(field, value):
    assert refusal(with_fields(**{field: value})) == ("row", f"column {field}: out of range")


def test_what_nests_in_a_field_of_nobodys_is_a_strangers():
    assert refusal(with_fields(extra={"a": {"b": 1}}))[0] == "stranger"


def test_an_impression_is_a_row_and_one_whose_list_is_not_of_ids_a_strangers():
    own = {"custom_type": None, "attributes": {"plan": "gold"}}
    shown = {"event_type": "impression", "shown": ["a", "b"], "shown_by": "m1", "propensity_1h": None}
    assert judge(with_fields(**shown, **own)).source_offset == 5
    for bad in ("a", [1], {"a": "b"}):
        assert refusal(with_fields(**shown | {"shown": bad}))[0] == "stranger"
