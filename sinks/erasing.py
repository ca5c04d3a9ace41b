"""Deleting the rows of shoppers in ClickHouse, whom only the digests of their ids name: no query holds an id.

A mutation writes the parts anew that have such rows. The old ones, and with them the bytes of the rows, are deleted
from disk `old_parts_lifetime` after, and what the cleaner takes to come round, at most `max_cleanup_delay_period`:
settings of the table, 8 and 5 minutes on a server.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from typing import Final

from clickhouse_connect.driver.client import Client

from service.clickhouse import connected
from service.clickhouse_settings import ClickHouseSettings
from service.errors import UnavailableError
from sinks.schema.layout import layout_of, run
from sinks.table import TABLE

_DIGESTS_AT_ONCE: Final = 3_000
"""As many as fit into a query of the default `max_query_size`."""
_PAUSE_SECONDS: Final = 0.2
_TABLES: Final = (
    "SELECT table FROM system.columns WHERE database = {database:String} AND name = 'user_id' AND table IN "
    "(SELECT name FROM system.tables WHERE database = {database:String} AND engine LIKE '%MergeTree') ORDER BY table"
)
_OLD_PARTS: Final = (
    "SELECT sum(toUInt64(value)) FROM system.merge_tree_settings "
    "WHERE name IN ('old_parts_lifetime', 'max_cleanup_delay_period')"
)
_DIGEST: Final = "lower(hex(SHA256"
_LOCAL: Final = "_local"


class RowEraser:
    """Deletes rows from every table of the database that has a column `user_id`.

    Of rows of others the ids that are to be forgotten go from the column `anonymous_id`.
    """

    def __init__(self, settings: ClickHouseSettings, sleep: Callable[[float], None] = time.sleep) -> None:
        self._settings = settings
        self._layout = layout_of(settings)
        self._sleep = sleep

    def erase(self, digests: Sequence[bytes]) -> dict[str, int]:
        """Delete the rows of these shoppers; return how many there were, by table, when none is left.

        Raises UnavailableError or RefusedError; what was begun ends by itself then, or when it is done again.
        """
        with connected(self._settings, database=self._settings.database) as client:
            return {table: self._erase_from(client, table, digests) for table in self._tables(client)}

    def count(self, digests: Sequence[bytes]) -> dict[str, int]:
        """Return how many rows of these shoppers there are, by table; raises UnavailableError or RefusedError."""
        with connected(self._settings, database=self._settings.database) as client:
            return {
                table: sum(self._count(client, table, condition) for condition in _conditions("user_id", digests))
                for table in self._tables(client)
            }

    def old_parts_seconds(self) -> int:
        """Return for how long ClickHouse keeps the bytes of what was deleted."""
        with connected(self._settings, database=self._settings.database) as client:
            return int(str(client.command(_OLD_PARTS)))

    def _tables(self, client: Client) -> list[str]:
        found = client.query(_TABLES, parameters={"database": self._settings.database}).result_rows
        return [str(name).removesuffix(_LOCAL) for (name,) in found]

    def _count(self, client: Client, table: str, condition: str) -> int:
        return int(str(client.command(f"SELECT count() FROM {table} WHERE {condition}")))  # noqa: S608 - digests

    def joined(self, digests: Sequence[bytes]) -> set[str]:
        """Return the anonymous ids under which these shoppers were known before, as their rows say."""
        with connected(self._settings, database=self._settings.database) as client:
            queries = (
                f"SELECT DISTINCT anonymous_id FROM {TABLE} WHERE anonymous_id != '' AND {condition}"  # noqa: S608 - digests
                for condition in _conditions("user_id", digests)
            )
            return {str(each) for query in queries for (each,) in client.query(query).result_rows}

    def _erase_from(self, client: Client, table: str, digests: Sequence[bytes]) -> int:
        rows = 0
        for condition in _conditions("user_id", digests):
            if count := self._count(client, table, condition):
                run(client, self._layout, f"ALTER TABLE {table} DELETE WHERE {condition}")
                rows += count
        if table == TABLE:
            for condition in _conditions("anonymous_id", digests):  # of others, on a device that they shared
                if self._count(client, table, condition):
                    run(client, self._layout, f"ALTER TABLE {table} UPDATE anonymous_id = '' WHERE {condition}")
        while self._is_mutating(client, self._layout.holder(table)):
            self._sleep(_PAUSE_SECONDS)
        return rows

    def _is_mutating(self, client: Client, table: str) -> bool:
        """Whether rows are still to be deleted, on any server; raises UnavailableError if a server cannot."""
        cluster = self._settings.cluster
        mutations = "clusterAllReplicas({cluster:Identifier}, system.mutations)" if cluster else "system.mutations"
        query = (
            f"SELECT count(), max(latest_fail_reason != '') FROM {mutations} WHERE NOT is_done "  # noqa: S608 - our own
            "AND database = {database:String} AND table = {table:String} AND position(command, {digest:String}) > 0"
        )
        parameters = {"database": self._settings.database, "table": table, "digest": _DIGEST}
        ((waiting, failed),) = client.query(query, parameters={**parameters, "cluster": cluster}).result_rows
        if failed:
            raise UnavailableError(f"ClickHouse cannot delete rows of {table}: see system.mutations there")
        return bool(waiting)


def _conditions(column: str, digests: Sequence[bytes]) -> Iterator[str]:
    for start in range(0, len(digests), _DIGESTS_AT_ONCE):
        named = ", ".join(f"'{each.decode()}'" for each in digests[start : start + _DIGESTS_AT_ONCE])
        yield f"{_DIGEST}({column}))) IN ({named})"
