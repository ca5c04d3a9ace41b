"""Where scores end up: what the consumer asks of a table, and the table in ClickHouse."""

import re
import time
import zlib
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Final, Protocol, TypeVar

import msgspec
import structlog
from clickhouse_connect.driver.client import Client

from model.events import EXPECTED_VALUE, propensity_field
from model.horizons import is_horizon
from service.clickhouse import connect, failures, insert
from service.clickhouse_settings import ClickHouseSettings
from service.errors import RowsRefusedError
from service.liveness import Liveness
from sinks.bookmark import Source

if TYPE_CHECKING:  # who only reads the table needs no Prometheus
    from service.metrics import Histogram

Answer = TypeVar("Answer")
Key = tuple[int, int]
"""A row's source offset and the identity of its event (`identity`)."""

log = structlog.get_logger()

TABLE: Final = "scores"
RECOMMENDATIONS_TABLE: Final = "recommendations"
CUSTOM_TYPE: Final = "custom_type"
ATTRIBUTES: Final = "attributes"
OWN_COLUMNS: Final = frozenset({CUSTOM_TYPE, ATTRIBUTES})
"""Columns that a table has if a shop's definition asks for them (`sinks.schema.own_columns`)."""


class _Event(msgspec.Struct):
    """What names the event of a score; a dead letter names none."""

    user_id: str = ""
    event_id: str = ""


_decode_event = msgspec.json.Decoder(_Event).decode


def identity(user_id: str, event_id: str) -> int:
    """Return what tells two events at one source offset apart: that of an earlier topic of the same name, or a forgery.

    The table computes the same (`ClickHouseTable.stored`).
    """
    return zlib.crc32(f"{event_id}\0{user_id}".encode())


def identity_of(value: bytes) -> int:
    """Return the identity of a row's event."""
    event = _decode_event(value)
    return identity(event.user_id, event.event_id)


_INSERT_SETTINGS: Final = {
    "async_insert": 0,
    "insert_deduplicate": 1,
    "input_format_parallel_parsing": 0,
    "optimize_on_insert": 0,
    "input_format_skip_unknown_fields": 1,
    "input_format_null_as_default": 1,
    "input_format_defaults_for_omitted_fields": 1,
    "max_partitions_per_insert_block": 0,
}
"""A block is parsed as one: cutting it up for several threads costs more than it gives, and on a cluster a bad row is
found before any shard has a row, and a shard's rows are the same at every attempt. No row of a block replaces another,
so that looking for them is left to merges."""

_JUDGING_SETTINGS: Final = {
    **{name: value for name, value in _INSERT_SETTINGS.items() if name.startswith("input_format")},
    "max_query_size": 1 << 31,
    "log_queries": 0,
    "log_queries_cut_to_length": 64,
}
"""The rows stand in the query: no log of the server may keep it."""
_KEYS_AT_ONCE: Final = 10_000
"""As many offsets as fit into a query of the default `max_query_size`."""
_CONSTRAINT: Final = re.compile(r"^\s*CONSTRAINT `?(\w+)`? CHECK (.+?),?$", re.MULTILINE)
_NOT_INSERTED: Final = ("ALIAS", "MATERIALIZED")
_PLACE: Final = "place_in_block"
NOT_READABLE: Final = (
    "not a row of this table: a value that its column's type cannot hold, or a field that is there twice"
)


def _on_a_cluster(settings: ClickHouseSettings) -> dict[str, int]:
    """Return what an insert into a distributed table needs, for its token to do on every shard what it does on one.

    The answer comes when each shard has its rows, not when the asked server has a copy to send on.
    """
    if not settings.cluster:
        return {}
    quorum = {"insert_quorum": settings.insert_quorum} if settings.insert_quorum else {}
    return {"distributed_foreground_insert": 1, **quorum}


def migrate_command(columns: Iterable[str]) -> str:
    """Return the command that gives the table these columns: of horizons by their names, else of a shop's file."""
    names = sorted(column.removeprefix(propensity_field("")) for column in columns)
    horizons = ",".join(name for name in names if is_horizon(name))
    shop = [] if all(map(is_horizon, names)) else ["--shop FILE"]
    return " ".join(["cartcast migrate", *([f"--horizons {horizons}"] if horizons else []), *shop])


class ScoresTable(Protocol):
    """Takes blocks of scores; one implementation is ClickHouse, the other a list."""

    def check(self) -> None:
        """Return if blocks can be inserted; raises UnavailableError, or RefusedError if waiting will not help."""

    @property
    def shows_at_once(self) -> bool:
        """Whether a row that was taken is sure to be among `stored` from then on."""

    def insert(self, rows: Sequence[bytes], token: str) -> None:
        """Store one JSON object a row: all or none, and nothing if a block with this token is stored already.

        Raises RowsRefusedError if some row cannot be stored (no row was), UnavailableError if the outcome is unknown
        or it is certain that nothing was stored and the same insert may succeed later, RefusedError if it cannot.
        """

    def violations(self, rows: Sequence[bytes]) -> dict[int, str]:
        """Return which of these rows the table refuses, by their place, and what is wrong with each; stores nothing.

        Raises UnavailableError or RefusedError.
        """

    def stored(self, source: Source, keys: Sequence[Key]) -> set[Key]:
        """Return those of these rows of an event partition that the table has.

        Raises UnavailableError or RefusedError.
        """

    def highest(self, source: Source) -> int:
        """Return the highest source offset that the table has of an event partition, -1 if it has none.

        Raises UnavailableError or RefusedError.
        """

    def close(self) -> None:
        """Give connections back."""


class ClickHouseTable:
    """One table; connects when first used and again after a failure. Not for several threads at once."""

    def __init__(self, settings: ClickHouseSettings, table: str = TABLE) -> None:
        self._settings = settings
        self._table = table
        self._name = f"`{settings.database}`.{table}"
        self._client: Client | None = None
        self._column_types: dict[str, str] = {}
        self._constraints: dict[str, str] = {}
        self._warned_of: set[str] = set()
        self._engine = ""

    def check(self) -> None:
        self._connected()

    def insert(self, rows: Sequence[bytes], token: str) -> None:
        client = self._connected()
        self._warn_of_fields_without_a_column(rows)
        settings = {**_INSERT_SETTINGS, **_on_a_cluster(self._settings), "insert_deduplication_token": token}
        insert(client, self._settings, self._name, rows, query_settings=settings, column_types=self._column_types)

    def violations(self, rows: Sequence[bytes]) -> dict[int, str]:
        """Have the engine read the rows and check the table's constraints, in one query.

        Its user needs `CREATE TEMPORARY TABLE` for this, as for every table function.
        """
        client = self._connected()
        rules = ", ".join(f"NOT ifNull({rule}, 0), {quoted(name)}" for name, rule in self._constraints.items())
        columns = ", ".join(f"`{name}` {kind}" for name, kind in self._column_types.items())
        placed = b"\n".join(b'{"%s":%d,%s' % (_PLACE.encode(), n, row.lstrip()[1:]) for n, row in enumerate(rows))
        query = (
            f"SELECT {_PLACE}, multiIf({rules + ', ' if rules else '0, NULL, '}'') "  # noqa: S608 - quoted
            f"FROM format(JSONEachRow, {quoted(f'{_PLACE} UInt32, {columns}')}, {quoted(placed.decode())})"
        )
        settings = {**_JUDGING_SETTINGS, "input_format_allow_errors_num": len(rows)}
        with failures(self._settings):
            read = client.query(query, settings=settings).result_rows
        broken = {int(place): str(rule) for place, rule in read}
        found = ((place, broken.get(place)) for place in range(len(rows)))
        return {
            place: NOT_READABLE if rule is None else f"column {rule}: missing or out of range"
            for place, rule in found
            if rule != ""
        }

    @property
    def shows_at_once(self) -> bool:
        """Not a replica, which may not have yet what another one has taken, nor a table that is spread over shards."""
        return self._engine.startswith("Replacing")

    def stored(self, source: Source, keys: Sequence[Key]) -> set[Key]:
        client, wanted = self._connected(), set(keys)
        found: set[Key] = set()
        for start in range(0, len(keys), _KEYS_AT_ONCE):
            offsets = ", ".join(str(offset) for offset, _ in keys[start : start + _KEYS_AT_ONCE])
            query = (
                f"SELECT source_offset, CRC32(concat(event_id, '\\0', user_id)) FROM {self._name} "  # noqa: S608 - numbers
                "WHERE source_topic = {topic:String} AND source_partition = {partition:Int32} "
                f"AND source_offset IN ({offsets})"
            )
            with failures(self._settings):
                rows = client.query(query, parameters={"topic": source[0], "partition": source[1]}).result_rows
            found.update((int(offset), int(identity)) for offset, identity in rows)
        return found & wanted

    def highest(self, source: Source) -> int:
        """Ask the projection `by_source`, whose words these are."""
        client = self._connected()
        query = (
            f"SELECT max(source_offset) FROM {self._name} WHERE source_topic = {{topic:String}} "  # noqa: S608 - our own name
            "AND source_partition = {partition:Int32} GROUP BY source_topic, source_partition"
        )
        with failures(self._settings):
            rows = client.query(query, parameters={"topic": source[0], "partition": source[1]}).result_rows
        return int(rows[0][0]) if rows else -1

    def close(self) -> None:
        if self._client is not None:
            self._client.close_connections()
            self._client = None

    def _warn_of_fields_without_a_column(self, rows: Sequence[bytes]) -> None:
        """Say once what of a block's first row's model, and of a shop's own, the table leaves out."""
        try:
            fields = msgspec.json.decode(rows[0], type=dict[str, msgspec.Raw]) if rows else {}
        except msgspec.DecodeError:
            return  # the insert says what is wrong with it
        named = {name for name in fields if name.startswith(propensity_field("")) or name == EXPECTED_VALUE}
        if unknown := named - self._column_types.keys() - self._warned_of:
            self._warned_of |= unknown
            log.warning("the table leaves what a model says out", remedy=migrate_command(unknown))
        if unknown := fields.keys() & OWN_COLUMNS - self._column_types.keys() - self._warned_of:
            self._warned_of |= unknown
            log.warning(f"the table leaves {' and '.join(sorted(unknown))} out", remedy="cartcast migrate --shop FILE")

    def _connected(self) -> Client:
        if self._client is None:
            client = connect(self._settings)
            with failures(self._settings):
                described = client.query(f"DESCRIBE TABLE {self._name}").result_rows
                made_by = str(client.query(f"SHOW CREATE TABLE {self._name}").result_rows[0][0])
                engine = client.command(
                    "SELECT engine FROM system.tables WHERE database = {database:String} AND name = {name:String}",
                    parameters={"database": self._settings.database, "name": self._table},
                )
            self._column_types = {
                str(name): str(column_type) for name, column_type, kind, *_ in described if kind not in _NOT_INSERTED
            }
            self._constraints = dict(_CONSTRAINT.findall(made_by))
            self._engine = str(engine)
            self._client = client
        return self._client


def quoted(text: str) -> str:
    """Return a text as a literal of SQL."""
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


class TimedTable:
    """A table whose inserts are timed; an answered insert is progress, also without a commit."""

    def __init__(
        self, table: ScoresTable, seconds: "Histogram", liveness: Liveness, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._table = table
        self._seconds = seconds
        self._liveness = liveness
        self._clock = clock

    def check(self) -> None:
        self._table.check()

    def insert(self, rows: Sequence[bytes], token: str) -> None:
        since = self._clock()
        try:
            self._table.insert(rows, token)
        except RowsRefusedError:
            self._noted(None)
            raise
        self._seconds.add(self._clock() - since)
        self._noted(None)

    def violations(self, rows: Sequence[bytes]) -> dict[int, str]:
        return self._noted(self._table.violations(rows))

    @property
    def shows_at_once(self) -> bool:
        return self._table.shows_at_once

    def stored(self, source: Source, keys: Sequence[Key]) -> set[Key]:
        return self._noted(self._table.stored(source, keys))

    def highest(self, source: Source) -> int:
        return self._noted(self._table.highest(source))

    def close(self) -> None:
        self._table.close()

    def _noted(self, answer: Answer) -> Answer:
        """Note progress: a refused block is many questions within one turn of the loop."""
        self._liveness.turned()
        self._liveness.progressed()
        return answer
