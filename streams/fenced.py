"""Writing a partition's states so that nobody but its present owner can."""

import asyncio
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from aiokafka import AIOKafkaProducer
from aiokafka.errors import InvalidProducerEpoch, KafkaError, ProducerFenced, TopicAuthorizationFailedError
from confluent_kafka import KafkaException, Producer

from service.errors import CartcastError, RefusedError
from service.kafka import reason, silent
from service.kafka_settings import Topics
from streams.publisher import answer_of, close_producer, open_producer
from streams.records.writer import RecordBatch

_TRANSACTION_SECONDS: Final = 300.0
"""How long Kafka lets a transaction be open: an outage of that length costs the partition's lane. A successor does not
wait for it. (A broker allows 900 by default, transaction.max.timeout.ms.)"""

_TRIAL_SECONDS: Final = 10.0


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """A batch and the partition that it goes to."""

    topic: str
    partition: int
    batch: RecordBatch


class FencedError(CartcastError):
    """Another worker has taken over the partition: what this one knows of it is old."""


class ChangelogWriter:
    """Writes states in transactions under an id of the partition's own, whose epoch each new owner raises (KIP-98).

    So an owner that was frozen or cut off while its partition went to another writes nothing behind that one's states:
    Kafka refuses it, and has taken back what it had begun. Restores read what was committed. What goes to other
    partitions because of the states is in the same transaction.
    """

    def __init__(self, client_config: Mapping[str, Any], topics: Topics, partition: int) -> None:
        self._client_config = client_config
        self._topic = topics.changelog
        self._partition = partition
        self._starting: asyncio.Task[AIOKafkaProducer] | None = None
        self._transaction: asyncio.Task[None] | None = None
        self._failure: CartcastError | None = None

    async def start(self) -> None:
        """Become the only one who writes; waits for as long as Kafka is away. Raises RefusedError."""
        opening = open_producer(
            self._client_config,
            transactional_id=f"{self._topic}-{self._partition}",
            transaction_timeout_ms=int(_TRANSACTION_SECONDS * 1000),
        )
        self._starting = asyncio.get_running_loop().create_task(opening)
        try:
            await self._starting
        except KafkaError as error:
            raise self._refusal(error) from None

    @property
    def is_started(self) -> bool:
        """Whether Kafka lets it write."""
        return self._starting is not None and self._starting.done()

    async def ready(self) -> None:
        """Return when no transaction is under way; raises FencedError, RefusedError if one has failed."""
        if self._transaction is not None and not self._transaction.done():  # which nobody has waited for
            await asyncio.wait([self._transaction])
        if self._failure is not None:
            raise self._failure

    async def write(self, batches: Sequence[RecordBatch], elsewhere: Sequence[Elsewhere] = ()) -> None:
        """Write batches of states, and what goes elsewhere with them, all or none.

        Whoever stops waiting when it was `ready` leaves a transaction that ends by itself. Raises FencedError,
        RefusedError.
        """
        await self.ready()
        if batches or elsewhere:
            here = [Elsewhere(self._topic, self._partition, batch) for batch in batches]
            self._transaction = asyncio.get_running_loop().create_task(self._write([*here, *elsewhere]))
            await asyncio.shield(self._transaction)

    async def close(self) -> None:
        """Close the connections; Kafka takes back what is not committed when the next owner comes."""
        starting, self._starting = self._starting, None
        for task in (self._transaction, starting):
            if task is not None:
                task.cancel()
                await asyncio.wait([task])
        if starting is not None and not starting.cancelled() and starting.exception() is None:
            await close_producer(starting.result())

    async def _write(self, batches: Sequence[Elsewhere]) -> None:
        if self._starting is None:
            raise RuntimeError("a changelog is written before it is started or after it is closed")
        producer = await self._starting
        try:
            await producer.begin_transaction()
            # Side by side: all partitions join the transaction in one request, and get their first batches in another.
            await asyncio.gather(*(_send(producer, place, to_it) for place, to_it in _by_partition(batches).items()))
            await producer.commit_transaction()
        except (ProducerFenced, InvalidProducerEpoch):
            self._failure = FencedError(f"another worker has taken over partition {self._partition}")
            raise self._failure from None
        except KafkaError as error:
            self._failure = self._refusal(_cause(producer) or error)
            raise self._failure from None

    def _refusal(self, error: KafkaError) -> RefusedError:
        topics = [self._topic]
        if isinstance(error, TopicAuthorizationFailedError):  # has one name, or a set of them
            topics = sorted({error.args[0]} if isinstance(error.args[0], str) else error.args[0])
        return RefusedError(f"Kafka did not take states for {', '.join(topics)}: {answer_of(error)}")


def check_transactions(client_config: Mapping[str, Any], topics: Topics) -> None:
    """Begin as a worker does that is about to write states; raises RefusedError if Kafka does not let it."""
    trial = Producer({**silent(client_config), "transactional.id": f"{topics.changelog}-trial"})
    try:
        trial.init_transactions(_TRIAL_SECONDS)
    except KafkaException as failure:
        raise RefusedError(
            f"Kafka begins no transaction ({reason(failure)}), and workers write states in them: with fewer than three "
            "brokers set transaction.state.log.replication.factor and transaction.state.log.min.isr to their number; "
            f"with ACLs allow transactional ids that begin with {topics.changelog}"
        ) from None


_Place = tuple[str, int]
"""Topic and partition."""


def _by_partition(batches: Sequence[Elsewhere]) -> Mapping[_Place, Sequence[RecordBatch]]:
    grouped = defaultdict[_Place, list[RecordBatch]](list)
    for each in batches:
        grouped[each.topic, each.partition].append(each.batch)
    return grouped


def _cause(producer: AIOKafkaProducer) -> KafkaError | None:
    """Return what a transaction failed with: aiokafka goes on, and then the broker finds fault with a batch."""
    waiter = None if producer._txn_manager is None else producer._txn_manager._transaction_waiter
    if waiter is None or not waiter.done() or waiter.cancelled():
        return None
    return found if isinstance(found := waiter.exception(), KafkaError) else None


async def _send(producer: AIOKafkaProducer, place: _Place, batches: Sequence[RecordBatch]) -> None:
    """Send batches to a partition, in order; returns when all are confirmed, raises aiokafka's KafkaError."""
    topic, partition = place
    await asyncio.gather(*[await producer.send_batch(batch, topic, partition=partition) for batch in batches])
