"""The producer for scores and dead letters: batches in, one confirmation out."""

import asyncio
import math
import time
from collections import deque
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final
from weakref import WeakSet

import structlog
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaConnectionError, KafkaError, NodeNotReadyError
from confluent_kafka import KafkaError as Refusal
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from service.errors import RefusedError, UnavailableError
from service.kafka import in_words, logged, reason, where
from streams.records.writer import RecordBatch
from streams.security import aiokafka_options

_ANSWER_SECONDS: Final = 5.0
_LATE_SECONDS: Final = 5.0
_START_AGAIN_SECONDS: Final = 0.5
_REQUEST_SECONDS: Final = 40.0
_CLOSE_SECONDS: Final = 2.0
_log: Final = structlog.get_logger()


class Delivery:
    """Counts the confirmations of some batches; awaiting it returns when all are in, or raises RefusedError."""

    def __init__(self) -> None:
        self.began_at = time.monotonic()
        self._missing = 0
        self._done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    @classmethod
    def of(cls, batches: int) -> "Delivery":
        """Return that of a known number of batches."""
        delivery = cls()
        delivery.expect(batches)
        return delivery

    def expect(self, batches: int) -> None:
        """Say how many confirmations there will be; until then it is not done."""
        self._missing = batches
        if batches == 0 and not self._done.done():
            self._done.set_result(None)

    def __await__(self) -> Any:  # noqa: ANN401 - what a future yields to the loop is asyncio's own affair
        return asyncio.shield(self._done).__await__()

    def done(self) -> bool:
        """Whether awaiting returns at once."""
        return self._done.done()

    def on_success(self, callback: Callable[[], object]) -> None:
        """Call back when every batch is confirmed, and never if one fails."""
        self._done.add_done_callback(lambda done: None if done.exception() else callback())

    def on_end(self, callback: Callable[[BaseException | None], object]) -> None:
        """Call back with None when every batch is confirmed, or with the failure when one fails."""
        self._done.add_done_callback(lambda done: callback(done.exception()))

    def confirm(self) -> None:
        """Take the confirmation of one batch."""
        self._missing -= 1
        if self._missing == 0 and not self._done.done():
            self._done.set_result(None)

    def abandon(self, why: str = "a record was given up because another failed") -> None:
        """Fail now, whatever is still in flight."""
        if not self._done.done():
            self._done.set_exception(RefusedError(why))
            self._done.exception()  # who dropped it must not be told of it by asyncio


@dataclass(slots=True)
class _Queue:
    """The batches of one partition that wait, in order, and the task that sends them."""

    waiting: deque[tuple[RecordBatch, Delivery]] = field(default_factory=deque)
    sending: "asyncio.Task[None] | None" = None


class Publisher:
    """Sends batches in order and confirms each; an idempotent producer keeps order through retries.

    Of each partition one batch is under way at a time. So none that the broker refuses can be followed by another:
    the end of a topic says how far everything before it has come. After the first refusal nothing is confirmed.

    Batches wait for as long as the broker is away: nothing is given up, the offsets that depend on them are just not
    committed. What brings batches bounds their number.
    """

    def __init__(self, client_config: Mapping[str, Any]) -> None:
        self._client_config = client_config
        self._queues: dict[tuple[str, int], _Queue] = {}
        self._expected = WeakSet[Delivery]()
        self._starting: asyncio.Task[AIOKafkaProducer] | None = None
        self._refusal = ""
        self._is_closed = False
        self._admin = AdminClient(logged(client_config))
        self.queue_messages = 0
        """Records that wait for their confirmation."""
        self.queue_bytes = 0

    def publish(self, topic: str, partition: int, *batches: RecordBatch, delivery: Delivery) -> None:
        """Send batches, each of which `delivery` expects, behind those that were given before."""
        self._expected.add(delivery)
        if self._refusal:
            delivery.abandon(self._refusal)
            return
        queue = self._queues.setdefault((topic, partition), _Queue())
        for batch in batches:
            queue.waiting.append((batch, delivery))
            self._count(batch, 1)
        if queue.sending is None and batches:
            queue.sending = asyncio.get_running_loop().create_task(self._send(topic, partition, queue))

    async def close(self) -> None:
        """Stop sending; what has not been confirmed by now never will be, and its offsets stay uncommitted."""
        self._is_closed = True
        tasks: list[asyncio.Task[Any]] = [queue.sending for queue in self._queues.values() if queue.sending is not None]
        if self._starting is not None and not self._starting.done():
            tasks.append(self._starting)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        if self._starting is not None and not self._starting.cancelled() and self._starting.exception() is None:
            await close_producer(self._starting.result())

    @property
    def waits_for_kafka(self) -> bool:
        """Whether Kafka owes a confirmation for more than five seconds, and who would take it lives."""
        late = time.monotonic() - _LATE_SECONDS
        return not self._is_closed and any(each.began_at <= late and not each.done() for each in self._expected)

    def ask(self, topic: str) -> None:
        """Return if a broker answers a question about a topic within five seconds; for any thread.

        Raises UnavailableError.
        """
        try:
            self._admin.list_topics(topic, timeout=_ANSWER_SECONDS)
        except KafkaException as failure:
            self._admin.poll(0)  # let librdkafka log why
            raise UnavailableError(f"Kafka does not answer ({reason(failure)})") from None

    async def _send(self, topic: str, partition: int, queue: _Queue) -> None:
        try:
            while queue.waiting:
                batch, delivery = queue.waiting[0]
                producer = await self._producer()
                await (await producer.send_batch(batch, topic, partition=partition))
                queue.waiting.popleft()
                self._count(batch, -1)
                delivery.confirm()
        except KafkaError as error:
            self._abandon(f"Kafka did not take a record for {topic}: {answer_of(error)}")
        except Exception as failure:  # noqa: BLE001 - nobody awaits this task; whatever it is must end the worker
            _log.error("Kafka's client failed", exc_info=failure)
            self._abandon(f"Kafka's client failed ({failure!r})")
        finally:
            queue.sending = None

    async def _producer(self) -> AIOKafkaProducer:
        if self._starting is None:
            self._starting = asyncio.get_running_loop().create_task(
                open_producer(self._client_config, enable_idempotence=True)
            )
        return await asyncio.shield(self._starting)

    def _count(self, batch: RecordBatch, sign: int) -> None:
        self.queue_messages += sign * batch.record_count()
        self.queue_bytes += sign * batch.size()

    def _abandon(self, refusal: str) -> None:
        self._refusal = self._refusal or refusal
        for delivery in list(self._expected):
            delivery.abandon(self._refusal)


def answer_of(error: KafkaError) -> str:
    """Return what a broker answered, or what aiokafka made of it."""
    number = getattr(error, "errno", 0)
    return in_words(Refusal(number)) if number > 0 else str(error)


async def open_producer(client_config: Mapping[str, Any], **options: object) -> AIOKafkaProducer:
    """Return a producer that has met a broker, however long that takes; raises aiokafka's KafkaError if it refuses."""
    while True:
        producer = AIOKafkaProducer(
            bootstrap_servers=where(client_config).split(","),
            acks="all",
            request_timeout_ms=int(_REQUEST_SECONDS * 1000),
            **options,
            **aiokafka_options(client_config),
        )
        producer._message_accumulator._batch_ttl = math.inf  # else it gives up batches of partitions without a leader
        producer.client.coordinator_lookup = _patient(producer.client.coordinator_lookup)
        try:
            await producer.start()
        except KafkaConnectionError:
            await close_producer(producer)
            await asyncio.sleep(_START_AGAIN_SECONDS)
        except BaseException:
            await close_producer(producer)
            raise
        else:
            return producer


def _patient(lookup: Callable[..., Awaitable[int]]) -> Callable[..., Awaitable[int]]:
    """Return a look-up of a coordinator that is tried again when its connection ends.

    aiokafka does so after other failures of the network; after this one its sender ends, for good.
    """

    async def look_up(*arguments: object) -> int:
        try:
            return await lookup(*arguments)
        except KafkaConnectionError as error:
            raise NodeNotReadyError(str(error)) from error

    return look_up


async def close_producer(producer: AIOKafkaProducer) -> None:
    """Close a producer without waiting for what it has still to send."""
    await producer.client.close()  # first: what is under way ends with its connection
    with suppress(TimeoutError, KafkaError):
        await asyncio.wait_for(producer._sender.close(), _CLOSE_SECONDS)
    producer._closed = True
    for future in _unawaited(producer):
        if future.done() and not future.cancelled():
            future.exception()  # else asyncio would tell again of what was told


def _unawaited(producer: AIOKafkaProducer) -> Iterator["asyncio.Future[None]"]:
    """Return the futures of aiokafka's own that may hold a failure."""
    for batches in producer._message_accumulator._batches.values():
        yield from (batch._drain_waiter for batch in batches)
    if producer._txn_manager is not None and producer._txn_manager._transaction_waiter is not None:
        yield producer._txn_manager._transaction_waiter
