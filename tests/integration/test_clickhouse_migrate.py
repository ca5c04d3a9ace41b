"""Tables, views and columns as `cartcast migrate` makes them in the real engine."""

import json
import math
import threading
from collections.abc import Iterator
from typing import Any

import clickhouse_connect
import pytest
from structlog.testing import capture_logs

from cartcast.reference.data_dictionary import GROUPS
from service.clickhouse import connect
from service.clickhouse_settings import ClickHouseSettings
from service.errors import CartcastError, RefusedError, RowsRefusedError, UnavailableError
from sinks.schema.horizons import add_columns, model_columns
from sinks.schema.migrate import Migration, migrate, shipped_migrations
from sinks.table import ClickHouseTable
from tests.harness.command import run_command
from tests.harness.databases import Databases
from tests.harness.ports import new_port
from tests.harness.stored_scores import Stored, random_rows

pytestmark = pytest.mark.integration
NAMES = [migration.name for migration in shipped_migrations()]


SCORE = {
    "user_id": "u", "event_id": "e", "event_type": "view", "event_time": 1_700_000_000_000, "propensity_30m": 0.25,
    "model": "m", "source_topic": "events", "source_partition": 0, "source_offset": 1, "scored_at": 1_700_000_000_001,
}  # fmt: skip


@pytest.fixture
def settings(clickhouse, topic_prefix):
    settings = ClickHouseSettings(url=clickhouse, database=topic_prefix)
    yield settings
    clickhouse_connect.get_client(dsn=clickhouse).command(f"DROP DATABASE IF EXISTS {topic_prefix}")


def client(settings):
    return clickhouse_connect.get_client(dsn=f"{settings.url}/{settings.database}")


def test_the_command_gives_an_empty_server_everything_and_says_so_and_a_second_run_does_nothing(settings):
    arguments = ["migrate", "--url", settings.url, "--database", settings.database, "--json"]
    kept = [f"retention of {table}: 400 days" for table in ("scores", "dead_letters", "recommendations")]
    for applied in ([*NAMES, *kept], []):
        ran = run_command(*arguments)
        assert json.loads(ran.stdout.splitlines()[-1]) == {"database": settings.database, "applied": applied}
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
    assert migrate(settings, migrations=[Migration(1, "0001_a", "SELECT 1")]) == ["0001_a"]


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


def test_every_migration_may_be_applied_again_to_a_database_with_rows(database):
    again = Stored(database)
    again.add(random_rows(3, 100))
    for migration in shipped_migrations():
        again.client.command(migration.sql)
    assert again.query("SELECT sum(events) AS events FROM events_by_hour")[0]["events"] == 100


def test_every_table_view_and_column_has_a_comment_and_is_in_the_data_dictionary(database):
    query = client(database).query
    tables = query("SELECT name FROM system.tables WHERE database = currentDatabase() AND comment = ''")
    assert tables.result_rows == []
    columns = query(
        "SELECT table, name FROM system.columns WHERE database = currentDatabase() AND comment = '' AND table NOT IN "
        "(SELECT name FROM system.tables WHERE database = currentDatabase() AND engine = 'MaterializedView')"
    )
    assert columns.result_rows == []
    names = {name for (name,) in query("SHOW TABLES").result_rows}
    assert names == {name for group in GROUPS.values() for name in group}


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


def insert(settings: ClickHouseSettings, *scores: dict[str, Any]) -> None:
    table = ClickHouseTable(settings)
    for score in scores:
        table.insert([json.dumps(score).encode()], f"{score}")
    table.close()


def stored(settings: ClickHouseSettings, columns: str) -> list[tuple[Any, ...]]:
    query = f"SELECT {columns} FROM scores ORDER BY source_offset"  # noqa: S608 - our own names
    found = connect(settings, database=settings.database).query(query)
    return [tuple(row) for row in found.result_rows]


@pytest.fixture(scope="module")
def widened(databases: Databases) -> Iterator[ClickHouseSettings]:
    """A table with a row from before it got columns for more horizons, and one from after."""
    with databases.lend() as settings:
        insert(settings, SCORE)
        assert add_columns(settings, model_columns(["session", "30m", "7d"])) == ["propensity_30m", "propensity_7d"]
        insert(settings, SCORE | {"source_offset": 2})
        yield settings


def test_a_horizon_with_a_column_is_stored_and_others_and_earlier_rows_are_not_a_number(widened):
    before, after = stored(widened, "propensity_30m, propensity_7d, propensity_1h")
    assert all(math.isnan(propensity) for propensity in before)
    assert after[0] == 0.25
    assert all(math.isnan(propensity) for propensity in after[1:])


def test_columns_can_be_asked_for_again(widened):
    assert add_columns(widened, model_columns(["30m", "session", "24h"])) == []
    assert migrate(widened) == []


def test_a_number_that_is_no_probability_is_refused_with_its_column(widened):
    with pytest.raises(RowsRefusedError, match="column propensity_30m"):
        insert(widened, SCORE | {"propensity_30m": 1.5})


def test_a_horizon_without_a_column_is_left_out_with_one_warning_that_says_what_to_do(database):
    table = ClickHouseTable(database)
    with capture_logs() as logs:
        for offset in (1, 2):
            table.insert([json.dumps(SCORE | {"source_offset": offset}).encode()], f"{offset}")
    table.close()
    assert [log["remedy"] for log in logs] == ["cartcast migrate --horizons 30m"]
    assert len(stored(database, "user_id")) == 2


def test_every_view_can_be_read_when_standard_horizons_are_missing(database):
    insert(database, SCORE)
    client = connect(database, database=database.database)
    for view in ("latest_scores", "propensity_by_hour", "events_by_hour"):
        assert len(client.query(f"SELECT * FROM {view}").result_rows) == 1  # noqa: S608 - our own names


def test_columns_for_a_table_that_is_not_there_are_refused_in_one_line(clickhouse):
    with pytest.raises(RefusedError, match="run `cartcast migrate`"):
        add_columns(ClickHouseSettings(url=clickhouse, database="nowhere"), model_columns(["30m"]))


FOR_EVER = {"CARTCAST_CLICKHOUSE__RETENTION_DAYS": "0"}
"""The retention of the databases that tests are lent."""


def test_the_command_adds_columns_and_says_so(database):
    arguments = ["migrate", "--url", database.url, "--database", database.database, "--horizons", "1h,30m", "--json"]
    for applied in (["column propensity_30m"], []):
        ran = run_command(*arguments, environment=FOR_EVER)
        assert json.loads(ran.stdout.splitlines()[-1])["applied"] == applied


SHOP = """
goals:
  dear_cart: {event: cart, within: 1h, where: {category: "kids' toys", price: {at_least: 50}}}
money: {within: 7d, currency: EUR}
"""


def test_the_command_adds_columns_for_a_shops_goals_and_money(database, tmp_path):
    (tmp_path / "shop.yml").write_text(SHOP)
    where = ["--url", database.url, "--database", database.database]
    ran = run_command("migrate", *where, "--shop", str(tmp_path / "shop.yml"), "--json", environment=FOR_EVER)
    added = ["column propensity_dear_cart", "column propensity_7d", "column expected_value"]
    assert json.loads(ran.stdout.splitlines()[-1])["applied"] == added
    insert(database, SCORE | {"propensity_dear_cart": 0.25, "expected_value": 12.5})
    assert stored(database, "propensity_dear_cart, expected_value") == [(0.25, 12.5)]
    with pytest.raises(RowsRefusedError, match="column expected_value"):
        insert(database, SCORE | {"expected_value": -1.0})
    query = "SELECT comment FROM system.columns WHERE table = 'scores' AND name = {name:String}"
    client = connect(database, database=database.database)
    comments = [
        client.query(f"{query} AND database = currentDatabase()", parameters={"name": name}).result_rows[0][0]
        for name in ("propensity_dear_cart", "expected_value")
    ]
    assert "cart with category kids' toys and price at least 50, within 1 hour" in comments[0]
    assert "EUR within 7 days" in comments[1]


def test_fields_of_a_shop_without_a_column_are_left_out_with_a_warning_that_names_its_file(database):
    table = ClickHouseTable(database)
    with capture_logs() as logs:
        table.insert([json.dumps(SCORE | {"propensity_dear_cart": 0.5, "expected_value": 1.0}).encode()], "1")
    table.close()
    assert [log["remedy"] for log in logs] == ["cartcast migrate --horizons 30m --shop FILE"]


def test_what_is_no_horizon_is_wrong_usage():
    ran = run_command("migrate", "--horizons", "1h,soon")
    assert (ran.status, ran.stderr.count("\n")) == (2, 1)
    assert "--horizons 1h,soon" in ran.stderr
