"""Where scores end up: what the consumer asks of a table, and the table in ClickHouse."""

import time
from collections.abc import Callable, Sequence
from typing import Final, Protocol

import msgspec
import structlog
from clickhouse_connect.driver.client import Client

from model.events import propensity_field
from service.clickhouse import connect, failures
from service.clickhouse_settings import ClickHouseSettings
from service.errors import RowsRefusedError
from service.liveness import Liveness
from service.metrics import Histogram
from sinks.bookmark import Source

log = structlog.get_logger()

TABLE: Final = "scores"

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


def _on_a_cluster(settings: ClickHouseSettings) -> dict[str, int]:
    """Return what an insert into a distributed table needs, for its token to do on every shard what it does on one.

    The answer comes when each shard has its rows, not when the asked server has a copy to send on.
    """
    if not settings.cluster:
        return {}
    quorum = {"insert_quorum": settings.insert_quorum} if settings.insert_quorum else {}
    return {"distributed_foreground_insert": 1, **quorum}


class ScoresTable(Protocol):
    """Takes blocks of scores; one implementation is ClickHouse, the other a list."""

    def check(self) -> None:
        """Return if blocks can be inserted; raises UnavailableError, or RefusedError if waiting will not help."""

    def insert(self, rows: Sequence[bytes], token: str) -> None:
        """Store one JSON object a row: all or none, and nothing if a block with this token is stored already.

        Raises RowsRefusedError if some row cannot be stored (no row was), UnavailableError if the outcome is unknown
        or it is certain that nothing was stored and the same insert may succeed later, RefusedError if it cannot.
        """

    def count(self, source: Source, first: int, last: int) -> int | None:
        """Return how many rows come from these offsets of an event partition; None if this is not sure to be known.

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
        self._warned_of: set[str] = set()
        self._engine = ""

    def check(self) -> None:
        self._connected()

    def insert(self, rows: Sequence[bytes], token: str) -> None:
        client = self._connected()
        self._warn_of_fields_without_a_column(rows)
        settings = {**_INSERT_SETTINGS, **_on_a_cluster(self._settings), "insert_deduplication_token": token}
        with failures(self._settings, self._column_types):
            client.raw_insert(self._name, insert_block=b"\n".join(rows), fmt="JSONEachRow", settings=settings)

    def count(self, source: Source, first: int, last: int) -> int | None:
        """Ask the table; a replica may not know yet what another one has taken (and needs no asking: see Keeper).

        Nor does a distributed table: some shards may have the block and others not. Its token makes it whole.
        """
        client = self._connected()
        if not self._engine.startswith("Replacing"):
            return None
        topic, partition = source
        with failures(self._settings):
            found = client.command(
                f"SELECT count() FROM {self._name} WHERE source_topic = {{topic:String}} "  # noqa: S608 - our own name
                "AND source_partition = {partition:Int32} AND source_offset BETWEEN {first:Int64} AND {last:Int64}",
                parameters={"topic": topic, "partition": partition, "first": first, "last": last},
            )
        return int(str(found))

    def close(self) -> None:
        if self._client is not None:
            self._client.close_connections()
            self._client = None

    def _warn_of_fields_without_a_column(self, rows: Sequence[bytes]) -> None:
        """Say once which propensities of a block's first row the table leaves out."""
        try:
            fields = msgspec.json.decode(rows[0], type=dict[str, msgspec.Raw]) if rows else {}
        except msgspec.DecodeError:
            return  # the insert says what is wrong with it
        named = {name for name in fields if name.startswith(propensity_field(""))}
        if unknown := named - self._column_types.keys() - self._warned_of:
            self._warned_of |= unknown
            horizons = ",".join(sorted(name.removeprefix(propensity_field("")) for name in unknown))
            log.warning("the table leaves propensities out", remedy=f"cartcast migrate --horizons {horizons}")

    def _connected(self) -> Client:
        if self._client is None:
            client = connect(self._settings)
            with failures(self._settings):
                described = client.query(f"DESCRIBE TABLE {self._name}").result_rows
                engine = client.command(
                    "SELECT engine FROM system.tables WHERE database = {database:String} AND name = {name:String}",
                    parameters={"database": self._settings.database, "name": self._table},
                )
            self._column_types = {str(name): str(column_type) for name, column_type, *_ in described}
            self._engine = str(engine)
            self._client = client
        return self._client


class TimedTable:
    """A table whose inserts are timed; an answered insert is progress, also without a commit."""

    def __init__(
        self, table: ScoresTable, seconds: Histogram, liveness: Liveness, clock: Callable[[], float] = time.monotonic
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
            self._note_answer()
            raise
        self._seconds.add(self._clock() - since)
        self._note_answer()

    def count(self, source: Source, first: int, last: int) -> int | None:
        return self._table.count(source, first, last)

    def close(self) -> None:
        self._table.close()

    def _note_answer(self) -> None:
        """Halves of a refused block are many inserts within one turn of the loop."""
        self._liveness.turned()
        self._liveness.progressed()
