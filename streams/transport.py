"""Every override of a Faust internal, and nothing else.

Each says which upstream behaviour (faust-streaming 0.15.3) it replaces and why; `tests/streams/test_transport.py`
fails when a new Faust no longer has what an override relies on.
"""

import asyncio
import socket
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import cached_property
from typing import Any, Final, cast

import faust
import structlog
from aiohttp import web
from aiokafka import AIOKafkaConsumer
from aiokafka.coordinator.protocol import ConsumerProtocolMemberAssignment
from aiokafka.errors import IllegalStateError, KafkaError, TopicAuthorizationFailedError
from faust.app.base import App
from faust.app.router import Router
from faust.assignor.client_assignment import ClientMetadata
from faust.assignor.partition_assignor import PartitionAssignor
from faust.tables.manager import TableManager
from faust.tables.table import Table
from faust.transport.drivers import aiokafka as driver
from faust.types import TP, Message
from faust.types.tuples import ConsumerMessage
from faust.web.drivers.aiohttp import Web
from yarl import URL

from service.errors import CartcastError, RefusedError
from service.liveness import Liveness
from service.partitioner import partition_of
from streams.fetch import Fetch, FetchOrder
from streams.lookups.server import KEPT_SECONDS, ListeningSite, Refuse
from streams.membership import Membership, join_groups_as
from streams.observe.counts import Timings, WorkerCounts
from streams.publisher import answer_of
from streams.records.response import read_columns

_log: Final = structlog.get_logger()
_ALL_PAUSED_SECONDS: Final = 0.02
_WEB_SHUTDOWN_SECONDS: Final = 1.0
_NOT_ASSIGNED: Final = (IllegalStateError, AssertionError)
"""aiokafka's refusals to seek in what a rebalance has just taken away; the rebalance ends with a seek of its own."""


class BatchConsumer(driver.Consumer):
    """A consumer for which one fetch of one source partition is one Faust event, and which commits what is secured.

    `app.source_topic` names the source; changelog partitions keep Faust's ordinary path.
    """

    app: "BatchApp"

    def _new_consumer_thread(self) -> "BatchConsumerThread":
        """Replaces: Faust's thread around aiokafka. Why: that is how ours gets in."""
        return BatchConsumerThread(self, loop=self.loop, beacon=self.beacon)

    async def _wait_next_records(self, timeout: float) -> tuple[Any, Any]:
        """Replaces: a sleep of a second while every partition is paused.

        Why: they are paused until the tables are recovered, so the first events after each rebalance would wait for the
        end of that second.

        Adds to: waiting for records. Why: what aiokafka hands out while a rebalance goes on or a seek is under way may
        begin after records that were fetched before and dropped, and the seek that brings those back comes too early
        for it: it would be taken for the next in order, and they for repeats. So it is dropped as well. And who may not
        read the topic ends in one line.
        """
        if self.flow_active and not self._get_active_partitions():
            await asyncio.sleep(_ALL_PAUSED_SECONDS)
            return {}, set()
        before, began = self._position_changes(), self.app.timings.clock()
        try:
            records, active = await super()._wait_next_records(timeout)
        except TopicAuthorizationFailedError as failure:
            self.app.end(RefusedError(f"cannot read {self.app.source_topic}: {answer_of(failure)}"))
            await asyncio.sleep(_ALL_PAUSED_SECONDS)
            return {}, set()
        if not records:
            return records, active
        taken = {} if self._has_moved_since(before) else await self._in_order(records)
        if self._has_moved_since(before):
            with suppress(*_NOT_ASSIGNED):
                await self.perform_seek()
            return {}, set()
        self.app.timings.lap("fetch", began)
        return taken, active

    async def _in_order(self, records: Mapping[TP, list[Any]]) -> dict[TP, list[Any]]:
        """Return the records of each partition, without those out of order."""
        return {tp: batch for tp, batch in records.items() if await self._is_in_order(tp, batch)}

    async def _is_in_order(self, tp: TP, batch: list[Any]) -> bool:
        """Whether a source partition's records are the next ones; if not, fetch again from where those are."""
        if tp.topic != self.app.source_topic or not batch:
            return True
        expected, first = self._order.expected(tp), int(batch[0].offsets[0])
        place = self._order.take(tp, first, batch[-1].next_offset)
        if place is not None:
            with suppress(*_NOT_ASSIGNED):
                await self._thread.seek_wait({driver.ensure_aiokafka_TP(tp): place})
        elif expected is not None and expected < first:
            await self._count_deleted(tp, expected, first)
        return place is None

    async def _count_deleted(self, tp: TP, since: int, until: int) -> None:
        """Say which offsets of a gap retention took before they were read; the others are a transaction's."""
        with suppress(KafkaError):  # rather one loss too many is named than one too few
            until = min(until, (await self._earliest_offsets([tp]))[tp])
        if since < until:
            self.app.counts.deleted += until - since
            _log.error(
                "records were deleted by the topic's retention before they were scored",
                topic=tp.topic,
                partition=tp.partition,
                first_offset=since,
                last_offset=until - 1,
                records=until - since,
            )

    async def _earliest_offsets(self, partitions: Sequence[TP]) -> dict[tuple[str, int], int]:
        """Return the first offset that each partition still has."""
        found = await self._thread.earliest_offsets(*map(driver.ensure_aiokafka_TP, partitions))
        return {TP(each.topic, each.partition): offset for each, offset in found.items()}

    def _to_message(self, tp: TP, record: Any) -> ConsumerMessage:  # noqa: ANN401 - Faust's signature
        """Replaces: one message a record. Why: see `_wait_next_records`; the offset is the fetch's last."""
        if not isinstance(record, Fetch):
            return super()._to_message(tp, record)
        self.app.liveness.taken(tp, record.next_offset)
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
        are in the changelog; `app.secure` ensures that and returns up to where. (Faust's own count is also off by
        one and can commit past messages in flight: faust-streaming#606.)
        """
        self._secured = await self.app.secure()
        did_commit = bool(await super().force_commit(topics, start_new_transaction=start_new_transaction))
        reached = {tp: min(offset, self._committed_offset[tp] or 0) for tp, offset in self._secured.items()}
        self.app.liveness.committed(reached, counts=did_commit)
        return did_commit

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

    async def verify_all_partitions_active(self) -> None:
        """Replaces: looking for partitions that stand still. Why: the watchdog does, and ends the worker if it must.

        Faust's look fails on a partition whose position Kafka has not told yet, which would crash the consumer.
        """

    async def wait_empty(self) -> None:
        """Adds to: waiting, before a rebalance or the end, until every started message is acknowledged.

        Why: lanes hold fetches that Faust has handed over; they finish or drop theirs first.
        """
        await self.app.drain()
        await super().wait_empty()

    async def commit_and_end_transactions(self) -> None:
        """Adds to: the last commit before partitions go or the worker ends.

        Why: while another commit is under way, Faust waits for that and makes none; but that one may have begun before
        the last fetches were dealt with, whose states would be neither in the changelog nor committed.
        """
        while await self.maybe_wait_for_commit_to_finish():
            pass
        await super().commit_and_end_transactions()

    async def seek_to_committed(self) -> Mapping[TP, int]:
        """Adds to: seeking every partition to its committed offset, after a rebalance.

        Why: aiokafka leaves a partition without a commit where it is, and what was fetched and dropped while the
        flow was suspended is lost. It starts at the beginning instead.
        """
        self._seeks_begun += 1
        try:
            committed = await super().seek_to_committed()
            source = {tp for tp in self.assignment() if tp.topic == self.app.source_topic}
            places: dict[tuple[str, int], int] = {tp: offset for tp in source if (offset := committed.get(tp))}
            if uncommitted := [tp for tp in source if tp not in places]:
                await self._thread.seek_to_beginning(*map(driver.ensure_aiokafka_TP, uncommitted))
                places |= await self._earliest_offsets(
                    uncommitted
                )  # what was deleted before is no loss of this group's
            self._order.sought(places)
        finally:
            self._seeks_ended += 1
        return committed

    def lags(self) -> dict[int, int]:
        """Return the records from each source partition's position to its end, as of its last fetch."""
        thread = cast("BatchConsumerThread", self._thread)
        return {tp.partition: lag for tp, lag in thread.lags().items() if tp.topic == self.app.source_topic}

    def _position_changes(self) -> tuple[int, int, int]:
        return self.app.consumer_generation_id, self._seeks_begun, self._seeks_ended

    def _has_moved_since(self, before: tuple[int, int, int]) -> bool:
        """Whether positions have changed since then, or are changing now."""
        return before != self._position_changes() or self._seeks_begun != self._seeks_ended

    @cached_property
    def _order(self) -> FetchOrder:
        return FetchOrder()

    _secured: Mapping[TP, int] = {}
    _seeks_begun = _seeks_ended = 0


class BatchConsumerThread(driver.AIOKafkaConsumerThread):
    """The thread that runs aiokafka, whose fetches the broker answers when there is enough to answer with."""

    app: "BatchApp"

    def _create_worker_consumer(self, transport: Any) -> AIOKafkaConsumer:  # noqa: ANN401 - Faust's signature
        """Adds to: making the aiokafka consumer; Faust passes no such setting on, and aiokafka reads them at its start.

        Why: a fetch costs milliseconds whatever it holds, and with the default of one byte the broker answers with
        the first record of one partition, while aiokafka asks for nothing more until that is consumed.
        """
        made = super()._create_worker_consumer(transport)
        join_groups_as(self.app.membership)
        read_columns(self.app.source_topic, made._max_poll_records)
        made._isolation_level = "read_committed"  # what a transaction took back was never sent
        made._fetch_min_bytes = self.app.fetch_min_bytes
        made._fetch_max_wait_ms = self.app.fetch_max_wait_ms
        made._client_rack = self.app.client_rack
        return made

    async def on_thread_stop(self) -> None:
        """Adds to: stopping aiokafka. Why: while Kafka is away, its fetcher lets the cancellation of its own retry out.

        That would end the thread before it says so, and whoever stops the worker would wait for it in vain.
        """
        with suppress(asyncio.CancelledError):
            await super().on_thread_stop()

    def _stopped_set(self) -> None:
        """Adds to: telling the thread to stop. Why: one that has crashed has closed its loop, and this would fail.

        Then nothing behind it would be stopped in order, and the log would hold a traceback of that.
        """
        with suppress(RuntimeError):
            super()._stopped_set()

    def lags(self) -> dict[Any, int]:
        """Reads: aiokafka's positions and high-water marks. Why: asking for them costs a turn in its thread."""
        subscription = None if self._consumer is None else self._consumer._subscription.subscription
        if subscription is None or subscription.assignment is None:
            return {}
        states = {tp: subscription.assignment.state_value(tp) for tp in subscription.assignment.tps}
        return {
            tp: max(state.highwater - state._position, 0)
            for tp, state in states.items()
            if state is not None and state.highwater is not None and state._position is not None
        }


class BatchTransport(driver.Transport):
    """Faust's aiokafka transport with the consumer above."""

    Consumer = BatchConsumer


class BatchApp(App):
    """A Faust application over the transport above.

    `secure` makes what has been processed crash-proof and returns the offsets to commit; `drain` finishes what is
    in flight; `close` ends the rest. All are set by `streams.app` before the application starts.
    """

    source_topic: str
    fetch_min_bytes: int = 1
    fetch_max_wait_ms: int = 500
    """Kafka's `fetch.min.bytes` and `fetch.max.wait.ms`, with Kafka's defaults."""
    client_rack: str | None = None
    """Kafka's `client.rack`: fetches go to the copy of a partition that is nearest to it (KIP-392)."""
    counts: WorkerCounts
    membership: Membership
    listener: socket.socket
    """The socket on which the web server listens, if it is enabled."""
    refuse: Refuse
    failure: Exception | None = None
    """What a lane failed with, if the application crashes because of one."""
    secure: Callable[[], Awaitable[Mapping[TP, int]]]
    drain: Callable[[], Awaitable[None]]
    close: Callable[[], Awaitable[None]]

    def __init__(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - Faust's own arguments
        """Adds to: making the application. Why: its consumer notes durations and what it took and committed.

        Replaces: recovering tables. Why: the store restores its own changelog, and Faust counts the ends of
        transactions, which nobody ever hands out, as changes that it waits for.
        """
        super().__init__(*args, **kwargs)
        cast("TableManager", self.tables).recovery.need_recovery = lambda: False  # type: ignore[method-assign]
        self.timings = Timings()
        self.liveness, self.followed = Liveness(), Liveness()

    def end(self, failure: CartcastError) -> None:
        """Let the application end with this failure; may be called from any thread."""
        self.failure = self.failure or failure
        asyncio.run_coroutine_threadsafe(self.crash(failure), self.loop)

    def _new_transport(self) -> BatchTransport:
        """Replaces: the transport that the broker URL's scheme names. Why: that is how ours gets in."""
        return BatchTransport(self.conf.broker_consumer, self)

    def _new_web(self) -> "ListeningWeb":
        """Replaces: the web server that a URL names. Why: that is how ours gets in."""
        return ListeningWeb(self)

    async def on_stop(self) -> None:
        """Adds to: stopping, when the consumer has ended. Why: what secures its offsets is needed until then."""
        await super().on_stop()
        await self.close()

    def _create_directories(self) -> None:
        """Replaces: making `<application>-data` in the current directory. Why: nothing would ever be stored there."""


class KeyRouter(Router):
    """Finds the worker that has a key's partition."""

    def key_store(self, table_name: str, key: bytes) -> URL:  # type: ignore[override] # keys are bytes here
        """Replaces: asking Faust's producer for the partition of a key; raises KeyError if nobody has it.

        Why: the producer knows the partitions of topics that it has sent to, and ours sends to none.
        """
        table = self._get_table(table_name)
        partition = TP(self._get_table_topic(table), partition_of(key, table.partitions or 1))
        return URL(cast("PartitionAssignor", self._assignor)._tps_url[partition])


class AddressAssignor(PartitionAssignor):
    """Takes the assignment of a static member that has come back at another address."""

    app: "BatchApp"

    def on_assignment(self, assignment: ConsumerProtocolMemberAssignment) -> None:
        """Adds to: taking an assignment.

        Why: who comes back under its `group.instance.id` gets the assignment that it had, without a rebalance, and
        Faust asserts that the address in it is its own: a worker that had to take another port would never begin.
        (Other workers look for it at the old address until the next rebalance.)

        Says how many partitions of the source topic all members have together, see `MemberCoordinator`.
        """
        known = cast("ClientMetadata", ClientMetadata.loads(self._decompress(assignment.user_data)))
        given = (topics.get(self.app.source_topic, ()) for topics in known.external_topic_distribution.values())
        self.app.membership.divided = len(set[int]().union(*given))
        if known.url != (own := str(self._url)):
            for distribution in (known.changelog_distribution, known.external_topic_distribution):
                if known.url in distribution:
                    distribution[own] = distribution.pop(known.url)
            known.url = own
            assignment.user_data = self._compress(known.dumps())
        super().on_assignment(assignment)


class ListeningWeb(Web):
    """Faust's aiohttp server on a socket that listens already, with none of the pages that tell of Faust's insides."""

    app: "BatchApp"
    default_blueprints = production_blueprints = debug_blueprints = optional_blueprints = ()

    def __init__(self, app: "BatchApp", **kwargs: Any) -> None:  # noqa: ANN401 - Faust's signature
        """Adds to: making the server. Why: by default a slow client keeps a worker from ending for a minute."""
        super().__init__(app, **kwargs)
        self._runner = web.AppRunner(
            self.web_app,
            access_log=None,
            shutdown_timeout=_WEB_SHUTDOWN_SECONDS,
            keepalive_timeout=KEPT_SECONDS,
        )

    def _create_site(self) -> web.BaseSite:
        """Replaces: binding a host and a port. Why: which port is free is found out before Kafka's group is joined."""
        return ListeningSite(self._runner, self.app.listener, self.app.refuse)


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
