"""Dead letters are counted without showing what is in them, and sent again once they are events."""

import json
import secrets
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from confluent_kafka import Producer

from model.core.decode import decode_events
from service.kafka import cut_dead_letter, dead_letter_headers, source_headers
from service.pseudonyms import Pseudonyms
from tests.harness.command import run_command
from tests.harness.pipeline import Pipeline, pipelines
from tests.harness.records import event_fields

pytestmark = pytest.mark.integration

EVENT = event_fields(user_id="secret-shopper")
SEGMENT = {
    "messageId": "m1",
    "type": "track",
    "event": "Product Viewed",
    "userId": "u2",
    "timestamp": "2026-01-05T00:00:00Z",
    "properties": {"product_id": "p"},
}
TRACE = ("traceparent", b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")


@pytest.fixture
def pipeline(kafka: str, topic_prefix: str, tmp_path: Path) -> Iterator[Pipeline]:
    yield from pipelines(kafka, topic_prefix, tmp_path)


@pytest.fixture
def cartcast(pipeline: Pipeline) -> Callable[..., dict[str, object]]:
    """Run `cartcast dead-letters ... --json` on the pipeline; return what it found."""

    def run(*arguments: str, status: int = 0, **environment: str) -> dict[str, object]:
        ended = run_command(
            "dead-letters",
            *arguments,
            "--json",
            environment={
                "CARTCAST_KAFKA__BOOTSTRAP_SERVERS": pipeline.kafka,
                "CARTCAST_KAFKA__TOPIC_PREFIX": pipeline.topics.prefix,
                **environment,
            },
        )
        assert ended.status == status, ended.stderr
        assert "secret-shopper" not in ended.stdout + ended.stderr
        return json.loads(ended.stdout) if ended.stdout else {"error": ended.stderr}

    return run


def bury(pipeline: Pipeline, *letters: tuple[bytes | None, bytes | None, str, str]) -> None:
    producer = Producer({"bootstrap.servers": pipeline.kafka})
    for number, (key, value, topic, reason) in enumerate(letters):
        headers = [("topic", topic), ("partition", "0"), ("offset", str(number)), ("reason", reason)]
        producer.produce(
            pipeline.topics.dead_letters,
            value,
            key,
            number % 4,
            headers=[*headers, ("error", f"about {reason}"), TRACE],
        )
    assert producer.flush() == 0


def test_letters_that_are_events_now_are_sent_again_under_their_shoppers_key(pipeline, cartcast):
    events, event = pipeline.topics.events, json.dumps(EVENT).encode()
    bury(
        pipeline,
        (b"another", event, events, "key"),
        (b"u", b"{", events, "json"),
        (b"u2", json.dumps(SEGMENT).encode(), events, "event_id"),
        (None, event, "history.csv", "price"),
        (b"u", None, pipeline.topics.scores, "row"),
    )
    left = {"rejected": {"json": 1, "event_id": 1}, "elsewhere": 2, "cut": 0}
    assert cartcast("replay", "--dry-run") == {"sent": 0, **left, "not_named": {"key": 1}, "dry_run": True}
    every = [word for reason in ("key", "json", "event_id", "price", "row") for word in ("--reason", reason)]
    assert cartcast("replay", "--dry-run", *every) == {"sent": 1, **left, "not_named": {}, "dry_run": True}
    assert pipeline.read(events) == []
    assert cartcast("replay", "--reason", "json")["sent"] == 0
    assert cartcast("replay", "--reason", "key", "--reason", "json")["sent"] == 1

    (sent,) = pipeline.read(events)
    assert (sent.key(), sent.value(), sent.headers()) == (b"secret-shopper", event, [TRACE])
    assert decode_events([sent.value()], [sent.key()])[1] == []

    assert cartcast("replay", "--reason", "event_id", CARTCAST_WORKER__INPUT_FORMAT="segment")["sent"] == 1
    assert {record.key() for record in pipeline.read(events)} == {b"secret-shopper", b"u2"}
    assert pipeline.count(pipeline.topics.dead_letters) == 5


def test_ids_are_replaced_if_they_are_not_yet_and_never_twice(pipeline, cartcast):
    key = "sixteen or more characters"
    pseudonym = Pseudonyms(key).of("secret-shopper")
    replaced = json.dumps(EVENT | {"user_id": pseudonym, "event_id": "e2"}).encode()
    for value in (json.dumps(EVENT).encode(), replaced):
        bury(pipeline, (b"u", value, pipeline.topics.events, "json"))
    assert cartcast("replay", CARTCAST_KAFKA__PSEUDONYM_KEY=key)["sent"] == 2
    sent = pipeline.read(pipeline.topics.events)
    assert {record.key() for record in sent} == {pseudonym.encode()}
    assert [json.loads(record.value()) for record in sent] == [EVENT | {"user_id": pseudonym}, json.loads(replaced)]


def test_a_letter_that_holds_only_the_beginning_of_a_record_is_left(pipeline, cartcast):
    producer = Producer({"bootstrap.servers": pipeline.kafka})
    source = source_headers(pipeline.topics.events, 0, 7)
    headers = dead_letter_headers(source, reason="json", error="no object")
    key, value, headers = cut_dead_letter(b"u", json.dumps(EVENT).encode() + b" " * 5000, headers)
    producer.produce(pipeline.topics.dead_letters, value, key, headers=headers)
    assert producer.flush() == 0
    assert json.loads(value) == EVENT
    assert cartcast("replay") == {
        "sent": 0,
        "rejected": {},
        "elsewhere": 0,
        "cut": 1,
        "not_named": {},
        "dry_run": False,
    }


def test_an_event_that_the_topic_does_not_take_any_more_is_a_short_letter(pipeline, cartcast):
    large = json.dumps(EVENT | {"text": secrets.token_hex(2500)}).encode()
    small = json.dumps(EVENT | {"event_id": "small"}).encode()
    bury(pipeline, *[(b"other", value, pipeline.topics.events, "key") for value in (large, small)])
    pipeline.limit_message_bytes(pipeline.topics.events, 2000)
    answer = cartcast("replay", "--reason", "key")
    assert (answer["sent"], answer["rejected"]) == (1, {"size": 1})
    assert [record.value() for record in pipeline.read(pipeline.topics.events)] == [small]
    (letter,) = [
        letter for letter in pipeline.read(pipeline.topics.dead_letters) if ("reason", b"size") in letter.headers()
    ]
    assert large.startswith(letter.value())
    assert cartcast("list", "--reason", "size")["letters"] == 1


def test_letters_are_counted_by_reason_from_a_time_on(pipeline, cartcast):
    bury(pipeline, *[(b"u", b"{", pipeline.topics.events, "json")] * 3, (b"u", b"x", "shop.jsonl", "ts"))
    assert cartcast("list") == {
        "letters": 4,
        "reasons": [
            {"reason": "json", "from": pipeline.topics.events, "letters": 3, "error": "about json"},
            {"reason": "ts", "from": "shop.jsonl", "letters": 1, "error": "about ts"},
        ],
    }
    assert cartcast("list", "--since", "2098-01-01") == {"letters": 0, "reasons": []}
    assert "is no time" in str(cartcast("list", "--since", "yesterday", status=2)["error"])


def test_letters_are_shown_with_what_was_refused_the_latest_last(pipeline):
    bury(pipeline, (b"u", b"{", pipeline.topics.events, "json"))
    bury(pipeline, (b"u", b'{"ts": 0}', "shop.jsonl", "ts"))
    where = {
        "CARTCAST_KAFKA__BOOTSTRAP_SERVERS": pipeline.kafka,
        "CARTCAST_KAFKA__TOPIC_PREFIX": pipeline.topics.prefix,
    }
    shown = run_command("dead-letters", "show", "--since", "1h", environment=where).stdout.splitlines()
    assert shown[0].startswith(f"json: about json  ({pipeline.topics.events} 0:0, ")
    assert shown[1::2] == ["  {", '  {"ts": 0}']
    last = run_command("dead-letters", "show", "-n", "1", "--json", environment=where).stdout
    assert json.loads(last)["value"] == {"ts": 0}


@pytest.mark.parametrize("command", ["list", "show", "replay"])
def test_a_reason_that_no_letter_has_is_refused_with_those_that_there_are(pipeline, cartcast, command):
    bury(pipeline, *[(b"u", b"{", pipeline.topics.events, "json")] * 2)
    refused = cartcast(command, "--reason", "jsno", status=1)["error"]
    assert refused == "cartcast: no dead letter has the reason jsno; there are json 2\n"
