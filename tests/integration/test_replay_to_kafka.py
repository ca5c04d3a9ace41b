"""`cartcast replay` on a real Kafka, as a user runs it."""

import gzip
import json
import os
import signal
from collections import Counter

import pytest
from confluent_kafka import Consumer

from model.formats import read_events
from service.kafka_settings import Topics
from streams.topics import create_topics
from tests.harness.command import Ended, run_command

pytestmark = pytest.mark.integration

ROWS = [f"{user},{item},7,pv,{1511539217 + item}".encode() for item in range(100) for user in range(20)]


@pytest.fixture
def topics(kafka, topic_prefix):
    topics = Topics(prefix=topic_prefix)
    create_topics({"bootstrap.servers": kafka}, topics, partitions=4, replication_factor=1)
    return topics


@pytest.fixture
def history(tmp_path):
    path = tmp_path / "history.csv.gz"
    path.write_bytes(gzip.compress(b"\n".join([*ROWS[:500], b"damaged", *ROWS[500:], b"1,2,3,pv,never"])))
    return path


@pytest.fixture
def read_topic(kafka):
    def read_topic(topic: str, count: int):
        consumer = Consumer({"bootstrap.servers": kafka, "group.id": topic, "auto.offset.reset": "earliest"})
        consumer.subscribe([topic])
        messages = []
        while len(messages) < count:
            taken = consumer.consume(count - len(messages), timeout=1)
            messages += [message for message in taken if message.error() is None]
        messages += consumer.consume(1, timeout=0.5)  # one too many would show
        consumer.close()
        return messages

    return read_topic


def replay(kafka, topics, *arguments) -> Ended:
    return run_command("replay", *arguments, "--bootstrap-servers", kafka, "--topic-prefix", topics.prefix)


def test_events_are_keyed_by_shopper_and_damaged_rows_are_dead_letters(kafka, topics, history, read_topic):
    done = replay(kafka, topics, history, "--format", "taobao", "--json")

    assert done.status == 0, done.stderr
    counts = json.loads(done.stdout.splitlines()[-1])
    assert (counts["events"], counts["bad_rows"]) == (2000, 2)
    assert "history.csv.gz, line 501: the row has 1 columns" in done.stderr

    events = read_topic(topics.events, 2000)
    sent = [row.event_id for row in read_events(history, "taobao") if hasattr(row, "event_id")]
    assert Counter(json.loads(event.value())["event_id"] for event in events) == Counter(sent)
    assert all(json.loads(event.value())["user_id"] == event.key().decode() for event in events)
    assert len({(event.key(), event.partition()) for event in events}) == 20

    letters = sorted(read_topic(topics.dead_letters, 2), key=lambda letter: int(dict(letter.headers())["offset"]))
    assert [letter.value() for letter in letters] == [b"damaged", b"1,2,3,pv,never"]
    assert dict(letters[0].headers()) == {
        "topic": b"history.csv.gz",
        "partition": b"-1",
        "offset": b"501",
        "reason": b"columns",
        "error": b"the row has 1 columns, not 5",
    }


def test_a_signal_ends_a_paced_replay_with_what_it_sent_confirmed(start_command, kafka, topics, history, read_topic):
    servers = ["--bootstrap-servers", kafka, "--topic-prefix", topics.prefix]
    process = start_command("replay", str(history), "--format", "taobao", "--rate", "10", "--json", *servers)
    read_topic(topics.events, 3)  # it is under way
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate()

    assert process.returncode == 130, err
    assert "Traceback" not in err
    counts = json.loads(out.splitlines()[-1])
    assert counts["interrupted"]
    assert 3 <= counts["events"] < 2000


@pytest.mark.parametrize(
    ("arguments", "exit_code", "words"),
    [
        (["missing.csv", "--format", "taobao"], 1, "cannot be read"),
        ([os.devnull, "--format", "taobao"], 1, "is empty"),
        ([__file__, "--format", "taobao"], 1, "does not look like format taobao"),
        ([__file__, "--format", "cartcast", "--rate", 1, "--speed", 1], 2, "exclude each other"),
        ([__file__, "--format", "excel"], 2, "excel"),
    ],
)
def test_a_mistake_is_one_line_and_an_exit_code(kafka, topics, arguments, exit_code, words):
    done = replay(kafka, topics, *arguments)
    assert done.status == exit_code
    assert words in done.stderr
    assert "Traceback" not in done.stderr


def test_a_cut_gzip_is_one_line_and_says_how_much_was_sent(kafka, topics, tmp_path):
    path = tmp_path / "cut.gz"
    path.write_bytes(gzip.compress(b"\n".join(ROWS * 20))[:-500])
    done = replay(kafka, topics, path, "--format", "taobao")
    assert done.status == 1
    assert "is damaged after line" in done.stderr
    assert "events before it were sent" in done.stderr


def test_missing_topics_are_one_line(kafka, topic_prefix, history):
    done = replay(kafka, Topics(prefix=topic_prefix), history, "--format", "taobao")
    assert done.status == 1
    assert "cartcast topics create" in done.stderr
