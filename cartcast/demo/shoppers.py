"""The simulated shoppers' side: a thread that produces their events and remembers what it sent."""

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final

from model.events import Event
from service.errors import CartcastError
from service.kafka_settings import Topics
from streams.replay import EventProducer, Replay, Schedule

REMEMBERED_IDS: Final = 200_000
"""An endless demo tells duplicates by the latest ids only; the simulator repeats an event soon or never."""

CONNECT_SECONDS: Final = 1.0
"""A new idempotent producer of librdkafka asks for its producer id every half second until a broker is connected; a
shop's producers did so long ago, so the clock starts after that."""


class Shoppers:
    """Produces events in the background, on schedule, until they end or `stop` is called."""

    def __init__(
        self,
        client_config: Mapping[str, Any],
        topics: Topics,
        schedule: Schedule,
        *,
        keep_ids: bool,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`keep_ids`: keep the id of every event, for the comparison at the end."""
        self.event_ids: list[str] = []
        self.sent = 0
        self.distinct = 0
        self.started_seconds: float | None = None
        self._events: Iterable[Event] = ()
        self._producer = EventProducer(client_config, topics)
        self._schedule = schedule
        self._keep_ids = keep_ids
        self._clock = clock
        self._latest_ids: dict[str, None] = {}
        self._stopping = threading.Event()
        self._failure: CartcastError | None = None
        self._thread = threading.Thread(target=self._run, name="shoppers", daemon=True)

    @property
    def duplicates(self) -> int:
        """Events sent that repeat an id."""
        return self.sent - self.distinct

    @property
    def finished(self) -> bool:
        """Whether all events are produced and confirmed; raises what went wrong in the thread."""
        if self._failure is not None:
            raise self._failure
        return self.started_seconds is not None and not self._thread.is_alive()

    def start(self, events: Iterable[Event]) -> None:
        """Begin to produce."""
        self._events = events
        self._thread.start()

    def wait(self) -> None:
        """Return when all events are produced and confirmed, or raise what went wrong."""
        self._thread.join()
        if self._failure is not None:
            raise self._failure

    def stop(self) -> None:
        """Produce no more; returns when what was sent is confirmed."""
        self._stopping.set()
        self._thread.join()

    def _run(self) -> None:
        try:
            with self._producer as producer:
                producer.wait(CONNECT_SECONDS)
                self.started_seconds = self._clock()
                Replay(producer, self._schedule).send_rows("simulated", self._remembering())
        except CartcastError as failure:
            self._failure = failure

    def _remembering(self) -> Iterator[Event]:
        for event in self._events:
            if self._stopping.is_set():
                return
            yield event
            self.sent += 1
            self._remember(event.event_id)

    def _remember(self, event_id: str) -> None:
        if self._keep_ids:
            self.event_ids.append(event_id)
        if event_id not in self._latest_ids:
            self.distinct += 1
            self._latest_ids[event_id] = None
            if not self._keep_ids and len(self._latest_ids) > REMEMBERED_IDS:
                self._latest_ids.pop(next(iter(self._latest_ids)))
