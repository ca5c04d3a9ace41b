"""Deleting the rows of shoppers in ClickHouse, whom only the digests of their ids name: no query holds an id.

A mutation writes the parts anew that have such rows; ClickHouse carries out those that wait together. The old parts,
and with them the bytes of the rows, are deleted from disk `old_parts_lifetime` after, and what the cleaner takes to
come round, at most `max_cleanup_delay_period`: settings of the table, 8 and 5 minutes on a server.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from clickhouse_connect.driver.client import Client

from service.clickhouse import connected
from service.clickhouse_settings import ClickHouseSettings
from service.errors import UnavailableError
from sinks.schema.layout import layout_of, run
from sinks.table import TABLE

_ASKED_AT_ONCE: Final = 10_000
_LARGE: Final = {"max_query_size": 100 * _ASKED_AT_ONCE}
"""Each question is a pass over the ids of a table: a large one costs hardly more than a small one."""
_WITHOUT_WAITING: Final = {"mutations_sync": 0}
_DELETED_AT_ONCE: Final = 3_000
"""As many as fit into a statement of the default `max_query_size`, and a mutation's command into a node of Keeper."""
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

    def __init__(self, settings: ClickHouseSettings) -> None:
        self._settings = settings
        self._layout = layout_of(settings)

    def begin(self, digests: Sequence[bytes]) -> dict[bytes, dict[str, int]]:
        """Begin to delete the rows of these shoppers; return how many there are, by digest and table.

        Raises UnavailableError or RefusedError; what was begun ends by itself then, and may be begun again.
        """
        found = defaultdict[bytes, dict[str, int]](dict)
        with connected(self._settings, database=self._settings.database) as client:
            for table in self._tables(client):
                rows = self._rows(client, table, digests)
                for digest, count in rows.items():
                    found[digest][table] = count
                for some in _bounded(list(rows), _DELETED_AT_ONCE):
                    run(client, self._layout, deletion(table, some), _WITHOUT_WAITING)
            shared = self._rows(client, TABLE, digests, "anonymous_id")  # of others, on a device that they shared
            for some in _bounded(list(shared), _DELETED_AT_ONCE):
                run(client, self._layout, blanking(TABLE, some), _WITHOUT_WAITING)
        return dict(found)

    def is_deleting(self) -> bool:
        """Whether rows are still to be deleted, on any server; raises UnavailableError if a server cannot."""
        cluster = self._settings.cluster
        mutations = "clusterAllReplicas({cluster:Identifier}, system.mutations)" if cluster else "system.mutations"
        query = (
            f"SELECT count(), anyIf(table, latest_fail_reason != '') FROM {mutations} WHERE NOT is_done "  # noqa: S608 - our own
            "AND database = {database:String} AND position(command, {digest:String}) > 0"
        )
        asked = {"database": self._settings.database, "digest": _DIGEST, "cluster": cluster}
        with connected(self._settings, database=self._settings.database) as client:
            ((waiting, failed),) = client.query(query, parameters=asked).result_rows
        if failed:
            raise UnavailableError(f"ClickHouse cannot delete rows of {failed}: see system.mutations there")
        return bool(waiting)

    def count(self, digests: Sequence[bytes]) -> dict[str, int]:
        """Return how many rows of these shoppers there are, by table; raises UnavailableError or RefusedError."""
        with connected(self._settings, database=self._settings.database) as client:
            return {table: sum(self._rows(client, table, digests).values()) for table in self._tables(client)}

    def joined(self, digests: Sequence[bytes]) -> set[tuple[bytes, str]]:
        """Return under which anonymous ids shoppers were known before, as their rows say, with whose digest."""
        with connected(self._settings, database=self._settings.database) as client:
            queries = (
                f"SELECT DISTINCT {_DIGEST}(user_id))), anonymous_id FROM {TABLE} "  # noqa: S608 - digests
                f"WHERE anonymous_id != '' AND {named('user_id', some)}"
                for some in _bounded(digests, _ASKED_AT_ONCE)
            )
            found = (row for query in queries for row in client.query(query, settings=_LARGE).result_rows)
            return {(str(of).encode(), str(anonymous_id)) for of, anonymous_id in found}

    def old_parts_seconds(self) -> int:
        """Return for how long ClickHouse keeps the bytes of what was deleted."""
        with connected(self._settings, database=self._settings.database) as client:
            return int(str(client.command(_OLD_PARTS)))

    def _tables(self, client: Client) -> list[str]:
        found = client.query(_TABLES, parameters={"database": self._settings.database}).result_rows
        return [str(name).removesuffix(_LOCAL) for (name,) in found]

    def _rows(self, client: Client, table: str, digests: Sequence[bytes], column: str = "user_id") -> dict[bytes, int]:
        """Return the number of rows by digest, of those that have some."""
        queries = (
            f"SELECT {_DIGEST}({column}))) AS digest, count() FROM {table} "  # noqa: S608 - digests
            f"WHERE {named(column, some)} GROUP BY digest"
            for some in _bounded(digests, _ASKED_AT_ONCE)
        )
        found = (row for query in queries for row in client.query(query, settings=_LARGE).result_rows)
        return {str(digest).encode(): int(count) for digest, count in found}


def deletion(table: str, digests: Iterable[bytes]) -> str:
    """Return the statement that deletes the rows of shoppers."""
    return f"ALTER TABLE {table} DELETE WHERE {named('user_id', digests)}"


def blanking(table: str, digests: Iterable[bytes]) -> str:
    """Return the statement that takes anonymous ids out of the rows of others."""
    return f"ALTER TABLE {table} UPDATE anonymous_id = '' WHERE {named('anonymous_id', digests)}"


def named(column: str, digests: Iterable[bytes]) -> str:
    """Return the condition that a column holds one of the ids."""
    quoted = ", ".join(f"'{each.decode()}'" for each in digests)
    return f"{_DIGEST}({column}))) IN ({quoted})"


def _bounded(digests: Sequence[bytes], most: int) -> Iterator[Sequence[bytes]]:
    for start in range(0, len(digests), most):
        yield digests[start : start + most]
