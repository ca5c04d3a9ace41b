"""A database of an older version, with rows and a sink that goes on, gets the views with all of its rows in them."""

import threading
import time
from collections.abc import Iterator

import pytest

from service.clickhouse import connect
from service.clickhouse_settings import ClickHouseSettings
from sinks.schema.migrate import migrate, shipped_migrations
from tests.stored_scores import Stored, random_rows

pytestmark = pytest.mark.integration

ADDED_UP = ("events_by_minute", "events_by_hour", "propensity_by_hour", "latest_scores", "events_by_category")


@pytest.fixture
def settings(clickhouse: str, topic_prefix: str) -> Iterator[ClickHouseSettings]:
    settings = ClickHouseSettings(url=clickhouse, database=topic_prefix)
    yield settings
    connect(settings).command(f"DROP DATABASE {topic_prefix}")


def of_version_1(settings: ClickHouseSettings) -> Stored:
    migrate(settings, migrations=[each for each in shipped_migrations() if each.version <= 5])
    return Stored(settings)


def test_rows_from_before_and_rows_that_come_meanwhile_are_in_every_view(settings):
    old = of_version_1(settings)
    old.add(random_rows(1, 1000))
    over = threading.Event()

    def go_on() -> None:
        block = 1
        while not over.is_set():
            old.add(random_rows(block, 100, first=1000 + 100 * block))
            block += 1

    sink = threading.Thread(target=go_on)
    sink.start()
    migrate(settings)
    over.set()
    sink.join()
    old.make_outcomes()
    for view in ADDED_UP:
        (row,) = old.query(f"SELECT sum(events) AS events FROM {view}")  # noqa: S608
        assert row["events"] == len(old.rows)
    assert old.query("SELECT sum(scores) AS scores FROM outcome_bins")[0]["scores"] > 0


def test_older_parts_get_their_aggregates_in_the_background(settings):
    old = of_version_1(settings)
    old.add(random_rows(2, 500))
    migrate(settings)
    deadline = time.monotonic() + 60
    query = (
        "SELECT uniqExact(name) AS found FROM system.projection_parts "
        "WHERE active AND database = currentDatabase() AND table = 'scores'"
    )
    while old.query(query)[0]["found"] < 8:
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_every_migration_may_be_applied_again(settings):
    migrate(settings)
    again = Stored(settings)
    again.add(random_rows(3, 100))
    for migration in shipped_migrations():
        if migration.version >= 20:
            again.client.command(migration.sql)
    assert again.query("SELECT sum(events) AS events FROM events_by_hour")[0]["events"] == 100
