"""Where tables and views live: on one server, or on all servers of a cluster.

Migrations are written for one server. On a cluster each is rewritten for all of them (`ON CLUSTER`): the scores are
spread over the shards by shopper, each shard's in a replicated table `scores_local`, and `scores` is the distributed
table over it, which everything reads and the sink writes; recommendations likewise. Every other table is small and
whole on every server, so that a query joins the shards' scores with what stands beside it. Keeper coordinates the
replicas; nothing of ours does.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Protocol

from clickhouse_connect.driver.client import Client

from service.clickhouse import PATIENT
from service.clickhouse_settings import ClickHouseSettings
from service.errors import RefusedError
from sinks.table import RECOMMENDATIONS_TABLE, TABLE

SHARDED: Final = {
    TABLE: "One row per accepted event with its propensities, over all shards; read the views where one fits",
    RECOMMENDATIONS_TABLE: "One row per event at which items were recommended, over all shards",
}
"""The tables that are spread over the shards, and what is said of the distributed ones."""
TOKEN_SECONDS: Final = 30 * 86_400
"""How long a shard remembers the token of a block: a sink may be away for so long between two attempts."""

DDL_TIMEOUT_SECONDS: Final = PATIENT.answer_seconds - 10

NOTHING_ELSE: Final[Mapping[str, int]] = {}

_CREATE_TABLE: Final = re.compile(r"^CREATE TABLE IF NOT EXISTS (\w+)", re.MULTILINE)
_ALTER_TABLE: Final = re.compile(r"^ALTER TABLE (\w+)", re.MULTILINE)
_CREATE_VIEW: Final = re.compile(r"^CREATE OR REPLACE VIEW (\w+)", re.MULTILINE)
_ENGINE: Final = re.compile(r"^ENGINE = (\w*MergeTree)(?:\((\w+)\))?", re.MULTILINE)
_IN_A_QUERY: Final = re.compile(r"\b((?:NOT )?IN) \(SELECT\b")
_TOKEN_WINDOW: Final = re.compile(r"\breplicated_deduplication_window = \d+")


class Layout(Protocol):
    """Rewrites the statements of migrations for where they are carried out."""

    @property
    def settings(self) -> dict[str, int]:
        """What its statements need to be run with."""

    def create_database(self) -> str:
        """Return the statement that makes the database."""

    def statements(self, sql: str) -> list[str]:
        """Return what to run for one statement that was written for one server."""

    def holder(self, table: str) -> str:
        """Return the table that holds the rows of `table` on a server."""


@dataclass(frozen=True, slots=True)
class OneServer:
    """Every statement as it is."""

    database: str

    @property
    def settings(self) -> dict[str, int]:
        return {}

    def create_database(self) -> str:
        return f"CREATE DATABASE IF NOT EXISTS `{self.database}`"

    def statements(self, sql: str) -> list[str]:
        return [sql]

    def holder(self, table: str) -> str:
        return table


@dataclass(frozen=True, slots=True)
class Cluster:
    """Replicated tables on every server of the cluster `name`, made by statements that name it."""

    name: str
    database: str

    @property
    def settings(self) -> dict[str, int]:
        """Hear of a server that does not carry a statement out before the client gives up."""
        return {"distributed_ddl_task_timeout": DDL_TIMEOUT_SECONDS}

    def create_database(self) -> str:
        return f"CREATE DATABASE IF NOT EXISTS `{self.database}` {self._everywhere}"

    def statements(self, sql: str) -> list[str]:
        """Return the statements for the cluster; raises RefusedError for a form of statement that is not known here."""
        if _CREATE_TABLE.search(sql):
            return self._create_table(sql)
        if _ALTER_TABLE.search(sql):
            return self._alter_table(sql)
        if _CREATE_VIEW.search(sql):
            return [_global(_CREATE_VIEW.sub(rf"CREATE OR REPLACE VIEW \1 {self._everywhere}", sql, count=1))]
        raise RefusedError(f"a statement cannot be carried out on cluster {self.name}: {sql.strip()[:60]}")

    def holder(self, table: str) -> str:
        return f"{table}_local" if table in SHARDED else table

    @property
    def _everywhere(self) -> str:
        return f"ON CLUSTER `{self.name}`"

    def _create_table(self, sql: str) -> list[str]:
        (table,) = _CREATE_TABLE.findall(sql)
        named = _CREATE_TABLE.sub(f"CREATE TABLE IF NOT EXISTS {self.holder(table)} {self._everywhere}", sql)
        replicated = _ENGINE.sub(lambda engine: _replicated(engine, is_sharded=table in SHARDED), named)
        remembering = _TOKEN_WINDOW.sub(
            rf"\g<0>, replicated_deduplication_window_seconds = {TOKEN_SECONDS}", replicated
        )
        return [remembering, *([self._distributed(table)] if table in SHARDED else [])]

    def _alter_table(self, sql: str) -> list[str]:
        """Change the table; the distributed one knows columns and rules by heart and holds no rows: it is made anew."""
        (table,) = _ALTER_TABLE.findall(sql)
        altered = _ALTER_TABLE.sub(f"ALTER TABLE {self.holder(table)} {self._everywhere}", sql)
        is_known_by_heart = table in SHARDED and re.search(r"\b(COLUMN|CONSTRAINT)\b", sql)
        return [altered, *([self._distributed(table)] if is_known_by_heart else [])]

    def _distributed(self, table: str) -> str:
        local = self.holder(table)
        return (
            f"CREATE OR REPLACE TABLE {table} {self._everywhere} AS `{self.database}`.{local}\n"
            f"ENGINE = Distributed('{self.name}', '{self.database}', '{local}', cityHash64(user_id))\n"
            f"COMMENT '{SHARDED[table]}'"
        )


def run(client: Client, layout: Layout, sql: str, settings: Mapping[str, int] = NOTHING_ELSE) -> None:
    """Carry out one statement that was written for one server, where the layout has it; returns when all have it."""
    for statement in layout.statements(sql):
        client.command(statement, settings={**layout.settings, **settings})


def layout_of(settings: ClickHouseSettings) -> Layout:
    """Return where these settings put tables and views."""
    return Cluster(settings.cluster, settings.database) if settings.cluster else OneServer(settings.database)


def _replicated(engine: re.Match[str], *, is_sharded: bool) -> str:
    """Name the replicas: those of a shard share its path, those of a table that is whole everywhere one path."""
    place, replica = ("{shard}", "{replica}") if is_sharded else ("all", "{shard}-{replica}")
    version = f", {engine.group(2)}" if engine.group(2) else ""
    return f"ENGINE = Replicated{engine.group(1)}('/clickhouse/tables/{{uuid}}/{place}', '{replica}'{version})"


def _global(sql: str) -> str:
    """Have the server that is asked make each list once and send it along: a shard would look only at what it has."""
    return _IN_A_QUERY.sub(r"GLOBAL \1 (SELECT", sql)
