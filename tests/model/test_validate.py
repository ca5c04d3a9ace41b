"""What is said of a single record; which records are accepted at all is tested in test_decode."""

import json

import pytest

from model.events import MAX_NESTING, parse_time_ms
from model.validate import InvalidEvent, validate_event
from tests.harness.records import event_fields

MINIMAL = event_fields()


def written(**fields) -> bytes:
    return json.dumps(MINIMAL | fields).encode()


def refusal(value: bytes | None) -> tuple[str, str]:
    with pytest.raises(InvalidEvent) as refused:
        validate_event(value)
    assert str(refused.value) == refused.value.error
    return refused.value.reason, refused.value.error


def test_every_field_that_scoring_reads_is_kept():
    event = validate_event(
        written(item_id="i", category="c", price=9.5, quantity=2, rating=4, text="très bon", type="review", x=[1])
    )
    assert (event.event_id, event.user_id, event.type, event.ts) == ("e", "u", "review", 1511539217000)
    assert (event.item_id, event.category, event.price) == ("i", "c", 9.5)
    assert (event.quantity, event.rating, event.text) == (2.0, 4.0, "très bon")


@pytest.mark.parametrize(
    ("value", "reason", "error"),
    [
        (None, "tombstone", "the record has no value (a tombstone)"),
        (b"", "empty", "the value is empty"),
        (b" \r\n", "empty", "the value is empty"),
        (b'{"a":', "json", "not JSON: expecting value at character 5"),
        (b'\0\0\0\1\2{"a": 1}', "json", "not JSON: begins as for a schema registry (schema 258); send plain JSON"),
        (b"\0", "json", "not JSON: expecting value at character 0"),
        (b"3", "object", "the value is JSON but not an object"),
        (b'{"a":"\xff"}', "encoding", "invalid UTF-8 at byte 6"),
        (b"[" * 65 + b"]" * 65, "nesting", f"the value nests deeper than {MAX_NESTING} levels"),
        (written(user_id=None), "user_id", "user_id is missing"),
        (written(user_id=""), "user_id", "user_id is empty"),
        (written(user_id=True), "user_id", "user_id is a boolean, not a string"),
        (written(event_id=["e"]), "event_id", "event_id is an array, not a string"),
        (written(item_id={"id": 1}), "item_id", "item_id is an object, not a string"),
        (written(category="ü" * 600), "category", "category has 1200 bytes, more than 1024"),
        (written(type=7), "type", "type is a number, not a string"),
        (written(ts=float("nan")), "ts", "ts is NaN or Infinity, neither epoch milliseconds nor an RFC 3339 string"),
        (written(ts=1), "ts", "ts lies outside the years 2000 to 2100"),
        (written(ts="now"), "ts", "ts is neither whole epoch milliseconds nor an RFC 3339 string with an offset"),
        (written(price=-1), "price", "price is negative"),
        (written(price="9.99"), "price", "price is a string, not a number"),
        (written(price=float("inf")), "price", "price is NaN or Infinity, not a number"),
        (written(quantity=10**400), "quantity", "quantity is too large for a number"),
        (written(text="\ud800"), "encoding", "text holds half of a surrogate pair"),
        (written(x=float("nan")), "json", "the value holds NaN or Infinity, which JSON does not know"),
    ],
)
def test_an_error_names_the_field_and_what_is_wrong_with_it(value, reason, error):
    assert refusal(value) == (reason, error)


def test_of_two_faults_the_first_required_field_is_named():
    assert refusal(b'{"ts":1,"price":-1}')[0] == "event_id"


@pytest.mark.parametrize(
    ("text", "epoch_ms"),
    [
        ("1970-01-01T00:00:00Z", 0),
        ("2017-11-24T16:00:17.0019999+00:00", 1511539217001),
        ("2016-12-31T23:59:59-05:00", 1483246799000),
        ("1969-12-31T23:59:59.999Z", -1),
    ],
)
def test_a_time_is_floored_to_milliseconds(text, epoch_ms):
    assert parse_time_ms(text) == epoch_ms


@pytest.mark.parametrize("text", ["2017-11-24T16:00:17", "2017-11-24", "", "T", "2017-13-01T00:00:00Z"])
def test_a_time_without_an_offset_or_a_calendar_is_refused(text):
    with pytest.raises(ValueError, match=r"."):
        parse_time_ms(text)
