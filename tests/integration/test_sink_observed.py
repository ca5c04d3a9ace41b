"""What a running sink shows of itself: its port's health and metrics, and its samples of lag, scores and disks."""

import http.client
import json
import time

import numpy as np
import pytest
from confluent_kafka import Consumer, TopicPartition
from confluent_kafka.admin import AdminClient
from prometheus_client.parser import text_string_to_metric_families
from structlog.testing import capture_logs

from service.clickhouse import connect
from service.clickhouse_settings import ClickHouseSettings
from service.errors import UnavailableError
from sinks.observe.lag import LagSampler, PartitionLag, lag_between
from sinks.observe.samples import MIN_DRIFT_SCORES, Sampler
from streams.topics import create_topics
from tests.harness.ports import new_port
from tests.harness.sink_process import Scores, SinkProcess, pipeline_settings, score
from tests.harness.sink_process import Stored as StoredBySink
from tests.harness.stored_scores import HORIZONS, HOUR_MS, START_MS, Stored, random_rows
from tests.harness.waiting import eventually

PARTITIONS = 2
BEARER = "between us"
HER = "jane-doe"
pytestmark = pytest.mark.integration


@pytest.fixture
def settings(kafka, database, topic_prefix):
    settings = pipeline_settings(kafka, database.url, topic_prefix, database=database.database)
    create_topics(settings.kafka.client_config(), settings.kafka.topics, partitions=PARTITIONS, replication_factor=1)
    return settings


def commit(settings, group, partition, offset):
    consumer = Consumer(settings.kafka.client_config() | {"group.id": group, "enable.auto.commit": False})
    consumer.commit(offsets=[TopicPartition(settings.kafka.topics.scores, partition, offset)], asynchronous=False)
    consumer.close()


def sample(settings, topics_by_group):
    sampler = LagSampler(settings.kafka.client_config(), topics_by_group)
    try:
        return sampler.sample()
    finally:
        sampler.close()


@pytest.mark.parametrize(
    ("first", "committed", "end", "lag"),
    [(0, -1, 10, 10), (4, -1, 10, 6), (4, 2, 10, 6), (0, 7, 10, 3), (0, 10, 10, 0), (0, 12, 10, 0), (0, -1, 0, 0)],
)
def test_lag_is_what_a_group_can_still_read(first, committed, end, lag):
    assert lag_between(first, committed, end) == lag


def test_a_sample_says_what_is_committed_and_what_is_there(settings):
    topic, group = settings.kafka.topics.scores, f"{settings.kafka.topic_prefix}-sink"
    Scores(settings).publish(1, range(30))
    commit(settings, group, 1, 12)
    assert sample(settings, {group: topic, "nobody": topic}) == [
        PartitionLag(group, topic, 0, -1, 0, 0),
        PartitionLag(group, topic, 1, 12, 30, 18),
        PartitionLag("nobody", topic, 0, -1, 0, 0),
        PartitionLag("nobody", topic, 1, -1, 30, 30),
    ]


def test_a_topic_that_does_not_exist_has_no_lag_and_is_not_made(settings):
    missing = f"{settings.kafka.topic_prefix}.missing"
    assert sample(settings, {"group": missing}) == []
    assert missing not in AdminClient(settings.kafka.client_config()).list_topics().topics


def test_a_kafka_that_is_away_is_a_failure_that_passes():
    sampler = LagSampler({"bootstrap.servers": f"127.0.0.1:{new_port()}"}, {"group": "topic"})
    with pytest.raises(UnavailableError, match="Kafka does not tell offsets"):
        sampler.sample()
    sampler.close()


def rows(settings):
    client = connect(settings.clickhouse, database=settings.clickhouse.database)
    found = client.query(
        "SELECT consumer_group, topic, partition, committed, end_offset, lag FROM consumer_lag "
        "WHERE at = (SELECT max(at) FROM consumer_lag) ORDER BY consumer_group, partition"
    ).result_rows
    client.close_connections()
    return found


def test_the_sink_stores_samples_of_every_group(settings):
    prefix, topics = settings.kafka.topic_prefix, settings.kafka.topics
    Scores(settings).publish(0, range(40))
    wanted = [
        (prefix, topics.events, 0, -1, 40, 40),
        (prefix, topics.events, 1, -1, 0, 0),
        (f"{prefix}-sink", topics.scores, 0, 40, 40, 0),
        (f"{prefix}-sink", topics.scores, 1, -1, 0, 0),
        *((f"{prefix}-sink-dead-letters", topics.dead_letters, partition, -1, 0, 0) for partition in range(PARTITIONS)),
    ]
    with SinkProcess(settings, environment={"CARTCAST_SINK__LAG_SECONDS": "0.2"}) as sink:
        eventually(lambda: rows(settings) == wanted, "the samples", found=lambda: rows(settings))
        assert sink.stop()[0] == 0


def test_a_failing_sample_is_told_once_and_stops_nothing(settings):
    client = connect(settings.clickhouse, database=settings.clickhouse.database)
    client.command("DROP TABLE consumer_lag")
    scores, stored = Scores(settings), StoredBySink(settings)
    scores.publish(0, range(100))
    with SinkProcess(settings, environment={"CARTCAST_SINK__LAG_SECONDS": "0.01"}) as sink:
        sink.wait_for("no consumer lag for now", "consumer lag")
        stored.wait_for(100)
        scores.publish(0, range(100, 200))
        stored.wait_for(200)
        assert sink.stop()[0] == 0
    assert sum("no consumer lag for now" in line for line in sink.log) == 1


def test_no_sample_is_taken_if_the_setting_says_so(settings):
    scores, stored = Scores(settings), StoredBySink(settings)
    scores.publish(0, range(10))
    with SinkProcess(settings, environment={"CARTCAST_SINK__LAG_SECONDS": "0"}) as sink:
        stored.wait_for(10)
        assert sink.stop()[0] == 0
    assert rows(settings) == []


HOURS = 47


@pytest.fixture
def stored(database: ClickHouseSettings) -> Stored:
    return Stored(database)


def recent_rows(count: int) -> list[dict]:
    """Rows of the last 47 hours."""
    shift = time.time_ns() // 1_000_000 - HOURS * HOUR_MS - START_MS
    late = {"event_time", "source_timestamp", "scored_at"}
    rows = random_rows(3, count, hours=HOURS)
    return [{name: value + shift if name in late else value for name, value in row.items()} for row in rows]


def psi(stored: Stored, model: str, horizon: str, now: float) -> float | None:
    """The index by the book, of the last 24 hours against the first 24; None if there are few."""
    values, of_model = stored.propensities(horizon), stored.column("model") == model
    hours = stored.column("event_time").astype(np.int64) // HOUR_MS
    usable = of_model & np.isfinite(values)
    first = hours[usable].min() if usable.any() else 0
    recent = np.histogram(values[usable & (hours * 3600 >= now - 86_400)], 20, (0, 1))[0]
    reference = np.histogram(values[usable & (hours < first + 24)], 20, (0, 1))[0]
    if recent.sum() < MIN_DRIFT_SCORES:
        return None
    p, q = ((counts + 0.5) / (counts.sum() + 10) for counts in (recent, reference))
    return float(((p - q) * np.log(p / q)).sum())


def test_drift_and_calibration_are_those_of_the_rows(stored):
    stored.add(recent_rows(6000))
    sampler = Sampler(stored.settings, seconds=60)
    sampler.sample()
    wanted = {
        (model, horizon): psi(stored, model, horizon, time.time()) for model in ("m1", "m2") for horizon in HORIZONS
    }
    found = {(each.model, each.horizon): each.psi for each in sampler.drift}
    assert found == pytest.approx({key: index for key, index in wanted.items() if index is not None})
    assert len(found) == 5  # m2 has no 24h
    of_view = {(row["model"], row["horizon"]): row for row in stored.query("SELECT * FROM online_evaluation_by_model")}
    assert {(each.model, each.horizon): each.scores for each in sampler.calibration} == {
        key: row["scores"] for key, row in of_view.items()
    }
    for each in sampler.calibration:
        assert each.error == pytest.approx(of_view[each.model, each.horizon]["ece"], abs=0.01)
    disk = sampler.disks[0]
    assert 0 < disk.free_bytes <= disk.total_bytes


def test_what_is_old_or_little_is_not_shown(stored):
    stored.add(random_rows(1, 2000))
    sampler = Sampler(stored.settings, seconds=60)
    sampler.sample()
    assert (sampler.drift, sampler.calibration) == ([], [])
    stored.add([row | {"user_id": f"new {row['user_id']}"} for row in recent_rows(300)])
    sampler.sample()
    assert sampler.drift == []


def test_a_question_that_fails_is_told_once_and_spoils_no_other(clickhouse, topic_prefix):
    settings = ClickHouseSettings(url=clickhouse, database=topic_prefix)
    connect(settings).command(f"CREATE DATABASE {topic_prefix}")
    sampler = Sampler(settings, seconds=60)
    with capture_logs() as log:
        sampler.sample()
        sampler.sample()
    assert [(line["event"], line["what"]) for line in log] == [
        ("not sampled for now", "drift"),
        ("not sampled for now", "calibration"),
    ]
    assert sampler.disks


def test_a_clickhouse_that_is_away_empties_the_samples():
    sampler = Sampler(ClickHouseSettings(url=f"http://127.0.0.1:{new_port()}"), seconds=60)
    sampler.disks = [None]
    sampler.sample()
    assert (sampler.disks, sampler.drift, sampler.calibration) == ([], [], [])


class Port:
    """The sink's port, and the environment that opens it."""

    def __init__(self):
        self.number = new_port()
        self.environment = {
            "CARTCAST_SINK__METRICS_PORT": str(self.number),
            "CARTCAST_SINK__METRICS_TOKEN": BEARER,
            "CARTCAST_SINK__LAG_SECONDS": "0.2",
        }

    def get(self, path):
        connection = http.client.HTTPConnection("127.0.0.1", self.number)
        try:
            connection.request("GET", path, headers={"Authorization": f"Bearer {BEARER}"})
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        except ConnectionRefusedError:
            return 0, "{}"
        finally:
            connection.close()

    def wait_for(self, path, status, **checks):
        """Return once the page has this status and these results of checks."""
        answers = []

        def is_there():
            answers[:] = self.get(path)
            return answers[0] == status and checks.items() <= json.loads(answers[1]).get("checks", {}).items()

        eventually(is_there, f"{status} of {path}", found=lambda: answers)
        return json.loads(answers[1])["checks"]

    def metrics(self):
        families = text_string_to_metric_families(self.get("/metrics")[1])
        return {(each.name, *each.labels.values()): each.value for family in families for each in family.samples}

    def wait_for_metrics(self, condition):
        """Return once the condition holds: a row is in the table before it is counted."""
        eventually(lambda: condition(self.metrics()), "metrics", found=self.metrics)


def test_a_sink_is_ready_also_as_a_standby_until_a_table_goes_and_stays_alive(settings):
    port, scores, stored = Port(), Scores(settings), StoredBySink(settings)
    with SinkProcess(settings, environment=port.environment) as sink:
        checks = port.wait_for("/readyz", 200)
        assert checks == dict.fromkeys(("scores", "dead letters", "kafka", "clickhouse"), "ok")
        scores.publish(0, range(700))
        stored.wait_for(700)
        port.wait_for_metrics(
            lambda found: (
                found["cartcast_sink_stored_total", "scores"] == 700
                and found["cartcast_sink_blocks_total", "scores"] >= 2
                and found["cartcast_sink_block_rows_sum", "scores"] == 700
                and found["cartcast_sink_insert_seconds_count", "scores"] >= 2
                and found["cartcast_sink_retries_total", "scores"] == 0
                and any(name[0] == "cartcast_clickhouse_disk_free_bytes" for name in found)
            )
        )
        standby = Port()
        with SinkProcess(settings, environment=standby.environment):
            standby.wait_for("/readyz", 200)
            port.wait_for("/readyz", 200)  # one of them has the only partition
        connect(settings.clickhouse, database=settings.clickhouse.database).command("DROP TABLE dead_letters")
        refused = port.wait_for("/readyz", 503, scores="ok", kafka="ok")
        assert "cartcast doctor" in refused["clickhouse"]
        assert port.get("/livez")[0] == 200
        assert sink.stop()[0] == 0


def test_a_log_of_everything_names_no_shopper_and_no_secret(settings):
    port, scores, stored = Port(), Scores(settings), StoredBySink(settings)
    hers = score(settings.kafka.topics.events, 0, 1) | dict.fromkeys(
        ("user_id", "event_id", "item_id", "category"), HER
    )
    scores.have_events(0, 10)
    others = [[HER], HER, {}]
    shapes = [hers, hers | {"price": HER}, hers | {"event_time": HER}, hers | {"scored_at": 1}, hers]
    for source, value in enumerate([each | {"source_offset": n} for n, each in enumerate(shapes)] + others):
        scores.send(0, json.dumps(value).encode(), source, key=HER.encode())
    scores.send(0, json.dumps(hers).encode())
    scores.flush()
    with SinkProcess(settings, environment=port.environment | {"CARTCAST_LOG__LEVEL": "debug"}) as sink:
        stored.wait_for(2)
        refused = ("cartcast_sink_dead_letters_total", "scores")
        port.wait_for_metrics(lambda found: found[refused] >= 5)
        assert port.get("/metrics")[1].count(HER) == 0
        assert sink.stop()[0] == 0
    assert any("records are no rows" in line for line in sink.log)
    assert [line for line in sink.log if HER in line or BEARER in line] == []


def test_a_clickhouse_that_is_away_is_waited_for_and_told(settings):
    port = Port()
    away = settings.model_copy(
        update={"clickhouse": settings.clickhouse.model_copy(update={"url": f"http://127.0.0.1:{new_port()}"})}
    )
    Scores(settings).publish(0, range(10))
    environment = port.environment | {"CARTCAST_SINK__STALLED_SECONDS": "2"}
    with SinkProcess(away, environment=environment) as sink:
        port.wait_for("/readyz", 503, clickhouse="does not answer", scores="ok", kafka="ok")
        port.wait_for_metrics(lambda found: found["cartcast_sink_retries_total", "scores"] >= 4)
        port.wait_for_metrics(lambda found: found["cartcast_sink_waiting", "scores"] == 1)
        port.wait_for("/livez", 200)
        assert sink.stop()[0] == 0


def test_a_port_that_would_be_open_to_all_ends_the_sink_in_one_line():
    settings = pipeline_settings(f"127.0.0.1:{new_port()}", f"http://127.0.0.1:{new_port()}", "nobody")
    environment = {"CARTCAST_SINK__METRICS_PORT": str(new_port()), "CARTCAST_SINK__METRICS_BIND": "0.0.0.0"}  # noqa: S104 - refused
    with SinkProcess(settings, environment=environment) as sink:
        assert sink.ended()[0] == 1
    assert "CARTCAST_SINK__METRICS_TOKEN" in sink.log[-1]
    assert "Traceback" not in "".join(sink.log)
