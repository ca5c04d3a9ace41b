"""The dashboards ask for what is there: SQL that answers on the real engine, metrics that the code declares."""

import json
import re
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import yaml

from service.clickhouse import connect
from tests.deploy.declared_metrics import samples, strangers
from tests.deploy.grafana_queries import replaced

DEPLOY = Path(__file__).parents[2] / "deploy"
GRAFANA = DEPLOY / "grafana"
DASHBOARDS = {path.stem: json.loads(path.read_text()) for path in sorted((GRAFANA / "dashboards").glob("*.json"))}
PANELS = [
    pytest.param(panel, id=f"{name}-{panel['title']}")
    for name, dashboard in DASHBOARDS.items()
    for panel in dashboard["panels"]
    if panel["type"] != "row"
]
NOW = datetime.now(UTC).replace(microsecond=0)
STEP_SECONDS = 3600

FILL = """
INSERT INTO scores (user_id, event_id, event_type, item_id, category, channel, price, event_time, propensity_session,
    propensity_1h, propensity_24h, model, source_topic, source_partition, source_offset, scored_at, source_timestamp)
SELECT
    concat('u', toString(number % 97)),
    toString(number),
    ['view', 'view', 'view', 'search', 'cart', 'checkout', 'purchase'][1 + sipHash64(number) % 7],
    concat('i', toString(number % 13)),
    ['', 'shoes', 'hats', '<b>"it''s"</b>'][1 + number % 4],
    ['', 'web', 'app'][1 + number % 3],
    if(number % 5 = 0, NULL, number % 90),
    {now:Int64} - (8000 - number) * 30000,
    (sipHash64(number, 1) % 1000) / 1000,
    (sipHash64(number, 2) % 1000) / 1000,
    (sipHash64(number, 3) % 1000) / 1000,
    ['lstm-a', 'lstm-b'''][1 + number % 2],
    'shop.events',
    number % 4,
    intDiv(number, 4) + (number >= 4000),
    {now:Int64} - (8000 - number) * 30000 + 20,
    {now:Int64} - (8000 - number) * 30000
FROM numbers(8000)
"""
FILL_DEAD_LETTERS = """
INSERT INTO dead_letters (source_topic, source_partition, source_offset, reason, error, value_bytes, dead_at,
    letter_partition, letter_offset)
SELECT 'shop.events', number % 4, 5000 + number, ['json', 'key'][1 + number % 2], 'value: not an object', 12,
    toDateTime64({now:Int64} / 1000 - number, 3, 'UTC'), 0, number
FROM numbers(50)
"""
FILL_LAG = """
INSERT INTO consumer_lag (at, consumer_group, topic, partition, committed, end_offset, lag)
SELECT toDateTime64({now:Int64} / 1000 - 5 * intDiv(number, 8), 3, 'UTC'), ['shop', 'shop-sink'][1 + number % 2],
    'shop.events', intDiv(number, 2) % 4, number, number + 7, 7
FROM numbers(80)
"""


@pytest.fixture(scope="module")
def filled(databases):
    with databases.lend() as settings:
        client = connect(settings, database=settings.database)
        for statement in (FILL, FILL_DEAD_LETTERS, FILL_LAG):
            client.command(statement, parameters={"now": int(NOW.timestamp() * 1000)})
        yield client
        client.close_connections()


def sql_of(text, since=NOW - timedelta(days=7)):
    variables = {"model": ("lstm-a", "lstm-b'"), "channel": ("(none)", "web", "app"), "horizon": ("24h",)}
    return replaced(text, variables, since, NOW + timedelta(minutes=1), STEP_SECONDS)


def queries(panel, kind):
    return [target for target in panel["targets"] if target["datasource"]["type"] == kind]


@pytest.mark.integration
@pytest.mark.parametrize("panel", PANELS)
def test_every_panels_sql_returns_rows_with_values(filled, panel):
    for target in queries(panel, "grafana-clickhouse-datasource"):
        answer = filled.query(sql_of(target["rawSql"]))
        assert answer.result_rows, panel["title"]
        assert all(any(value is not None for value in column) for column in answer.result_columns), answer.column_names
        if target["queryType"] == "timeseries":
            times = answer.result_columns[0]
            assert answer.column_names[0] == "time"
            assert list(times) == sorted(times)
        else:
            assert "time" not in answer.column_names
        for column in named_columns(panel):
            assert column in answer.column_names, column


def named_columns(panel):
    """The columns that a panel's look is tied to."""
    named = [override["matcher"]["options"] for override in panel["fieldConfig"]["overrides"]]
    return named + [each for name, each in panel["options"].items() if name == "xField"]


@pytest.mark.integration
@pytest.mark.parametrize("panel", PANELS)
def test_sql_over_no_data_fails_nowhere(filled, panel):
    for target in queries(panel, "grafana-clickhouse-datasource"):
        filled.query(sql_of(target["rawSql"], since=NOW + timedelta(seconds=30)))


@pytest.mark.integration
@pytest.mark.parametrize("horizon", ["session", "1h", "24h", "' OR 1 = 1 --"])
def test_every_choice_of_a_horizon_is_answered(filled, horizon):
    for panel in DASHBOARDS["propensity"]["panels"]:
        for target in panel.get("targets", ()):
            variables = {"model": ("lstm-a",), "channel": ("web",), "horizon": (horizon,)}
            filled.query(replaced(target["rawSql"], variables, NOW - timedelta(days=7), NOW, STEP_SECONDS))


@pytest.mark.integration
def test_the_choices_of_models_and_channels_are_those_that_are_there(filled):
    asked = {each["name"]: each for each in DASHBOARDS["propensity"]["templating"]["list"] if each["type"] == "query"}
    offered = {name: filled.query(sql_of(each["query"])).result_columns[0] for name, each in asked.items()}
    assert offered == {"model": ["lstm-a", "lstm-b'"], "channel": ["(none)", "app", "web"]}


@pytest.mark.integration
@pytest.mark.parametrize("page", sorted((DEPLOY.parent / "docs/runbooks").glob("*.md")), ids=lambda page: page.stem)
def test_the_sql_of_runbooks_is_answered(filled, page):
    for statement in re.findall(r"```sql\n(.*?)```", page.read_text(), re.DOTALL):
        filled.query(statement)


@pytest.mark.integration
def test_panels_ask_views_and_never_the_raw_tables(filled):
    views = {
        name
        for (name,) in filled.query(
            "SELECT name FROM system.tables WHERE engine = 'View' AND database = currentDatabase()"
        ).result_rows
    }
    texts = [
        target["rawSql"]
        for dashboard in DASHBOARDS.values()
        for panel in dashboard["panels"]
        for target in panel.get("targets", ())
        if "rawSql" in target
    ]
    asked = {name for text in texts for name in re.findall(r"FROM (\w+)", text)}
    assert asked <= views


def asked_of_prometheus():
    return [target["expr"] for panel in all_panels() for target in queries(panel, "prometheus")]


def test_every_word_of_promql_is_a_metric_that_the_code_declares_or_promql():
    assert asked_of_prometheus()
    assert {text: strangers(text) for text in asked_of_prometheus() if strangers(text)} == {}


def test_every_metric_of_cartcast_is_on_a_dashboard():
    asked = set(re.findall(r"\bcartcast_\w+", " ".join(asked_of_prometheus())))
    assert {name for name, names in samples().items() if not names & asked} == set()


def all_panels():
    return [param.values[0] for param in PANELS]


def test_ids_and_uids_are_unique_and_panels_do_not_overlap():
    uids = [dashboard["uid"] for dashboard in DASHBOARDS.values()]
    assert sorted(uids) == ["cartcast-pipeline", "cartcast-propensity"]
    for dashboard in DASHBOARDS.values():
        ids = [panel["id"] for panel in dashboard["panels"]]
        assert len(set(ids)) == len(ids)
        cells = [cell for panel in dashboard["panels"] for cell in cells_of(panel["gridPos"])]
        assert len(set(cells)) == len(cells)
        assert all(x < 24 for x, _ in cells)


def cells_of(place):
    columns, rows = range(place["x"], place["x"] + place["w"]), range(place["y"], place["y"] + place["h"])
    return [(x, y) for x in columns for y in rows]


def test_every_panel_has_a_title_and_says_what_it_means():
    for panel in all_panels():
        assert panel["title"]
        assert panel["description"].endswith(".")


def test_data_sources_are_those_that_are_provisioned():
    provisioned = yaml.safe_load((GRAFANA / "provisioning/datasources/cartcast.yaml").read_text())["datasources"]
    known = {(each["type"], each["uid"]) for each in provisioned}
    variables = [each for dashboard in DASHBOARDS.values() for each in dashboard["templating"]["list"]]
    users = [*all_panels(), *(target for panel in all_panels() for target in panel["targets"])]
    users += [each for each in variables if each["type"] == "query"]
    assert {(each["datasource"]["type"], each["datasource"]["uid"]) for each in users} <= known


def test_addresses_and_credentials_come_from_the_environment():
    provisioning = "\n".join(path.read_text() for path in sorted((GRAFANA / "provisioning").rglob("*.yaml")))
    local = dict(line.split("=", 1) for line in (GRAFANA / "local.env").read_text().splitlines() if "=" in line)
    assert set(re.findall(r"\$\{(\w+)\}", provisioning)) == local.keys() | {"CARTCAST_DASHBOARDS"}
    assert local["CLICKHOUSE_PASSWORD"] == ""
    provisioned = yaml.safe_load((GRAFANA / "provisioning/datasources/cartcast.yaml").read_text())["datasources"]
    for source in provisioned:
        assert all(value.startswith("${") for value in source.get("secureJsonData", {}).values())


def test_prometheus_scrapes_the_jobs_that_the_dashboards_know():
    scraped = yaml.safe_load((DEPLOY / "prometheus/prometheus.yml").read_text())["scrape_configs"]
    assert {each["job_name"] for each in scraped} == {"cartcast-worker", "cartcast-sink"}


def test_the_files_are_what_the_generator_writes(tmp_path):
    generate = [sys.executable, str(GRAFANA / "generate"), str(tmp_path)]
    subprocess.run(generate, check=True, capture_output=True)
    for path in sorted((GRAFANA / "dashboards").glob("*.json")):
        assert path.read_text() == (tmp_path / path.name).read_text(), "run python deploy/grafana/generate"
