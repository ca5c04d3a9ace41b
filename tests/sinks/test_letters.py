"""From a dead letter to a row, whatever its headers say."""

import json

import pytest

from sinks.letters import MAX_ERROR_CHARACTERS, letter_records

GOOD = [("topic", b"shop.events"), ("partition", b"3"), ("offset", b"41"), ("reason", b"json"), ("error", b"no object")]


class Dead:
    """What a message of the dead-letter topic is to the sink."""

    def __init__(self, headers, value=b"x" * 10, time_ms=1_764_000_000_007):
        self._headers, self._value, self._time_ms = headers, value, time_ms

    def topic(self):
        return "shop.dead-letters"

    def partition(self):
        return 2

    def offset(self):
        return 5

    def headers(self):
        if self._headers is SystemError:
            raise SystemError("returned a result with an exception set")
        return self._headers

    def value(self):
        return self._value

    def timestamp(self):
        return 1, self._time_ms

    def error(self):
        return None


def row(message):
    (letter,) = letter_records([message])
    assert (letter.partition(), letter.offset()) == (2, 5)
    assert letter.headers() == [("topic", b"shop.dead-letters"), ("partition", b"2"), ("offset", b"5")]
    return json.loads(letter.value())


def with_header(name, value):
    return [(each, value if each == name else given) for each, given in GOOD]


def test_a_row_says_what_the_headers_say_and_where_the_value_is():
    assert row(Dead(GOOD)) == {
        "source_topic": "shop.events",
        "source_partition": 3,
        "source_offset": 41,
        "reason": "json",
        "error": "no object",
        "value_bytes": 10,
        "dead_at": "1764000000.007",
        "letter_partition": 2,
        "letter_offset": 5,
    }


@pytest.mark.parametrize(
    "headers",
    [
        None,
        [],
        SystemError,  # what confluent-kafka raises if a header's name is not UTF-8
        *(with_header("topic", value) for value in (None, b"", b"\xff", b"t" * 250)),
        *(with_header("partition", value) for value in (None, b"", b"x", b"-1", b"2147483648", b"9" * 5000)),
        *(with_header("offset", value) for value in (None, b"", b"1.5", b"-1", b"9223372036854775808")),
    ],
)
def test_a_letter_that_names_no_record_is_a_row_about_itself(headers):
    made = row(Dead(headers))
    assert (made["source_topic"], made["source_partition"], made["source_offset"]) == ("shop.dead-letters", 2, 5)
    assert made["reason"] == "headers"


def test_words_of_any_length_and_bytes_become_text():
    made = row(Dead([*with_header("error", b"\xff\x00" * 5000), ("reason", b"r" * 100)]))
    assert len(made["error"]) == MAX_ERROR_CHARACTERS
    assert len(made["reason"]) == 64
    assert row(Dead(with_header("reason", None)))["reason"] == "unknown"


@pytest.mark.parametrize(("time_ms", "dead_at"), [(-1, "0.000"), (10**15, "4102444800.000")])
def test_a_time_that_cannot_be_is_moved_to_one_that_can(time_ms, dead_at):
    assert row(Dead(GOOD, value=None, time_ms=time_ms))["dead_at"] == dead_at
