"""A database with rows, and a sink that goes on, may be migrated again."""

import pytest

from service.clickhouse_settings import ClickHouseSettings
from sinks.schema.migrate import migrate, shipped_migrations
from tests.harness.stored_scores import Stored, random_rows

pytestmark = pytest.mark.integration


def test_every_migration_may_be_applied_again(clickhouse: str, topic_prefix: str) -> None:
    settings = ClickHouseSettings(url=clickhouse, database=topic_prefix)
    migrate(settings)
    again = Stored(settings)
    again.add(random_rows(3, 100))
    for migration in shipped_migrations():
        again.client.command(migration.sql)
    assert again.query("SELECT sum(events) AS events FROM events_by_hour")[0]["events"] == 100
