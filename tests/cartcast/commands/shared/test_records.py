"""Records in a line: what a person wants to read, and nothing that steers a terminal."""

import json

import pytest

from cartcast.commands.shared.records import event_line, letter_line, origin_of, record_object, score_line, text_of
from tests.harness.records import event_fields


class Record:
    def __init__(self, value, key=b"u1", headers=()):
        self._value = value if isinstance(value, bytes | None) else json.dumps(value).encode()
        self._key, self._headers = key, list(headers)

    def value(self):
        return self._value

    def key(self):
        return self._key

    def headers(self):
        return self._headers

    def timestamp(self):
        return 1, 1_767_600_000_123

    def topic(self):
        return "shop.events"

    def partition(self):
        return 2

    def offset(self):
        return 7


WHEN = "2026-01-05 08:00:00.123"


def test_an_event_says_who_did_what_with_what():
    record = Record(event_fields(user_id="u1", type="cart", item_id="sku-1", price=19.9))
    assert event_line(record).startswith(f"{WHEN}  u1  cart  item_id sku-1")
    assert "price 19.9" in event_line(record)


def test_a_score_says_each_propensity():
    score = {"user_id": "u1", "event_type": "view", "item_id": None, "propensity_session": 0.1234, "propensity_1h": 0}
    assert score_line(Record(score)) == f"{WHEN}  u1  view  -  session 12.3 %  1h 0.0 %"


def test_the_score_of_an_impression_says_what_was_shown():
    score = {"user_id": "u1", "event_type": "impression", "propensity_1h": None, "shown": ["a", "b"]}
    assert score_line(Record(score)) == f"{WHEN}  u1  impression  a, b"


def test_a_dead_letter_says_why_and_where_but_not_what():
    headers = [("topic", b"shop.events"), ("partition", b"0"), ("offset", b"9"), ("reason", b"price")]
    line = letter_line(Record({"price": "secret"}, headers=[*headers, ("error", b"price is text")]))
    assert line == f"{WHEN}  price  shop.events 0:9  price is text"


def test_a_bad_row_of_a_file_is_told_by_its_line():
    assert origin_of({"topic": "shop.csv", "partition": "-1", "offset": "7"}) == "shop.csv, line 7"


@pytest.mark.parametrize("line", [event_line, score_line])
@pytest.mark.parametrize(
    "value", [b"\x1b[2J{", b'{"type": 5}', b'{"propensity_1h": "much"}', b"[]", b"", b"\xff", None]
)
def test_what_is_neither_is_shown_as_it_came(line, value):
    shown = line(Record(value))
    assert shown.startswith(f"{WHEN}  u1  ")
    assert shown.isprintable()


@pytest.mark.parametrize("line", [event_line, score_line])
def test_a_field_cannot_steer_the_terminal(line):
    record = {"user_id": "\x1b[2J\nu", "type": "view", "event_type": "\r", "propensity_1h": 0.5}
    assert line(Record(record)).isprintable()


def test_a_record_is_an_object_with_its_place():
    assert record_object(Record({"a": 1}, headers=[("reason", b"x")])) == {
        "topic": "shop.events",
        "partition": 2,
        "offset": 7,
        "timestamp": 1_767_600_000_123,
        "key": "u1",
        "headers": {"reason": "x"},
        "value": {"a": 1},
    }
    assert record_object(Record(b"\xff{", key=None))["value"] == r"\xff{"
    assert record_object(Record(None, key=None))["value"] is None


def test_text_that_is_no_utf8_is_escaped():
    assert text_of(b"a\xff\x00") == r"a\xff\x00"
    assert text_of(None) == ""
