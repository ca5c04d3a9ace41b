import logging

from service.kafka import Repeats, dead_letter_headers, header_text, headers_of, source_headers


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
