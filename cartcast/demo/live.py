"""What the live view shows beyond counts: a stock consumer of events and scores, in a thread of its own."""

import heapq
import math
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import msgspec
from confluent_kafka import Consumer, Message

from cartcast.demo.delays import Delays, DelaySummary
from cartcast.demo.next_items import Ask, NextItems
from cartcast.demo.readback import BATCH_MESSAGES, position, source_position, stock_consumer
from cartcast.demo.view import SHOWN_BUYERS, Buyer
from service.kafka_settings import Topics

RECENT_DELAYS: Final = 5000
ACTIVE_SECONDS: Final = 30.0
POLL_SECONDS: Final = 0.2


class _SeenScore(msgspec.Struct, gc=False):
    """What the view shows of a score; a model without one of these horizons leaves its propensity out."""

    user_id: str
    event_type: str
    propensity_session: float = math.nan
    propensity_1h: float = math.nan
    propensity_24h: float = math.nan

    @property
    def likelihood(self) -> float:
        return 0.0 if math.isnan(self.propensity_24h) else self.propensity_24h


_decode_score = msgspec.json.Decoder(_SeenScore).decode


@dataclass(slots=True)
class _Shopper:
    score: _SeenScore
    change_24h: float
    seen_seconds: float


class LiveReader:
    """Follows the events and scores topics until it is left; used as a context manager."""

    def __init__(
        self,
        client_config: Mapping[str, Any],
        topics: Topics,
        ask: Ask,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._client_config = client_config
        self._topics = topics
        self._clock = clock
        self._delays = Delays(keep=RECENT_DELAYS)
        self._shoppers: dict[str, _Shopper] = {}
        self._lock = threading.Lock()
        self._next_items = NextItems(ask, lambda: [buyer.user_id for buyer in self.buyers()])
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="live-reader", daemon=True)

    def __enter__(self) -> "LiveReader":
        self._thread.start()
        self._next_items.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._next_items.stop()
        self._stopping.set()
        self._thread.join()

    def delay(self) -> DelaySummary | None:
        """Return the delays of the latest scores."""
        with self._lock:
            return self._delays.summary()

    def buyers(self) -> list[Buyer]:
        """Return the likeliest buyers among the shoppers who did something a moment ago."""
        since = self._clock() - ACTIVE_SECONDS
        with self._lock:
            active = [shopper for shopper in self._shoppers.values() if shopper.seen_seconds >= since]
        likeliest = heapq.nlargest(SHOWN_BUYERS, active, key=lambda shopper: shopper.score.likelihood)
        return [_buyer(shopper, self._next_items.found.get(shopper.score.user_id, "")) for shopper in likeliest]

    def _run(self) -> None:
        consumer = stock_consumer(self._client_config, [self._topics.events, self._topics.scores], "cartcast-demo-view")
        try:
            while not self._stopping.is_set():
                self._read(consumer)
        finally:
            consumer.close()

    def _read(self, consumer: Consumer) -> None:
        messages = consumer.consume(BATCH_MESSAGES, timeout=POLL_SECONDS)
        with self._lock:
            for message in messages:
                if message.error() is None:
                    self._take(message)

    def _take(self, message: Message) -> None:
        _, record_ms = message.timestamp()
        if message.topic() == self._topics.events:
            self._delays.add_event(position(message), record_ms)
            return
        self._delays.add_score(source_position(message), record_ms)
        score = _decode_score(message.value() or b"")
        before = self._shoppers.get(score.user_id)
        change = score.likelihood - before.score.likelihood if before else 0.0
        self._shoppers[score.user_id] = _Shopper(score, change, self._clock())


def _buyer(shopper: _Shopper, next_item: str) -> Buyer:
    score = shopper.score
    return Buyer(
        user_id=score.user_id,
        propensity_24h=score.propensity_24h,
        propensity_1h=score.propensity_1h,
        propensity_session=score.propensity_session,
        change_24h=shopper.change_24h,
        event_type=score.event_type,
        next_item=next_item,
    )
