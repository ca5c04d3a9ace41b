"""What ClickHouse holds, asked with a stock client and plain queries."""

from collections.abc import Sequence
from typing import Any, Self

from service.clickhouse import connect, failures
from service.clickhouse_settings import ClickHouseSettings


class StoredRows:
    """The table of scored events; used as a context manager. Queries raise CartcastError."""

    def __init__(self, settings: ClickHouseSettings) -> None:
        self._settings = settings
        self._client = connect(settings, database=settings.database)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    def count(self) -> int:
        """Return how many rows the table holds now."""
        return int(self._query("SELECT count() FROM scores")[0][0])

    def event_ids(self) -> list[str]:
        """Return the event id of every row."""
        return [event_id for (event_id,) in self._query("SELECT event_id FROM scores")]

    def _query(self, query: str) -> Sequence[Sequence[Any]]:
        with failures(self._settings):
            return self._client.query(query).result_rows
