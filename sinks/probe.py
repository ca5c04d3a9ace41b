"""Whether Kafka and ClickHouse answer, asked by threads of their own, so that no page waits for them."""

import time
from collections.abc import Callable, Mapping
from threading import Event
from typing import Any, Final

import structlog
from clickhouse_connect.driver.client import Client
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from service.clickhouse import connect, failures
from service.health import OK
from sinks.errors import RowsRefusedError, SinkError, UnavailableError
from sinks.settings import ClickHouseSettings

NOT_ASKED: Final = "not asked yet"
SECONDS: Final = 2.0
STALE_SECONDS: Final = 30.0
"""An answer that is older says nothing: the next one hangs."""
TIMEOUT_SECONDS: Final = 5.0

log = structlog.get_logger()


class Probe:
    """Asks one question again and again; `ask` returns if all is well, or raises UnavailableError or SinkError."""

    def __init__(
        self, ask: Callable[[], None], *, seconds: float = SECONDS, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._ask = ask
        self._seconds = seconds
        self._clock = clock
        self._answer = NOT_ASKED
        self._at = 0.0

    def run(self, stop: Event) -> None:
        """Ask until `stop` is set, the first time at once."""
        pause = 0.0
        while not stop.wait(pause):
            answer = self._asked()
            if answer != self._answer and OK not in {answer, NOT_ASKED}:
                log.warning("not ready", reason=answer)
            self._answer, self._at = answer, self._clock()
            pause = self._seconds

    def answer(self) -> str:
        """Return `ok`, or what is wrong in words that anybody may read: no address, no user."""
        if self._answer == NOT_ASKED:
            return NOT_ASKED
        age = self._clock() - self._at
        return self._answer if age <= STALE_SECONDS else f"has not answered for {age:.0f} seconds"

    def _asked(self) -> str:
        try:
            self._ask()
        except (UnavailableError, RowsRefusedError):
            return "does not answer"
        except SinkError as failure:
            log.debug("not ready", reason=str(failure))
            return "refuses, or lacks a table: `cartcast doctor` says what"
        return OK


class AskKafka:
    """Whether a broker answers; with a client of its own."""

    def __init__(self, client_config: Mapping[str, Any]) -> None:
        config: dict[str, Any] = {**client_config, "log_level": 0, "error_cb": lambda _error: None}
        self._admin = AdminClient(config)

    def __call__(self) -> None:
        """Return if one does; raises UnavailableError."""
        try:
            self._admin.describe_cluster(request_timeout=TIMEOUT_SECONDS).result(2 * TIMEOUT_SECONDS)
        except (KafkaException, TimeoutError):
            raise UnavailableError("Kafka does not answer") from None


class AskClickHouse:
    """Whether ClickHouse answers and has the tables; with a client of its own."""

    def __init__(self, settings: ClickHouseSettings, tables: tuple[str, ...]) -> None:
        self._settings = settings
        self._tables = tables
        self._client: Client | None = None

    def __call__(self) -> None:
        """Return if so; raises UnavailableError or SinkError."""
        client, self._client = self._client or connect(self._settings), None  # after a failure: a new one
        with failures(self._settings):
            for table in self._tables:
                client.query(f"DESCRIBE TABLE `{self._settings.database}`.{table}")
        self._client = client
