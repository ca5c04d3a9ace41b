"""The database, its tables and views: numbered SQL files, each applied once, in order, never back.

First come the tables, then the views over them.

One statement a file, because ClickHouse has no transaction around several; every statement may be repeated
(`IF NOT EXISTS`, `OR REPLACE`), so that two migrations at once, or one that was killed, do no harm.
"""

import hashlib
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from importlib.resources import files
from typing import Final

import structlog
from clickhouse_connect.driver.client import Client

from model.shop import NO_SHOP, Shop
from service.backoff import Backoff
from service.clickhouse import connect, failures
from service.clickhouse_settings import ClickHouseSettings
from service.errors import RefusedError, UnavailableError
from sinks.schema.applied import RETAINED, retention, set_retention, write_view_settings
from sinks.schema.checks import check_layout, require_grants
from sinks.schema.horizons import ModelColumn
from sinks.schema.layout import Layout, layout_of, run
from sinks.schema.own_columns import own_columns

log = structlog.get_logger()

WAIT_SECONDS: Final = 10.0
"""How long `migrate` waits for a ClickHouse that does not answer yet."""
LONGEST_PAUSE_SECONDS: Final = 2.0

LEDGER: Final = """
CREATE TABLE IF NOT EXISTS schema_migrations
(
    version UInt32 COMMENT 'number of the migration',
    name String COMMENT 'name of its file',
    checksum String COMMENT 'SHA-256 of the file that was applied',
    applied_at DateTime64(3, 'UTC') DEFAULT now64(3) COMMENT 'when'
)
ENGINE = ReplacingMergeTree ORDER BY version
COMMENT 'Which of Cartcast''s migrations this database has'
"""


@dataclass(frozen=True)
class Migration:
    """One numbered SQL file."""

    version: int
    name: str
    sql: str

    @property
    def checksum(self) -> str:
        return hashlib.sha256(self.sql.encode()).hexdigest()


def shipped_migrations() -> list[Migration]:
    """Return the migrations that this version of Cartcast brings, in order."""
    folders = [entry for entry in (files("sinks.schema") / "migrations").iterdir() if entry.is_dir()]
    found = [entry for folder in folders for entry in folder.iterdir() if entry.name.endswith(".sql")]
    return [
        Migration(int(entry.name.split("_", 1)[0]), entry.name.removesuffix(".sql"), entry.read_text(encoding="utf-8"))
        for entry in sorted(found, key=lambda entry: entry.name)
    ]


def migrate(
    settings: ClickHouseSettings,
    *,
    migrations: list[Migration] | None = None,
    wait_seconds: float = WAIT_SECONDS,
    sleep: Callable[[float], None] = time.sleep,
) -> list[str]:
    """Bring the database up to date and return what was applied now: migrations, settings of the views, retention.

    Safe to repeat. Settings are applied with the migrations that are shipped, not with `migrations` of another list.

    Raises UnavailableError if ClickHouse does not answer within `wait_seconds`, RefusedError if it refuses, or if a
    migration was changed after it had been applied. Migrations that only a newer Cartcast knows are left alone.
    """
    client, layout = _connect_when_it_answers(settings, wait_seconds, sleep), layout_of(settings)
    try:
        with failures(settings):
            require_grants(client, settings)
            check_layout(client, settings)
            client.command(layout.create_database(), use_database=False)
            client.database = settings.database
            run(client, layout, LEDGER)
            pending = _pending(client, shipped_migrations() if migrations is None else migrations)
            for migration in pending:
                _apply(client, layout, migration)
            changed = _apply_settings(client, layout, settings) if migrations is None else []
    except UnavailableError as failure:
        raise UnavailableError(
            f"cannot migrate: {failure}; then run `cartcast migrate` again, it is safe to repeat"
        ) from None
    finally:
        client.close_connections()
    return [*(migration.name for migration in pending), *changed]


def _connect_when_it_answers(
    settings: ClickHouseSettings, wait_seconds: float, sleep: Callable[[float], None]
) -> Client:
    waited, backoff = 0.0, Backoff(time.monotonic, LONGEST_PAUSE_SECONDS)
    while True:
        try:
            return connect(settings)
        except UnavailableError as failure:
            if waited >= wait_seconds:
                raise
            pause = backoff.failed()
            log.warning("waiting for ClickHouse", reason=str(failure), pause_seconds=pause)
        sleep(pause)
        waited += pause


def _pending(client: Client, migrations: list[Migration]) -> list[Migration]:
    rows = client.query("SELECT version, checksum FROM schema_migrations").result_rows
    applied = {int(version): str(checksum) for version, checksum in rows}
    for migration in migrations:
        if applied.get(migration.version, migration.checksum) != migration.checksum:
            raise RefusedError(
                f"migration {migration.name} was changed after database {client.database} had it: "
                "restore its file and put the change into a new migration"
            )
    return [migration for migration in migrations if migration.version not in applied]


def _apply(client: Client, layout: Layout, migration: Migration) -> None:
    run(client, layout, migration.sql)
    row = [migration.version, migration.name, migration.checksum]
    client.insert("schema_migrations", [row], column_names=["version", "name", "checksum"])


def _apply_settings(client: Client, layout: Layout, settings: ClickHouseSettings) -> list[str]:
    return write_view_settings(client, settings) + set_retention(client, layout, settings.retention_days)


def script(settings: ClickHouseSettings, columns: Iterable[ModelColumn] = (), shop: Shop = NO_SHOP) -> str:
    """Return the SQL of every migration as these settings would have it run, for somebody else to read or run.

    Columns of a model, and for what `shop` defines of events, come last.

    It leaves a new database as `migrate` would, but for settings of the views, which `migrate` compares.
    """
    layout = layout_of(settings)
    parts = [layout.create_database(), f"USE `{settings.database}`", *layout.statements(LEDGER)]
    for migration in shipped_migrations():
        parts += layout.statements(migration.sql)
        row = f"({migration.version}, '{migration.name}', '{migration.checksum}')"
        parts.append(f"INSERT INTO schema_migrations (version, name, checksum) VALUES {row}")  # noqa: S608 - our own
    for table in RETAINED if settings.retention_days else ():
        parts += layout.statements(retention(table, settings.retention_days))
    for column in columns:
        parts += layout.statements(column.statement)
    for statement in own_columns(shop).values():
        parts += layout.statements(statement)
    return "".join(f"{part.strip()};\n\n" for part in parts)
