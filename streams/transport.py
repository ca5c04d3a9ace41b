"""Every override of a Faust internal, and nothing else.

Each says which upstream behaviour (faust-streaming 0.15.3) it replaces and why; `tests/streams/test_transport.py`
fails when a new Faust no longer has what an override relies on.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping
from typing import Any, Final

import faust
from aiokafka import AIOKafkaConsumer
from faust.app.base import App
from faust.tables.table import Table
from faust.transport.drivers import aiokafka as driver
from faust.types import TP, Message
from faust.types.tuples import ConsumerMessage

from streams.counts import Counts
from streams.fetch import Fetch

_ALL_PAUSED_SECONDS: Final = 0.02


class BatchConsumer(driver.Consumer):
    """A consumer for which one fetch of one source partition is one Faust event, and which commits what is secured.

    `app.source_topic` names the source; changelog partitions keep Faust's ordinary path.
    """

    app: "BatchApp"

    def _new_consumer_thread(self) -> "BatchConsumerThread":
        """Replaces: Faust's thread around aiokafka. Why: that is how ours gets in."""
        return BatchConsumerThread(self, loop=self.loop, beacon=self.beacon)

    async def _wait_next_records(self, timeout: float) -> tuple[Any, Any]:
        """Replaces: a list of records a partition, each of which becomes an event of its own.

        Why: an event costs Faust 50 to 70 us (a future, flow control, `wait_first`) whatever it holds. `getmany`
        iterates over the lists, so a list of one Fetch makes one event.

        Also replaces: a sleep of a second while every partition is paused. Why: they are paused until the tables are
        recovered, so the first events after each rebalance would wait for the end of that second.

        Adds to: waiting for records. Why: what aiokafka hands out while a rebalance goes on or a seek is made may
        begin after records that were fetched before and dropped, and the seek that brings those back comes too early
        for it: it would be taken for the next in order, and they for repeats. So it is dropped as well.
        """
        if self.flow_active and not self._get_active_partitions():
            await asyncio.sleep(_ALL_PAUSED_SECONDS)
            return {}, set()
        before = self._position_changes()
        records, active = await super()._wait_next_records(timeout)
        if records and before != self._position_changes():
            await self.perform_seek()
            return {}, set()
        if records:
            records = {
                tp: [Fetch.of(batch)] if tp.topic == self.app.source_topic and batch else batch
                for tp, batch in records.items()
            }
        return records, active

    def _to_message(self, tp: TP, record: Any) -> ConsumerMessage:  # noqa: ANN401 - Faust's signature
        """Replaces: one message a record. Why: see `_wait_next_records`; the offset is the fetch's last."""
        if not isinstance(record, Fetch):
            return super()._to_message(tp, record)
        return ConsumerMessage(
            record.topic,
            record.partition,
            record.last_offset,
            0.0,  # a fetch has no single timestamp; nothing here reads it
            0,
            [],
            None,
            record,  # type: ignore[arg-type] # Faust passes the value on without looking at it
            None,
            tp=tp,
            generation_id=self.app.consumer_generation_id,
        )

    async def _add_gap(self, tp: TP, offset_from: int, offset_to: int) -> None:
        """Replaces: book-keeping of offsets that were never delivered, which acknowledgements are checked against.

        Why: between the last offsets of two fetches there is always a "gap", and nobody would ever remove it.
        """

    async def force_commit(self, topics: Any = None, start_new_transaction: bool = True) -> bool:  # noqa: ANN401
        """Replaces: committing what has been acknowledged.

        Why: an offset may be committed when the scores before it are confirmed and the states that they came from
        are in the changelog; `app.secure` sees to that and says up to where. (Faust's own reckoning is also off by
        one and can commit past messages in flight: faust-streaming#606.)
        """
        self._secured = await self.app.secure()
        return bool(await super().force_commit(topics, start_new_transaction=start_new_transaction))

    def _filter_tps_with_pending_acks(self, topics: Any = None) -> Iterator[TP]:  # noqa: ANN401
        """Replaces: the partitions with acknowledged messages. Why: see `force_commit`."""
        del topics
        return iter(self._secured)

    def _new_offset(self, tp: TP) -> int | None:
        """Replaces: the end of the first run of acknowledged offsets. Why: see `force_commit`.

        The acknowledgements are forgotten here, as upstream forgets those that it commits.
        """
        self._acked[tp].clear()
        self._acked_index[tp].clear()
        return self._secured.get(tp)

    async def wait_empty(self) -> None:
        """Adds to: waiting, before a rebalance or the end, until every started message is acknowledged.

        Why: lanes hold fetches that Faust has handed over; they finish or drop theirs first.
        """
        await self.app.drain()
        await super().wait_empty()

    async def seek_to_committed(self) -> Mapping[TP, int]:
        """Adds to: seeking every partition to its committed offset, after a rebalance.

        Why: aiokafka leaves a partition without a commit where it is, and what was fetched and dropped while the
        flow was suspended is lost. It starts at the beginning instead.
        """
        self._seeks += 1
        committed = await super().seek_to_committed()
        uncommitted = [tp for tp in self.assignment() if tp.topic == self.app.source_topic and not committed.get(tp)]
        if uncommitted:
            await self._thread.seek_to_beginning(*map(driver.ensure_aiokafka_TP, uncommitted))
        return committed

    def _position_changes(self) -> tuple[int, int]:
        return self.app.consumer_generation_id, self._seeks

    _secured: Mapping[TP, int] = {}
    _seeks = 0


class BatchConsumerThread(driver.AIOKafkaConsumerThread):
    """The thread that runs aiokafka, whose fetches the broker answers when there is enough to answer with."""

    app: "BatchApp"

    def _create_worker_consumer(self, transport: Any) -> AIOKafkaConsumer:  # noqa: ANN401 - Faust's signature
        """Adds to: making the aiokafka consumer; Faust passes neither setting on, and aiokafka reads both at its start.

        Why: a fetch costs milliseconds whatever it holds, and with the default of one byte the broker answers with
        the first record of one partition, while aiokafka asks for nothing more until that is consumed.
        """
        consumer = super()._create_worker_consumer(transport)
        consumer._fetch_min_bytes = self.app.fetch_min_bytes
        consumer._fetch_max_wait_ms = self.app.fetch_max_wait_ms
        return consumer


class BatchTransport(driver.Transport):
    """Faust's aiokafka transport with the consumer above."""

    Consumer = BatchConsumer


class BatchApp(App):
    """A Faust application over the transport above.

    `secure` makes what has been processed crash-proof and returns the offsets to commit; `drain` finishes what is
    in flight. Both are set by `streams.app` before the application starts.
    """

    source_topic: str
    fetch_min_bytes: int = 1
    fetch_max_wait_ms: int = 500
    """Kafka's `fetch.min.bytes` and `fetch.max.wait.ms`, with Kafka's defaults."""
    counts: Counts
    failure: Exception | None = None
    """What a lane failed with, if the application crashes because of one."""
    secure: Callable[[], Awaitable[Mapping[TP, int]]]
    drain: Callable[[], Awaitable[None]]

    def _new_transport(self) -> BatchTransport:
        """Replaces: the transport that the broker URL's scheme names. Why: that is how ours gets in."""
        return BatchTransport(self.conf.broker_consumer, self)

    def _create_directories(self) -> None:
        """Replaces: making `<application>-data` in the current directory. Why: nothing would ever be stored there."""


class FetchSchema(faust.Schema):  # type: ignore[type-arg]
    """Passes a Fetch through; decoding is the lanes' business."""

    def compile(self, app: Any, **_: Any) -> Any:  # noqa: ANN401 - Faust's signature
        create_event = app.create_event

        async def decode(message: Message, *, propagate: bool = False) -> Any:  # noqa: ANN401
            del propagate
            return create_event(None, message.value, message.headers, message)

        return decode


class StoreTable(Table):  # type: ignore[type-arg]
    """A table whose storage is made by `new_store`."""

    def __init__(self, *args: Any, new_store: Callable[..., Any], **kwargs: Any) -> None:  # noqa: ANN401
        super().__init__(*args, **kwargs)
        self._make_store = new_store

    def _new_store(self) -> Any:  # noqa: ANN401
        """Replaces: the store that a URL names. Why: a table's own `store=` is ignored (`bool` of a URL is False)."""
        return self._make_store(
            "memory://",
            self.app,
            self,
            table_name=self.name,
            key_type=self.key_type,
            value_type=self.value_type,
            key_serializer=self.key_serializer,
            value_serializer=self.value_serializer,
        )
