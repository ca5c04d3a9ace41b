"""The librdkafka producer for scores, dead letters and changelog: a batch in, one confirmation out."""

import asyncio
import re
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Final
from weakref import WeakSet

import msgspec
from confluent_kafka import KafkaError, KafkaException, Producer

from service.errors import RefusedError, UnavailableError
from service.kafka import Headers, logged, reason

_QUEUE_FULL_PAUSE_SECONDS: Final = 0.005
_STATISTICS_MS: Final = 5000
_ANSWER_SECONDS: Final = 5.0
_LATE_SECONDS: Final = 5.0
_REFUSAL: Final = re.compile(r" failed: (.+?) \(broker ")
"""Where a fatal error of librdkafka says what the broker answered."""


class OutputRecord(msgspec.Struct, frozen=True, gc=False):
    """What is to be produced."""

    key: bytes | None
    value: bytes | None
    headers: Headers | None = None

    def __repr__(self) -> str:
        return "OutputRecord()"  # what a log may hold ends here


class _Statistics(msgspec.Struct):
    """What is read of librdkafka's statistics."""

    msg_size: int = 0


class Delivery:
    """Counts the confirmations of one batch; awaiting it returns when all are in, or raises RefusedError."""

    def __init__(self, records: int, loop: asyncio.AbstractEventLoop) -> None:
        self.began_at = time.monotonic()
        self._missing = records
        self._loop = loop
        self._failure: KafkaError | None = None
        self._done: asyncio.Future[None] = loop.create_future()
        if records == 0:
            self._done.set_result(None)

    def __await__(self) -> Any:  # noqa: ANN401 - what a future yields to the loop is asyncio's own affair
        return asyncio.shield(self._done).__await__()

    def done(self) -> bool:
        """Whether awaiting returns at once."""
        return self._done.done()

    def on_success(self, callback: Callable[[], object]) -> None:
        """Call back when every record is confirmed, and never if one fails."""
        self._done.add_done_callback(lambda done: None if done.exception() else callback())

    def on_end(self, callback: Callable[[BaseException | None], object]) -> None:
        """Call back with None when every record is confirmed, or with the failure when one fails."""
        self._done.add_done_callback(lambda done: callback(done.exception()))

    def confirm(self, error: KafkaError | None, _: object, records: int = 1) -> None:
        """Take a delivery report that speaks for some records; called by librdkafka in the poll thread alone."""
        if error is not None:
            self._failure = error
        self._missing -= records
        if self._missing == 0 and not self._loop.is_closed():  # a late report, after everything has ended
            self._loop.call_soon_threadsafe(self._finish)

    def abandon(self, why: str = "a record was given up because another failed") -> None:
        """Fail now, whatever is still in flight."""
        if not self._done.done():
            self._done.set_exception(RefusedError(why))

    def _finish(self) -> None:
        if self._done.done():
            return
        if self._failure is None:
            self._done.set_result(None)
        else:
            self._done.set_exception(RefusedError(_refused(self._failure)))


def _refused(error: KafkaError) -> str:
    answer = _REFUSAL.search(error.str())
    return f"Kafka did not take a record: {answer.group(1) if answer else error.str()}"


class Publisher:
    """Produces batches in order and confirms each; an idempotent producer keeps order through retries.

    The report of a batch's last record speaks for all: within a partition records are delivered in order, and with
    `enable.gapless.guarantee` one that the broker refuses is a fatal error. librdkafka tells of it before it reports
    any record that it had sent behind (a broker that does not know the producer yet may have taken those), and nothing
    is confirmed after it.

    Records wait in librdkafka for as long as the broker is away: nothing is given up, the offsets that depend on
    them are just not committed.
    """

    def __init__(self, client_config: Mapping[str, Any], *, linger_ms: float) -> None:
        self._statistics = _Statistics()
        self._expected = WeakSet[Delivery]()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._fatal: KafkaError | None = None
        self._producer = Producer(
            {
                **logged(client_config),
                "acks": "all",
                "enable.idempotence": True,
                "enable.gapless.guarantee": True,
                "message.timeout.ms": 0,
                "linger.ms": linger_ms,
                "compression.type": "lz4",
                "queue.buffering.max.kbytes": 256 * 1024,
                "statistics.interval.ms": _STATISTICS_MS,
                "stats_cb": self._take_statistics,
            }
        )
        self._stopping = threading.Event()
        self._poller = threading.Thread(target=self._poll, name="delivery-reports", daemon=True)

    def start(self) -> None:
        """Begin to serve delivery reports."""
        self._poller.start()

    def stop(self) -> None:
        """End the thread; what has not been confirmed by now never will be, and its offsets stay uncommitted."""
        self._stopping.set()
        self._poller.join()

    def expect(self, records: int) -> Delivery:
        """Return the confirmation of `records` records that are about to be produced."""
        self._loop = asyncio.get_running_loop()
        delivery = Delivery(records, self._loop)
        self._expected.add(delivery)
        return delivery

    async def produce(self, topic: str, partition: int, records: Sequence[OutputRecord], delivery: Delivery) -> None:
        """Hand records to librdkafka, waiting while its queue is full."""
        produce, last = self._producer.produce, len(records) - 1
        for place, record in enumerate(records):
            report = partial(delivery.confirm, records=len(records)) if place == last else None
            while True:
                try:
                    produce(topic, record.value, record.key, partition, report, headers=record.headers)
                    break
                except BufferError:
                    await asyncio.sleep(_QUEUE_FULL_PAUSE_SECONDS)
                except KafkaException as failure:
                    raise await self._refusal(topic, failure.args[0], delivery) from None

    async def _refusal(self, topic: str, error: KafkaError, delivery: Delivery) -> RefusedError:
        if error.code() == KafkaError._FATAL and self._fatal is None and self._poller.is_alive():
            await delivery  # the poll thread is about to be told why, and abandons it
        if self._fatal is not None:
            return RefusedError(_refused(self._fatal))
        return RefusedError(f"Kafka did not take a record for {topic}: {error.str()}")

    @property
    def queue_messages(self) -> int:
        """Records that wait for their confirmation."""
        return len(self._producer)

    @property
    def queue_bytes(self) -> int:
        """Their bytes, at most five seconds ago."""
        return self._statistics.msg_size

    @property
    def waits_for_kafka(self) -> bool:
        """Whether Kafka owes a confirmation for more than five seconds, and who would take it lives."""
        late = time.monotonic() - _LATE_SECONDS
        return self._poller.is_alive() and any(each.began_at <= late and not each.done() for each in self._expected)

    def ask(self, topic: str) -> None:
        """Return if a broker answers a question about a topic within five seconds; for any thread.

        Raises UnavailableError.
        """
        try:
            self._producer.list_topics(topic, timeout=_ANSWER_SECONDS)
        except KafkaException as failure:
            raise UnavailableError(f"Kafka does not answer ({reason(failure)})") from None

    def _abandon(self, error: KafkaError) -> None:
        """Fail what is not confirmed; in the event loop."""
        for delivery in list(self._expected):
            delivery.abandon(_refused(error))

    def _take_statistics(self, text: str) -> None:
        self._statistics = msgspec.json.decode(text, type=_Statistics)

    def _poll(self) -> None:
        while not self._stopping.is_set():
            try:
                self._producer.poll(0.1)
            except KafkaException as failure:  # a fatal error
                self._fatal = failure.args[0]
                if self._loop is not None and not self._loop.is_closed():
                    self._loop.call_soon_threadsafe(self._abandon, self._fatal)
