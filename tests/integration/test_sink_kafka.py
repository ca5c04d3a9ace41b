"""`cartcast sink` as a process, on the real Kafka and the real ClickHouse engine."""

import hashlib
import json
import subprocess
from collections import Counter

import clickhouse_connect
import pytest
from confluent_kafka import Consumer, TopicPartition
from confluent_kafka.admin import AdminClient

from service.clickhouse import connect
from sinks.schema.migrate import migrate
from streams.topics import create_topics
from tests.harness.ports import new_port
from tests.harness.sink_process import Engine, Scores, SinkProcess, Stored, dead_letters, lag, pipeline_settings, score
from tests.harness.waiting import DEADLINE_SECONDS, eventually, has_partitions

PARTITIONS = 3
pytestmark = pytest.mark.integration


def create(settings):
    create_topics(settings.kafka.client_config(), settings.kafka.topics, partitions=PARTITIONS, replication_factor=1)


@pytest.fixture
def settings(kafka, database, topic_prefix):
    settings = pipeline_settings(kafka, database.url, topic_prefix, database=database.database)
    create(settings)
    return settings


def test_every_score_becomes_one_equal_row_and_repeats_none(settings):
    scores, stored = Scores(settings), Stored(settings)
    for partition in range(PARTITIONS):
        scores.publish(partition, range(700))
        scores.publish(partition, range(400, 900))
    with SinkProcess(settings) as sink:
        stored.wait_for(PARTITIONS * 900)
        code, summary = sink.stop()
    assert (code, summary) == (0, {"stored": PARTITIONS * 900, "repeats": PARTITIONS * 300, "dead_letters": 0})
    assert stored.matches(scores)
    assert lag(settings, PARTITIONS) == 0


def test_an_idle_sink_confirms_what_it_has_stored(settings):
    scores, stored = Scores(settings), Stored(settings)
    scores.publish(1, range(10))
    with SinkProcess(settings) as sink:
        stored.wait_for(10)
        eventually(lambda: lag(settings, PARTITIONS) == 0, "the commit", found=lambda: sink.log)
        scores.publish(1, range(10, 20))
        stored.wait_for(20)


def test_records_that_are_no_rows_are_dead_letters_and_all_others_rows(settings):
    scores, stored = Scores(settings), Stored(settings)
    lone_user = b'{"user_id":"x"}'
    bad = [
        (b"not json", 1000),
        (b'{"user_id":"a"}{"user_id":"b"}', 1001),
        (None, 1002),
        (lone_user, None),
        (lone_user, 1003),
        (b'{"user_id":"\xff\xfe"}', 1004),
    ]
    scores.publish(2, range(500))
    for value, source in bad:
        scores.send(2, value, source)
    scores.publish(2, range(1005, 1500))
    with SinkProcess(settings) as sink:
        stored.wait_for(995)
        code, summary = sink.stop()
    assert (code, summary["dead_letters"]) == (0, len(bad))
    assert stored.matches(scores)
    letters = dead_letters(settings)
    assert [value for value, _ in letters] == [value for value, _ in bad]
    for number, (_, headers) in enumerate(letters):
        assert headers["topic"].decode() == settings.kafka.topics.scores
        assert (headers["partition"], headers["offset"]) == (b"2", b"%d" % (500 + number))
        assert headers["reason"] == b"stranger"
    assert [headers["error"].split(b":")[0] for _, headers in letters] == [b"value"] * 3 + [b"headers"] + [b"value"] * 2


def test_whole_blocks_of_bad_rows_and_a_record_that_no_topic_takes_again_hold_nothing_up(settings):
    scores, stored = Scores(settings), Stored(settings)
    scores.publish(1, range(700))
    connect(settings.clickhouse, database=settings.clickhouse.database).command(
        "ALTER TABLE scores ADD CONSTRAINT own CHECK channel != 'secret'"
    )
    events, wrong = settings.kafka.topics.events, ({"scored_at": 1}, {"channel": "secret"}, {"propensity_1h": 7})
    scores.have_events(1, 3100)
    for source in range(700, 2800):
        value = score(events, 1, source) | wrong[source % 3]
        scores.send(1, json.dumps(value).encode(), source, key=value["user_id"].encode())
    huge = b'{"' + b"x" * 1_048_400 + b'":1}'  # a letter has headers more, and a broker's limit is 1,048,588
    scores.send(1, huge)
    scores.publish(1, range(2800, 3100))
    with SinkProcess(settings) as sink:
        stored.wait_for(1000)
        assert sink.stop()[0] == 0
    assert stored.matches(scores)
    letters = dead_letters(settings)
    assert Counter(headers["reason"] for _, headers in letters) == {b"row": 2100, b"stranger": 1}
    (cut,) = ((value, headers) for value, headers in letters if b"sha256" in {name.encode() for name in headers})
    assert cut[0] == huge[:1000]
    assert (cut[1]["bytes"], cut[1]["sha256"]) == (b"%d" % len(huge), hashlib.sha256(huge).hexdigest().encode())
    assert b"secret" not in b"".join(headers["error"] for _, headers in letters)


@pytest.mark.parametrize("deleted", [False, True])
def test_a_group_that_others_commit_in_or_delete_loses_and_doubles_no_row(settings, deleted):
    scores, stored = Scores(settings), Stored(settings)
    group, topic = f"{settings.kafka.topic_prefix}-sink", settings.kafka.topics.scores
    scores.publish(0, range(600))
    with SinkProcess(settings) as sink:
        stored.wait_for(600)
        assert sink.stop()[0] == 0
    scores.publish(0, range(600, 900))
    if deleted:
        admin = AdminClient(settings.kafka.client_config())  # must outlive its answer
        admin.delete_consumer_groups([group])[group].result()
    else:
        plain = Consumer(settings.kafka.client_config() | {"group.id": group})
        plain.commit(offsets=[TopicPartition(topic, 0, 850)], asynchronous=False)
        plain.close()
    with SinkProcess(settings) as sink:
        stored.wait_for(900)
        scores.publish(0, range(900, 1000))
        stored.wait_for(1000)
        code, summary = sink.stop()
    assert (code, summary["stored"], summary["repeats"]) == (0, 400, 600)
    assert stored.matches(scores)
    assert lag(settings, PARTITIONS) == 0


def test_a_plain_consumer_that_joins_the_group_for_a_while_loses_no_row(settings):
    scores, stored = Scores(settings), Stored(settings)
    group, topic = f"{settings.kafka.topic_prefix}-sink", settings.kafka.topics.scores
    with SinkProcess(settings) as sink:
        sink.wait_for("ready")
        plain = Consumer(settings.kafka.client_config() | {"group.id": group, "partition.assignment.strategy": "range"})
        plain.subscribe([topic])
        eventually(lambda: has_partitions(plain), "a partition for the plain consumer")
        taken = [each.partition for each in plain.assignment()]
        for partition in range(PARTITIONS):
            scores.publish(partition, range(200))
        plain.commit(offsets=[TopicPartition(topic, partition, 200) for partition in taken], asynchronous=False)
        plain.close()
        stored.wait_for(PARTITIONS * 200)
        assert sink.stop()[0] == 0
    assert stored.matches(scores)


def test_a_view_of_somebody_else_that_throws_is_waited_for_by_name_and_no_row_is_doubled(settings):
    scores, stored = Scores(settings), Stored(settings)
    client = connect(settings.clickhouse, database=settings.clickhouse.database)
    client.command("CREATE TABLE made_by_hand (u UInt32) ENGINE = MergeTree ORDER BY u")
    client.command("CREATE MATERIALIZED VIEW own TO made_by_hand AS SELECT toUInt32(user_id) AS u FROM scores")
    scores.publish(0, range(300))
    with SinkProcess(settings) as sink:
        assert "own fails" in sink.wait_for("waiting")["reason"]
        sink.kill()
    with SinkProcess(settings) as sink:
        sink.wait_for("waiting")
        client.command("DROP VIEW own")
        sink.wait_for("resumed")
        assert sink.stop()[0] == 0
    assert stored.matches(scores)
    assert dead_letters(settings) == []


def test_a_group_that_another_program_holds_by_another_protocol_ends_the_sink_with_one_line(settings):
    group, topic = f"{settings.kafka.topic_prefix}-sink", settings.kafka.topics.scores
    assignor = {"partition.assignment.strategy": "roundrobin"}
    stranger = Consumer(settings.kafka.client_config() | {"group.id": group} | assignor)
    stranger.subscribe([topic])
    eventually(lambda: has_partitions(stranger), "a member")
    with SinkProcess(settings) as sink:
        assert sink.ended()[0] == 1
    stranger.close()
    assert sink.log[-1].startswith("cartcast: the consumer group does not let this process in")


def test_forged_scores_make_no_real_row_vanish(settings):
    scores, stored = Scores(settings), Stored(settings)
    scores.publish(0, range(100))
    events = settings.kafka.topics.events
    for forged in (2**62, 2**63 - 1, 100):
        value = score(events, 0, forged) | {"event_time": 1_700_000_000_000}
        scores.send(0, json.dumps(value).encode(), forged, key=value["user_id"].encode())
    scores.flush()
    scores.publish(0, range(100, 300))
    with SinkProcess(settings) as sink:
        stored.wait_for(300)
        assert sink.stop()[0] == 0
    found = {(row["source_partition"], row["source_offset"]) for row in stored.rows()}
    assert scores.published.keys() <= found


@pytest.mark.parametrize("stranger", [False, True])
def test_records_that_retention_took_before_they_were_stored_are_counted_and_named(settings, stranger):
    scores, stored = Scores(settings), Stored(settings)
    scores.publish(0, range(100))
    with SinkProcess(settings) as sink:
        stored.wait_for(100)
        assert sink.stop()[0] == 0
    scores.publish(0, range(100, 300))
    admin = AdminClient(settings.kafka.client_config())  # must outlive its answer
    for deletion in admin.delete_records([TopicPartition(settings.kafka.topics.scores, 0, 250)]).values():
        deletion.result()
    if stranger:
        group = f"{settings.kafka.topic_prefix}-sink"
        plain = Consumer(settings.kafka.client_config() | {"group.id": group})
        plain.commit(offsets=[TopicPartition(settings.kafka.topics.scores, 0, 270)], asynchronous=False)
        plain.close()
    with SinkProcess(settings) as sink:
        stored.wait_for(150)
        told = sink.wait_for("records were deleted by the topic's retention before they were stored")
        assert sink.stop()[0] == 0
    assert {name: told[name] for name in ("topic", "partition", "first_offset", "last_offset", "records")} == {
        "topic": settings.kafka.topics.scores,
        "partition": 0,
        "first_offset": 100,
        "last_offset": 249,
        "records": 150,
    }


def test_a_stock_client_and_curl_read_the_table_and_the_views(settings):
    scores, stored = Scores(settings), Stored(settings)
    scores.publish(0, range(200))
    with SinkProcess(settings):
        stored.wait_for(200)
    database = settings.clickhouse.database
    client = clickhouse_connect.get_client(dsn=f"{settings.clickhouse.url}/{database}")
    latest = client.query("SELECT user_id, events, event_at FROM latest_scores ORDER BY user_id LIMIT 1").first_row
    assert latest[:2] == ("u0", 3)
    assert latest[2].isoformat() == "2023-11-14T22:16:34"
    hours = client.query("SELECT sum(events) FROM propensity_by_hour").first_row
    assert hours == (200,)
    curl = ["curl", "-s", f"{settings.clickhouse.url}/?database={database}", "-d"]
    answer = subprocess.run(
        [*curl, "SELECT event_type, sum(events) FROM events_by_hour GROUP BY 1 ORDER BY 1 FORMAT JSONEachRow"],
        capture_output=True,
        check=True,
    )
    by_type = [json.loads(line) for line in answer.stdout.splitlines()]
    assert by_type == [
        {"event_type": "purchase", "sum(events)": 4},
        {"event_type": "view", "sum(events)": 196},
    ]


def test_a_topic_that_is_made_anew_is_stored_although_its_offsets_are_the_old_ones(settings):
    first, stored = Scores(settings), Stored(settings)
    first.publish(0, range(300))
    with SinkProcess(settings) as sink:
        stored.wait_for(300)
        assert sink.stop()[0] == 0
    admin = AdminClient(settings.kafka.client_config())
    for deletion in admin.delete_topics([settings.kafka.topics.scores], operation_timeout=DEADLINE_SECONDS).values():
        deletion.result()
    create(settings)
    second = Scores(settings)
    second.publish(0, range(300, 600))
    with SinkProcess(settings) as sink:
        stored.wait_for(600)
        assert sink.stop()[0] == 0
    first.published |= second.published
    assert stored.matches(first)


def test_a_table_that_is_missing_ends_the_sink_with_one_line(kafka, clickhouse, topic_prefix):
    settings = pipeline_settings(kafka, clickhouse, topic_prefix)
    create(settings)
    with SinkProcess(settings) as sink:
        assert sink.ended() == (1, {})
    assert sink.log[-1].startswith("cartcast: ")
    assert "cartcast migrate" in sink.log[-1]


def test_a_topic_that_is_missing_ends_the_sink_with_one_line(kafka, clickhouse, topic_prefix):
    settings = pipeline_settings(kafka, clickhouse, topic_prefix)
    migrate(settings.clickhouse)
    with SinkProcess(settings) as sink:
        assert sink.ended() == (1, {})
    assert sink.log == [
        f"cartcast: topic {topic_prefix}.scores does not exist: run `cartcast topics create`",
    ]


def test_a_password_that_is_refused_ends_the_sink_with_one_line(kafka, topic_prefix, tmp_path):
    (tmp_path / "password").write_text("right\n")
    engine = Engine(tmp_path / "engine", new_port(), "--user", "default", "--password-file", str(tmp_path / "password"))
    settings = pipeline_settings(kafka, engine.url, topic_prefix)
    create(settings)
    with SinkProcess(settings, password="wrong") as sink:  # noqa: S106 - the point of the test
        assert sink.ended() == (1, {})
    assert len(sink.log) == 1
    assert sink.log[0].startswith(f"cartcast: ClickHouse at {engine.url} refuses user default: correct ")
    assert engine.stop() == 0


def test_a_sink_whose_clickhouse_is_away_waits_and_stops_when_told_without_losing_rows(kafka, topic_prefix, tmp_path):
    engine = Engine(tmp_path / "engine", new_port())
    settings = pipeline_settings(kafka, engine.url, topic_prefix)
    create(settings)
    migrate(settings.clickhouse)
    engine.stop()
    scores = Scores(settings)
    scores.publish(0, range(2000))
    with SinkProcess(settings) as sink:
        sink.wait_for("waiting")
        code, summary = sink.stop()
    assert (code, summary["stored"]) == (0, 0)
    engine.start()
    stored = Stored(settings)
    with SinkProcess(settings) as sink:
        stored.wait_for(2000)
        assert sink.stop()[0] == 0
    assert stored.matches(scores)
    assert engine.stop() == 0


def test_a_sink_whose_kafka_is_away_waits_and_stops_when_told(clickhouse, topic_prefix):
    settings = pipeline_settings(f"127.0.0.1:{new_port()}", clickhouse, topic_prefix)
    with SinkProcess(settings) as sink:
        sink.wait_for("waiting")
        assert sink.stop()[0] == 0, sink.log
