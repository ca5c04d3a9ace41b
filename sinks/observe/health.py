"""What `/livez` and `/readyz` of the sink check."""

from collections.abc import Mapping
from functools import partial
from typing import Any, Final, Protocol

from clickhouse_connect.driver.client import Client
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from service.clickhouse import connect, failures
from service.clickhouse_settings import ClickHouseSettings
from service.errors import UnavailableError
from service.health import OK, Health
from service.kafka import silent
from service.liveness import Liveness

TIMEOUT_SECONDS: Final = 5.0


class Part(Protocol):
    """A part of the sink that stores a topic, `scores` or `dead letters`."""

    liveness: Liveness

    @property
    def outside_seconds(self) -> float:
        """Seconds since it was last in its consumer group; 0 while it is in it."""


class Answers(Protocol):
    """Knows whether a server answers."""

    def answer(self) -> str: ...


def sink_health(parts: Mapping[str, Part], servers: Mapping[str, Answers], *, stalled_seconds: float) -> Health:
    """Return the checks: parts and servers by their names.

    Live: loops turn, parts are in their consumer groups and commits advance, or wait for a server. Ready: parts are in
    their groups (a standby as well), Kafka answers and ClickHouse has the tables.
    """

    def life(part: Part) -> str:
        silent_seconds, stalled = part.liveness.silent_seconds, part.liveness.stalled_seconds
        outside = part.outside_seconds
        if max(silent_seconds, stalled, outside) <= stalled_seconds or any(
            each.answer() != OK for each in servers.values()
        ):
            return OK  # also for a silent loop: nothing bounds how long a commit waits for a Kafka that hangs
        if silent_seconds > stalled_seconds:
            return f"its loop has not turned for {silent_seconds:.0f} seconds"
        if outside > stalled_seconds:
            return f"not in its consumer group for {outside:.0f} seconds, Kafka answers"
        return f"nothing was committed for {stalled:.0f} seconds while records wait, Kafka and ClickHouse answer"

    def membership(part: Part) -> str:
        return OK if part.liveness.assigned else "not in its consumer group"

    return Health(
        live_checks={name: partial(life, part) for name, part in parts.items()},
        ready_checks={name: partial(membership, part) for name, part in parts.items()}
        | {name: each.answer for name, each in servers.items()},
    )


class AskKafka:
    """Whether a broker answers; with a client of its own."""

    def __init__(self, client_config: Mapping[str, Any]) -> None:
        self._config = silent(client_config)
        self._admin: AdminClient | None = None

    def __call__(self) -> None:
        """Return if one does; raises UnavailableError."""
        admin, self._admin = self._admin or AdminClient(self._config), None  # after a failure: a new one
        try:
            admin.describe_cluster(request_timeout=TIMEOUT_SECONDS).result(2 * TIMEOUT_SECONDS)
        except (KafkaException, TimeoutError):
            raise UnavailableError("Kafka does not answer") from None
        self._admin = admin


class AskClickHouse:
    """Whether ClickHouse answers and has the tables; with a client of its own."""

    def __init__(self, settings: ClickHouseSettings, tables: tuple[str, ...]) -> None:
        self._settings = settings
        self._tables = tables
        self._client: Client | None = None

    def __call__(self) -> None:
        """Return if so; raises UnavailableError or RefusedError."""
        client, self._client = self._client or connect(self._settings), None  # after a failure: a new one
        with failures(self._settings):
            for table in self._tables:
                client.query(f"DESCRIBE TABLE `{self._settings.database}`.{table}")
        self._client = client
