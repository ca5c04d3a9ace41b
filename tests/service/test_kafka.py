import hashlib
import logging

import pytest
from confluent_kafka import KafkaError

from service.kafka import (
    Repeats,
    cut_dead_letter,
    dead_letter_headers,
    header_text,
    headers_of,
    refuses_the_record,
    source_headers,
)


@pytest.mark.parametrize("name", ["librdkafka", "aiokafka", "aiokafka.consumer.fetcher", "aiokafka.producer.sender"])
def test_what_a_client_says_over_and_over_is_logged_once(name, caplog):
    for _ in range(3):
        logging.getLogger(name).error("%s cannot connect", name)
    assert [record.getMessage() for record in caplog.records] == [f"{name} cannot connect"]


def test_librdkafka_logs_no_line_twice_within_a_minute():
    now = 0.0
    repeats = Repeats(lambda: now)

    def kept(text: str) -> bool:
        return repeats.filter(logging.makeLogRecord({"msg": text}))

    lines = ["broker 1 is away", "broker 1 is away (after 3ms in state CONNECT)", "broker 2 is away"]
    assert [kept(line) for line in lines] == [True, False, True]
    now = 60.0
    assert kept("broker 1 is away")


class Foreign:
    """A record of another program, one of whose header names is not UTF-8."""

    def headers(self):
        raise SystemError("header name is not UTF-8")


def test_headers_that_the_client_does_not_hand_out_are_none():
    assert headers_of(Foreign()) == {}
    assert header_text({}, "reason") == ""


def test_a_dead_letter_says_where_the_record_lies_and_what_is_wrong():
    headers = dead_letter_headers(source_headers("shop.events", 3, 41), reason="json", error="no object")
    assert dict(headers) == {
        "topic": b"shop.events",
        "partition": b"3",
        "offset": b"41",
        "reason": b"json",
        "error": b"no object",
    }


@pytest.mark.parametrize("size", [0, 10, 5_000_000])
def test_a_cut_dead_letter_always_fits_and_names_what_it_is_the_beginning_of(size):
    whole = b"x" * size
    given = dead_letter_headers(source_headers("t" * 249, 2**31 - 1, 2**63 - 1), reason="json", error="e" * 100_000)
    key, value, headers = cut_dead_letter(b"k" * size, whole, given)
    assert whole.startswith(value)
    assert len(key) + sum(len(text) for _, text in headers) + len(value) < 5_000
    named = dict(headers)
    assert (named["bytes"], named["sha256"]) == (b"%d" % size, hashlib.sha256(whole).hexdigest().encode())
    assert {name: named[name] for name in ("topic", "partition", "offset", "reason")} == {
        name: text for name, text in given if name != "error"
    }


def test_a_tombstones_cut_letter_has_neither_key_nor_value():
    assert cut_dead_letter(None, None, [])[:2] == (None, None)


def test_a_refusal_for_what_a_record_is_differs_from_one_that_passes():
    assert refuses_the_record(KafkaError(KafkaError.MSG_SIZE_TOO_LARGE))
    assert refuses_the_record(KafkaError(KafkaError.INVALID_TIMESTAMP))
    assert not refuses_the_record(KafkaError(KafkaError._ALL_BROKERS_DOWN))
