"""Samples of consumer lag, written to ClickHouse from time to time."""

import time
from collections.abc import Callable, Sequence
from threading import Event
from typing import Final

import msgspec
import structlog
from clickhouse_connect.driver.client import Client

from service.clickhouse import connect, failures
from service.clickhouse_settings import ClickHouseSettings
from service.errors import CartcastError
from sinks.observe.lag import LagSampler, PartitionLag

TABLE: Final = "consumer_lag"

log = structlog.get_logger()


class LagRecorder:
    """Samples and stores until it is stopped; no failure of it stops anything else."""

    def __init__(
        self,
        sampler: LagSampler,
        settings: ClickHouseSettings,
        *,
        seconds: float,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.latest: Sequence[PartitionLag] = ()
        self._sampler = sampler
        self._settings = settings
        self._seconds = seconds
        self._clock = clock
        self._client: Client | None = None
        self._failing = False

    def run(self, stop: Event) -> None:
        """Take a sample every so many seconds, the first at once."""
        pause = 0.0
        while not stop.wait(pause):
            self._record()
            pause = self._seconds
        self._sampler.close()
        if self._client is not None:
            self._client.close_connections()

    def _record(self) -> None:
        """Take and store one sample; a failure is logged once, until it is over."""
        try:
            at = self._clock()
            self.latest = self._sampler.sample()
            self._store(at, self.latest)
        except CartcastError as failure:
            if not self._failing:
                log.warning("no consumer lag for now", reason=str(failure))
            self._failing = True
        else:
            if self._failing:
                log.info("consumer lag again")
            self._failing = False

    def _store(self, at: float, sample: Sequence[PartitionLag]) -> None:
        rows = [msgspec.json.encode({"at": f"{at:.3f}", **each.as_dict()}) for each in sample]
        if not rows:
            return
        name = f"`{self._settings.database}`.{TABLE}"
        with failures(self._settings):
            self._connected().raw_insert(
                name, insert_block=b"\n".join(rows), fmt="JSONEachRow", settings={"async_insert": 0}
            )

    def _connected(self) -> Client:
        if self._client is None:
            self._client = connect(self._settings)
        return self._client
