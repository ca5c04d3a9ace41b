"""Scores of models with other horizons than the standard ones, in the real engine's table."""

import json
import math
from collections.abc import Iterator
from typing import Any

import pytest
from structlog.testing import capture_logs

from service.clickhouse import connect
from service.clickhouse_settings import ClickHouseSettings
from service.errors import RefusedError, RowsRefusedError
from sinks.schema.horizons import add_columns
from sinks.schema.migrate import migrate
from sinks.table import ClickHouseTable
from tests.harness.command import run_command

pytestmark = pytest.mark.integration

SCORE = {
    "user_id": "u", "event_id": "e", "event_type": "view", "event_time": 1_700_000_000_000, "propensity_30m": 0.25,
    "model": "m", "source_topic": "events", "source_partition": 0, "source_offset": 1, "scored_at": 1_700_000_000_001,
}  # fmt: skip


@pytest.fixture
def settings(clickhouse: str, topic_prefix: str) -> Iterator[ClickHouseSettings]:
    settings = ClickHouseSettings(url=clickhouse, database=topic_prefix)
    migrate(settings)
    yield settings
    connect(settings).command(f"DROP DATABASE {topic_prefix}")


def insert(settings: ClickHouseSettings, *scores: dict[str, Any]) -> None:
    table = ClickHouseTable(settings)
    for score in scores:
        table.insert([json.dumps(score).encode()], f"{score}")
    table.close()


def stored(settings: ClickHouseSettings, columns: str) -> list[tuple[Any, ...]]:
    query = f"SELECT {columns} FROM scores ORDER BY source_offset"  # noqa: S608 - our own names
    found = connect(settings, database=settings.database).query(query)
    return [tuple(row) for row in found.result_rows]


def test_a_horizon_with_a_column_is_stored_and_the_others_are_not_a_number(settings):
    assert add_columns(settings, ["session", "30m", "7d"]) == ["propensity_30m", "propensity_7d"]
    insert(settings, SCORE)
    ((half_hour, week, hour),) = stored(settings, "propensity_30m, propensity_7d, propensity_1h")
    assert half_hour == 0.25
    assert math.isnan(week)
    assert math.isnan(hour)


def test_rows_from_before_the_column_have_no_number_in_it(settings):
    insert(settings, SCORE)
    add_columns(settings, ["30m"])
    insert(settings, SCORE | {"source_offset": 2})
    before, after = stored(settings, "propensity_30m")
    assert math.isnan(before[0])
    assert after == (0.25,)


def test_columns_can_be_asked_for_again(settings):
    assert add_columns(settings, ["30m"]) == ["propensity_30m"]
    assert add_columns(settings, ["30m", "session", "24h"]) == []
    assert migrate(settings) == []


def test_a_number_that_is_no_probability_is_refused_with_its_column(settings):
    add_columns(settings, ["30m"])
    with pytest.raises(RowsRefusedError, match="column propensity_30m"):
        insert(settings, SCORE | {"propensity_30m": 1.5})


def test_a_horizon_without_a_column_is_left_out_with_one_warning_that_says_what_to_do(settings):
    table = ClickHouseTable(settings)
    with capture_logs() as logs:
        for offset in (1, 2):
            table.insert([json.dumps(SCORE | {"source_offset": offset}).encode()], f"{offset}")
    table.close()
    assert [log["remedy"] for log in logs] == ["cartcast migrate --horizons 30m"]
    assert len(stored(settings, "user_id")) == 2


def test_every_view_can_be_read_when_standard_horizons_are_missing(settings):
    insert(settings, SCORE)
    client = connect(settings, database=settings.database)
    for view in ("latest_scores", "propensity_by_hour", "events_by_hour"):
        assert len(client.query(f"SELECT * FROM {view}").result_rows) == 1  # noqa: S608 - our own names


def test_a_table_that_is_not_there_is_one_line(clickhouse):
    with pytest.raises(RefusedError, match="run `cartcast migrate`"):
        add_columns(ClickHouseSettings(url=clickhouse, database="nowhere"), ["30m"])


def test_the_command_adds_columns_and_says_so(settings):
    arguments = ["migrate", "--url", settings.url, "--database", settings.database, "--horizons", "1h,30m", "--json"]
    for applied in (["column propensity_30m"], []):
        ran = run_command(*arguments)
        assert json.loads(ran.stdout.splitlines()[-1])["applied"] == applied


def test_what_is_no_horizon_is_wrong_usage():
    ran = run_command("migrate", "--horizons", "1h,soon")
    assert (ran.status, ran.stderr.count("\n")) == (2, 1)
    assert "--horizons 1h,soon" in ran.stderr
