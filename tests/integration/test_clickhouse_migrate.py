import json
import threading

import clickhouse_connect
import pytest

from service.clickhouse_settings import ClickHouseSettings
from service.errors import CartcastError, RefusedError, UnavailableError
from sinks.schema.migrate import Migration, migrate, shipped_migrations
from tests.harness.command import run_command
from tests.harness.ports import new_port

pytestmark = pytest.mark.integration
NAMES = [migration.name for migration in shipped_migrations()]


@pytest.fixture
def settings(clickhouse, topic_prefix):
    settings = ClickHouseSettings(url=clickhouse, database=topic_prefix)
    yield settings
    clickhouse_connect.get_client(dsn=clickhouse).command(f"DROP DATABASE IF EXISTS {topic_prefix}")


def client(settings):
    return clickhouse_connect.get_client(dsn=f"{settings.url}/{settings.database}")


def test_an_empty_server_gets_everything_and_a_second_run_does_nothing(settings):
    assert migrate(settings) == NAMES
    assert migrate(settings) == []
    tables = {name for (name,) in client(settings).query("SHOW TABLES").result_rows}
    assert tables >= {"scores", "latest_scores", "propensity_by_hour", "events_by_hour", "schema_migrations"}


def test_only_what_is_new_is_applied(settings):
    first = [Migration(1, "0001_a", "CREATE TABLE IF NOT EXISTS a (x Int8) ENGINE = Memory")]
    migrate(settings, migrations=first)
    second = [*first, Migration(2, "0002_b", "CREATE OR REPLACE VIEW b AS SELECT x FROM a")]
    assert migrate(settings, migrations=second) == ["0002_b"]


def test_a_migration_that_was_changed_after_it_was_applied_is_refused(settings):
    migrate(settings, migrations=[Migration(1, "0001_a", "SELECT 1")])
    with pytest.raises(RefusedError, match="0001_a was changed"):
        migrate(settings, migrations=[Migration(1, "0001_a", "SELECT 2")])


def test_a_database_that_a_newer_cartcast_migrated_is_left_alone(settings):
    migrate(settings, migrations=[Migration(999, "0999_later", "SELECT 1")])
    assert migrate(settings) == NAMES


def test_a_statement_that_fails_is_one_line_and_is_tried_again_next_time(settings):
    good, bad = Migration(1, "0001_a", "SELECT 1"), Migration(2, "0002_b", "SELECT throwIf(1)")
    with pytest.raises(UnavailableError) as failure:
        migrate(settings, migrations=[good, bad])
    assert "\n" not in str(failure.value)
    assert "FUNCTION_THROW_IF_VALUE_IS_NON_ZERO" in str(failure.value)
    assert migrate(settings, migrations=[good, Migration(2, "0002_b", "SELECT 2")]) == ["0002_b"]


def test_two_at_once_do_no_harm(settings):
    failures = []

    def run():
        try:
            migrate(settings)
        except CartcastError as failure:
            failures.append(failure)

    both = [threading.Thread(target=run) for _ in range(2)]
    for each in both:
        each.start()
    for each in both:
        each.join()
    assert failures == []
    assert migrate(settings) == []


def test_the_columns_say_what_they_hold(settings):
    migrate(settings)
    described = client(settings).query("SELECT name, comment FROM system.columns WHERE database = currentDatabase()")
    ours = [(name, comment) for name, comment in described.result_rows if name in {"price", "event_time", "event_at"}]
    assert all(comment for name, comment in ours if name == "price")
    tables = client(settings).query("SELECT name, comment FROM system.tables WHERE database = currentDatabase()")
    assert all(comment for _, comment in tables.result_rows)


def test_the_command_prints_what_it_did(settings):
    arguments = ["migrate", "--url", settings.url, "--database", settings.database, "--json"]
    for applied in (NAMES, []):
        ran = run_command(*arguments)
        assert json.loads(ran.stdout.splitlines()[-1]) == {"database": settings.database, "applied": applied}


def test_a_server_that_does_not_answer_is_one_line_after_a_short_wait():
    waits = []
    settings = ClickHouseSettings(url=f"http://127.0.0.1:{new_port()}")
    with pytest.raises(UnavailableError) as failure:
        migrate(settings, wait_seconds=1.0, sleep=waits.append)
    assert str(failure.value) == (
        f"ClickHouse at {settings.url} does not answer (Connection refused): "
        "start it (`cartcast up`), or correct CARTCAST_CLICKHOUSE__URL"
    )
    assert waits == [0.25, 0.5, 1.0]


@pytest.mark.parametrize("url", ["ftp://127.0.0.1", "127.0.0.1:8123", ""])
def test_an_address_that_is_none_is_refused(url):
    with pytest.raises(RefusedError, match="is no ClickHouse address"):
        migrate(ClickHouseSettings(url=url))


def test_a_server_that_is_no_clickhouse_is_refused(clickhouse):
    with pytest.raises(RefusedError, match="answered by no ClickHouse"):
        migrate(ClickHouseSettings(url=f"{clickhouse}/elsewhere"))
