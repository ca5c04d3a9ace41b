"""A running sink's port: metrics of what it does, and whether it is ready, whatever happens to ClickHouse."""

import http.client
import json

import pytest
from prometheus_client.parser import text_string_to_metric_families

from service.clickhouse import connect
from streams.topics import create_topics
from tests.harness.ports import new_port
from tests.harness.sink_process import Scores, SinkProcess, Stored, pipeline_settings, score
from tests.harness.waiting import eventually

pytestmark = pytest.mark.integration
BEARER = "between us"
HER = "jane-doe"


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


@pytest.fixture
def settings(kafka, database, topic_prefix):
    settings = pipeline_settings(kafka, database.url, topic_prefix, database=database.database)
    create_topics(settings.kafka.client_config(), settings.kafka.topics, partitions=1, replication_factor=1)
    return settings


def test_a_sink_is_ready_also_as_a_standby_until_a_table_goes_and_stays_alive(settings):
    port, scores, stored = Port(), Scores(settings), Stored(settings)
    with SinkProcess(settings, environment=port.environment) as sink:
        checks = port.wait_for("/readyz", 200)
        assert checks == dict.fromkeys(("scores", "dead letters", "kafka", "clickhouse"), "ok")
        scores.publish(0, range(700))
        stored.wait_for(700)
        found = port.metrics()
        assert found["cartcast_sink_stored_total", "scores"] == 700
        assert found["cartcast_sink_blocks_total", "scores"] >= 2
        assert found["cartcast_sink_block_rows_sum", "scores"] == 700
        assert found["cartcast_sink_insert_seconds_count", "scores"] >= 2
        assert found["cartcast_sink_retries_total", "scores"] == 0
        assert any(name[0] == "cartcast_clickhouse_disk_free_bytes" for name in found)
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
    port, scores, stored = Port(), Scores(settings), Stored(settings)
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
        eventually(lambda: port.metrics()[refused] >= 5, "dead letters", found=lambda: sink.log)
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
        eventually(lambda: port.metrics()["cartcast_sink_retries_total", "scores"] >= 4, "attempts")
        assert port.metrics()["cartcast_sink_waiting", "scores"] == 1
        assert port.get("/livez")[0] == 200
        assert sink.stop()[0] == 0


def test_a_port_that_would_be_open_to_all_ends_the_sink_in_one_line():
    settings = pipeline_settings(f"127.0.0.1:{new_port()}", f"http://127.0.0.1:{new_port()}", "nobody")
    environment = {"CARTCAST_SINK__METRICS_PORT": str(new_port()), "CARTCAST_SINK__METRICS_BIND": "0.0.0.0"}  # noqa: S104 - refused
    with SinkProcess(settings, environment=environment) as sink:
        assert sink.ended()[0] == 1
    assert "CARTCAST_SINK__METRICS_TOKEN" in sink.log[-1]
    assert "Traceback" not in "".join(sink.log)
