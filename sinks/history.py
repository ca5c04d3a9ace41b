"""The events behind the scores, read back from the table: history for training and offline scoring.

The table holds what a score says of its event. An event's words (`text`), quantity, rating and context are not in it.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

from clickhouse_connect.driver.client import Client

from model.events import MAX_EVENT_TIME_MS, MIN_EVENT_TIME_MS, Event
from service.clickhouse import connect, failures
from sinks.errors import RowsRefusedError, SinkError, UnavailableError
from sinks.settings import ClickHouseSettings
from sinks.table import TABLE

_WHERE: Final = "WHERE event_time >= {since:Int64} AND event_time < {until:Int64}"
_EVENTS: Final = "event_id, user_id, event_type, event_time, nullIf(item_id, ''), nullIf(category, ''), price"
_ORDER: Final = "ORDER BY user_id, scored_at, source_topic, source_partition, source_offset"
"""Each shopper's events as they were scored. The table is sorted by shopper, so that ClickHouse sorts one at a time:
its memory and the wait for the first row do not grow with the table."""


@dataclass(frozen=True, slots=True)
class Period:
    """Event times from `since_ms` until before `until_ms`."""

    since_ms: int = MIN_EVENT_TIME_MS
    until_ms: int = MAX_EVENT_TIME_MS + 1

    @property
    def parameters(self) -> dict[str, int]:
        return {"since": self.since_ms, "until": self.until_ms}


class StoredHistory:
    """The events of the table `scores`, shopper after shopper, each one's in the order in which they were scored."""

    def __init__(self, settings: ClickHouseSettings, period: Period) -> None:
        self._settings = settings
        self._period = period

    def count(self) -> int:
        """Return how many events there are now; raises SinkError."""
        with self._client() as client:
            query = f"SELECT count() FROM {self._name} {_WHERE}"  # noqa: S608 - our own name
            return int(str(client.command(query, parameters=self._period.parameters)))

    def events(self) -> Iterator[Event]:
        """Yield the events while they arrive: memory does not grow with them. Raises SinkError."""
        parameters: dict[str, Any] = self._period.parameters
        with self._client() as client, client.query_row_block_stream(self.query, parameters=parameters) as blocks:
            for block in blocks:
                for row in block:
                    yield Event(*row)

    @property
    def query(self) -> str:
        """The SQL that yields the events; takes `since` and `until`."""
        return f"SELECT {_EVENTS} FROM {self._name} {_WHERE} {_ORDER}"  # noqa: S608 - our own name

    @property
    def _name(self) -> str:
        return f"`{self._settings.database}`.{TABLE}"

    @contextmanager
    def _client(self) -> Iterator[Client]:
        try:
            client = connect(self._settings)
            try:
                with failures(self._settings):
                    yield client
            finally:
                client.close_connections()
        except (UnavailableError, RowsRefusedError) as failure:
            raise SinkError(f"the history cannot be read: {failure}; try again when it answers") from None
