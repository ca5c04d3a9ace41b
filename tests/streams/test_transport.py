"""What each override does, through Faust's own code around it, and that Faust still has what it relies on."""

import asyncio
import inspect
from collections.abc import Mapping
from dataclasses import replace
from types import SimpleNamespace

import faust
import numpy as np
import pytest
from aiohttp import web
from aiokafka.consumer import AIOKafkaConsumer
from aiokafka.coordinator.protocol import ConsumerProtocolMemberAssignment
from aiokafka.errors import IllegalStateError
from aiokafka.producer import AIOKafkaProducer
from aiokafka.structs import ConsumerRecord, TopicPartition
from faust.app.base import App
from faust.assignor.client_assignment import ClientAssignment, ClientMetadata
from faust.assignor.partition_assignor import PartitionAssignor
from faust.transport.consumer import Consumer
from faust.transport.drivers import aiokafka as driver
from faust.types import TP
from faust.web.drivers.aiohttp import Web
from structlog.testing import capture_logs
from yarl import URL

from model.states import StateCodec
from service.kafka_settings import Topics
from service.partitioner import partition_of
from streams.fetch import Fetch
from streams.membership import Membership
from streams.observe.counts import WorkerCounts
from streams.tables import SequenceStore
from streams.transport import (
    AddressAssignor,
    BatchApp,
    BatchConsumer,
    BatchTransport,
    FetchSchema,
    KeyRouter,
    ListeningWeb,
    StoreTable,
)
from tests.streams.fetches import TOPICS, event, fetch
from tests.streams.memory_publisher import let_others_run

EVENTS, OTHER_EVENTS = TP(TOPICS.events, 0), TP(TOPICS.events, 1)
CHANGELOG = TP(TOPICS.changelog, 0)


def record(tp: TP, offset: int) -> ConsumerRecord:
    return ConsumerRecord(tp.topic, tp.partition, offset, 1000, 0, b"u", event(offset), None, 1, 50, ())


def fetch_of(tp: TP, *offsets: int) -> Fetch:
    return replace(fetch(*map(event, offsets), partition=tp.partition), offsets=np.array(offsets))


class MemoryThread:
    """Stands for the thread in which Faust runs aiokafka: hands out records, takes commits and seeks."""

    def __init__(self) -> None:
        self.records: list[dict[TP, list[ConsumerRecord]]] = []
        self.assigned = {EVENTS, OTHER_EVENTS, CHANGELOG}
        self.committed: dict[TP, int | None] = {}
        self.at_beginning: set[TopicPartition] = set()
        self.sought: list[dict[TP, int]] = []
        self.earliest: dict[TP, int] = {}

    async def getmany(self, *_):
        return self.records.pop(0) if self.records else {}

    def assignment(self):
        return self.assigned

    def highwater(self, tp):
        del tp
        return 1000

    async def commit(self, offsets: Mapping[TP, int]) -> bool:
        self.committed.update(offsets)
        return True

    async def seek_to_committed(self) -> Mapping[TP, int | None]:
        return {tp: self.committed.get(tp) for tp in self.assigned}

    async def seek_to_beginning(self, *partitions: TopicPartition) -> None:
        self.at_beginning.update(partitions)

    async def seek_wait(self, partitions: Mapping[TP, int]) -> None:
        self.sought.append(dict(partitions))

    async def earliest_offsets(self, *partitions: TopicPartition) -> Mapping[TopicPartition, int]:
        return {each: self.earliest.get(TP(*each), 0) for each in partitions}


@pytest.fixture
async def app():
    app = BatchApp(
        TOPICS.prefix, broker="kafka://127.0.0.1:1", store="memory://", web_enabled=False, stream_wait_empty=True
    )
    app.source_topic = TOPICS.events
    app.counts = WorkerCounts()
    app.membership = Membership(TOPICS.prefix, "wk-0", app.liveness, app.end)
    app.secured = {}
    app.drained = 0

    async def secure():
        return app.secured

    async def drain():
        app.drained += 1

    async def flush():
        pass

    app.secure, app.drain, app.close = secure, drain, flush
    app.topics.acks_enabled_for = lambda topic: topic == TOPICS.events
    app.producer.flush = flush
    return app


@pytest.fixture
async def consumer(app):
    consumer = app.consumer
    consumer._thread.thread_loop.close()
    consumer._thread = MemoryThread()
    consumer._set_active_tps(consumer._thread.assigned)
    return consumer


async def messages_of(consumer, *fetched):
    consumer._thread.records = list(fetched)
    return [message for _ in fetched async for _, message in consumer.getmany(timeout=1.0)]


async def test_the_application_consumes_through_this_transport(app, consumer):
    assert type(app.transport) is BatchTransport
    assert type(consumer) is BatchConsumer


async def test_the_broker_is_asked_to_let_records_gather_and_told_the_rack(app):
    app.fetch_min_bytes, app.fetch_max_wait_ms, app.client_rack = 4321, 17, "zone-b"
    thread = app.consumer._thread
    thread.thread_loop.close()
    asked = thread._create_worker_consumer(app.transport)
    await asked.stop()
    assert (asked._fetch_min_bytes, asked._fetch_max_wait_ms, asked._client_rack) == (4321, 17, "zone-b")
    assert asked._isolation_level == "read_committed"


async def test_a_retry_of_the_fetcher_that_is_cancelled_ends_the_thread_as_any_other_stop(app):
    thread = app.consumer._thread
    thread.thread_loop.close()

    async def stop():
        raise asyncio.CancelledError

    thread._consumer = SimpleNamespace(stop=stop)
    await thread.on_thread_stop()


async def test_a_thread_that_has_crashed_can_be_stopped(app):
    thread = app.consumer._thread
    thread.thread_loop.close()
    thread._started.set()
    thread._shutdown.set()
    await thread.stop()


async def test_a_position_that_kafka_has_not_told_yet_crashes_nothing(consumer):
    def verify_event_path(*_):
        raise AssertionError("no position")

    consumer._thread.verify_event_path = verify_event_path
    with pytest.raises(AssertionError, match="no position"):
        await Consumer.verify_all_partitions_active(consumer)
    await consumer.verify_all_partitions_active()


async def test_the_ends_of_transactions_in_a_changelog_are_not_waited_for(app):
    recovery = app.tables.recovery
    recovery.active_highwaters[CHANGELOG], recovery.active_offsets[CHANGELOG] = 7, 5
    assert recovery.active_remaining_total() == 2
    assert not recovery.need_recovery()


async def test_a_fetch_of_the_source_topic_is_one_message_and_of_a_changelog_one_each(consumer):
    messages = await messages_of(
        consumer,
        {EVENTS: [fetch_of(EVENTS, 5, 7, 8)], CHANGELOG: [record(CHANGELOG, 1)]},
        {EVENTS: [fetch_of(EVENTS, 9)], CHANGELOG: [record(CHANGELOG, 2), record(CHANGELOG, 3)], OTHER_EVENTS: []},
    )
    fetches = [message for message in messages if message.topic == TOPICS.events]
    assert [(fetch.tp, fetch.offset) for fetch in fetches] == [(EVENTS, 8), (EVENTS, 9)]
    assert [fetch.value.offsets.tolist() for fetch in fetches] == [[5, 7, 8], [9]]
    assert all(isinstance(fetch.value, Fetch) for fetch in fetches)
    assert [message.offset for message in messages if message.topic == TOPICS.changelog] == [1, 2, 3]
    assert {message.generation_id for message in messages} == {consumer.app.consumer_generation_id}


@pytest.mark.parametrize("meanwhile", ["a rebalance", "a seek"])
async def test_what_was_fetched_across_a_rebalance_or_a_seek_is_dropped_and_sought_again(consumer, meanwhile):
    """It may begin after records that were dropped: the next fetch in order begins where the last commit was."""
    consumer._thread.committed[EVENTS] = 5
    handed_out = consumer._thread.getmany

    async def getmany(*arguments):
        if meanwhile == "a seek":
            await consumer.seek_to_committed()
        else:
            consumer.app.consumer_generation_id += 1
        return await handed_out(*arguments)

    consumer._thread.getmany = getmany
    assert await messages_of(consumer, {EVENTS: [fetch_of(EVENTS, 9)]}) == []
    assert consumer._read_offset[EVENTS] == 5
    consumer._thread.getmany = handed_out
    (message,) = await messages_of(consumer, {EVENTS: [fetch_of(EVENTS, 5)]})
    assert message.offset == 5


async def test_what_is_fetched_while_a_seek_is_under_way_is_dropped_even_if_it_is_next_in_order(consumer):
    """aiokafka asks the broker for one commit after the other: a partition's position may still be the old one."""
    consumer._thread.committed = {EVENTS: 5}
    await consumer.perform_seek()
    await messages_of(consumer, {EVENTS: [fetch_of(EVENTS, 5)]})  # let it be dropped, as at a rebalance
    answers, seek = asyncio.Event(), consumer._thread.seek_to_committed

    async def slow_seek():
        await answers.wait()
        return await seek()

    consumer._thread.seek_to_committed = slow_seek
    recovery = asyncio.create_task(consumer.perform_seek())
    await let_others_run()
    fetch = asyncio.create_task(messages_of(consumer, {EVENTS: [fetch_of(EVENTS, 6)]}))
    await let_others_run()
    answers.set()
    assert await fetch == []
    await recovery
    in_order = [{EVENTS: [fetch_of(EVENTS, offset)]} for offset in (5, 6)]
    assert [message.offset for message in await messages_of(consumer, *in_order)] == [5, 6]


async def test_a_seek_that_begins_while_records_are_put_in_order_drops_them_too(consumer):
    consumer._thread.committed = {EVENTS: 5, OTHER_EVENTS: 3}
    await consumer.perform_seek()
    seek_wait = consumer._thread.seek_wait

    async def seek_meanwhile(_):
        consumer._thread.seek_wait = seek_wait
        await consumer.perform_seek()

    consumer._thread.seek_wait = seek_meanwhile
    behind = {EVENTS: [fetch_of(EVENTS, 9)], OTHER_EVENTS: [fetch_of(OTHER_EVENTS, 3)]}
    assert await messages_of(consumer, behind) == []
    assert (
        len(await messages_of(consumer, {EVENTS: [fetch_of(EVENTS, 5)], OTHER_EVENTS: [fetch_of(OTHER_EVENTS, 3)]}))
        == 2
    )


@pytest.mark.parametrize("refusal", [IllegalStateError("No current assignment"), AssertionError("No partitions")])
async def test_a_seek_that_a_rebalance_forbids_ends_no_worker(consumer, refusal):
    async def refuse(*_):
        raise refusal

    consumer._thread.committed = {EVENTS: 5}
    await consumer.perform_seek()
    sought = consumer._thread.seek_to_committed
    consumer._thread.seek_to_committed = consumer._thread.seek_wait = refuse
    assert await messages_of(consumer, {EVENTS: [fetch_of(EVENTS, 9)]}) == []
    handed_out = consumer._thread.getmany

    async def getmany(*arguments):
        consumer.app.consumer_generation_id += 1
        return await handed_out(*arguments)

    consumer._thread.getmany = getmany
    assert await messages_of(consumer, {EVENTS: [fetch_of(EVENTS, 9)]}) == []
    consumer._thread.seek_to_committed, consumer._thread.getmany = sought, handed_out
    await consumer.perform_seek()
    (message,) = await messages_of(consumer, {EVENTS: [fetch_of(EVENTS, 5)]})
    assert message.offset == 5


async def test_what_begins_behind_its_place_is_dropped_and_fetched_again_from_there(consumer):
    consumer._thread.committed = {EVENTS: 5, OTHER_EVENTS: 3}
    await consumer.perform_seek()
    behind = {EVENTS: [fetch_of(EVENTS, 9)], OTHER_EVENTS: [fetch_of(OTHER_EVENTS, 3)]}
    assert [message.tp for message in await messages_of(consumer, behind)] == [OTHER_EVENTS]
    assert consumer._thread.sought == [{EVENTS: 5}]
    in_order = [{EVENTS: [fetch_of(EVENTS, offset)]} for offset in (5, 6)]
    assert [message.offset for message in await messages_of(consumer, *in_order)] == [5, 6]


async def test_an_offset_that_nothing_has_costs_one_fetch_and_no_record(consumer):
    """Control records of a transaction have offsets and are never handed out."""
    fetched = [{EVENTS: [fetch_of(EVENTS, offset)]} for offset in (5, 7, 7, 8)]
    assert [message.offset for message in await messages_of(consumer, *fetched)] == [5, 7, 8]
    assert consumer._thread.sought == [{EVENTS: 6}]


async def test_records_that_retention_took_unread_are_named_and_counted(app, consumer):
    """Also while the worker was away; what lies in the gap behind the topic's first record is a transaction's."""
    consumer._thread.committed, consumer._thread.earliest = {EVENTS: 5}, {EVENTS: 8, OTHER_EVENTS: 4}
    await consumer.perform_seek()
    with capture_logs() as lines:
        fetched = [{EVENTS: [fetch_of(EVENTS, offset)]} for offset in (9, 9, 11, 11)]
        assert [message.offset for message in await messages_of(consumer, *fetched)] == [9, 11]
        await messages_of(consumer, {OTHER_EVENTS: [fetch_of(OTHER_EVENTS, 4)]})  # never committed: none of its own
    named = [{name: line.get(name) for name in ("topic", "partition", "first_offset", "last_offset")} for line in lines]
    assert named == [{"topic": TOPICS.events, "partition": 0, "first_offset": 5, "last_offset": 7}]
    assert app.counts.deleted == 3


async def test_a_fetch_reaches_the_agents_as_it_is(app, consumer):
    (message,) = await messages_of(consumer, {EVENTS: [fetch_of(EVENTS, 5)]})
    topic = app.topic(TOPICS.events, schema=FetchSchema())
    passed_on = await topic.decode(message)
    assert passed_on.value is message.value
    assert passed_on.message is message


async def test_offsets_between_two_fetches_are_no_gap_to_be_waited_for(consumer):
    received = []
    fetcher = SimpleNamespace(_stopped=asyncio.Event())

    async def callback(message):
        received.append(message.offset)
        if len(received) == 2:
            fetcher._stopped.set()

    consumer.callback = callback
    consumer._thread.records = [{EVENTS: [fetch_of(EVENTS, *offsets)]} for offsets in ([1, 2], [3, 9])]
    await consumer._drain_messages(fetcher)
    assert received == [2, 9]
    assert not consumer._gap[EVENTS]


async def test_a_commit_is_of_what_is_secured_whatever_is_acknowledged(app, consumer):
    for message in await messages_of(
        consumer, {EVENTS: [fetch_of(EVENTS, 5)], OTHER_EVENTS: [fetch_of(OTHER_EVENTS, 5)]}
    ):
        consumer.track_message(message)
        consumer.ack(message)
    app.secured = {EVENTS: 4}
    assert await consumer.commit()
    assert consumer._thread.committed == {EVENTS: 4}
    app.secured = {EVENTS: 6, OTHER_EVENTS: 2}
    await consumer.commit()
    assert consumer._thread.committed == {EVENTS: 6, OTHER_EVENTS: 2}
    app.secured = {}
    assert not await consumer.commit()


async def test_acknowledgements_of_committed_partitions_are_forgotten(app, consumer):
    for message in await messages_of(consumer, {EVENTS: [fetch_of(EVENTS, 5)]}):
        consumer.ack(message)
    assert consumer._acked[EVENTS] == [5]
    app.secured = {EVENTS: 6}
    await consumer.commit()
    assert not consumer._acked[EVENTS]
    assert not consumer._acked_index[EVENTS]


async def test_a_secured_offset_of_a_partition_that_is_gone_is_not_committed(app, consumer):
    consumer._thread.assigned = {OTHER_EVENTS}
    app.secured = {EVENTS: 6, OTHER_EVENTS: 2}
    await consumer.commit()
    assert consumer._thread.committed == {OTHER_EVENTS: 2}


async def test_before_a_rebalance_lanes_are_drained_then_acknowledgements_awaited_then_committed(app, consumer):
    (message,) = await messages_of(consumer, {EVENTS: [fetch_of(EVENTS, 5)]})
    consumer.track_message(message)
    waiting = asyncio.create_task(consumer.wait_empty())
    await let_others_run()
    assert app.drained == 1
    assert not waiting.done()
    app.secured = {EVENTS: 6}
    consumer.ack(message)
    await waiting
    assert consumer._thread.committed == {EVENTS: 6}


async def test_the_last_commit_is_none_that_began_before_the_last_fetches_were_dealt_with(app, consumer):
    answers = asyncio.Event()

    async def secure():
        secured = app.secured
        await answers.wait()
        return secured

    app.secure, app.secured = secure, {EVENTS: 4}
    earlier = asyncio.create_task(consumer.commit())
    await let_others_run()
    app.secured = {EVENTS: 6}
    last = asyncio.create_task(consumer.wait_empty())
    await let_others_run()
    answers.set()
    await asyncio.gather(earlier, last)
    assert consumer._thread.committed == {EVENTS: 6}


async def test_a_source_partition_without_a_commit_is_read_from_its_beginning(consumer):
    consumer._thread.committed = {EVENTS: 7, OTHER_EVENTS: None, CHANGELOG: None}
    committed = await consumer.seek_to_committed()
    assert committed[EVENTS] == 7
    assert consumer._thread.at_beginning == {TopicPartition(*OTHER_EVENTS)}
    await consumer.perform_seek()
    assert consumer._read_offset[EVENTS] == 7
    assert consumer._read_offset[OTHER_EVENTS] is None


async def test_the_table_is_stored_in_what_it_is_given(app):
    def new_store(*args, **kwargs):
        return SequenceStore(*args, client_config={}, topics=Topics(prefix="shop"), codec=StateCodec(4, 1), **kwargs)

    table = StoreTable(app, name="sequences", new_store=new_store, key_type=bytes, value_type=bytes, partitions=2)
    app.tables.add(table)
    assert type(table.data) is SequenceStore
    assert table.data is table.data
    assert table.changelog_topic_name == TOPICS.changelog


async def test_the_owner_of_a_key_is_the_worker_with_its_partition_of_the_changelog(app):
    app.tables.add(StoreTable(app, name="sequences", new_store=SequenceStore, key_type=bytes, partitions=2))
    router = KeyRouter(app)
    with pytest.raises(KeyError):
        router.key_store("sequences", b"u")
    app.assignor._tps_url[TP(TOPICS.changelog, partition_of(b"u", 2))] = "http://one:6066"
    assert router.key_store("sequences", b"u") == URL("http://one:6066")


async def test_a_static_member_takes_its_assignment_also_at_another_address(app):
    app.conf.canonical_url = URL("http://new:6066")
    app.assignor = AddressAssignor(app)
    user_data = metadata_of("http://old:6066", {"http://old:6066": {TOPICS.changelog: [0]}, "http://other:1": {}})
    app.assignor.on_assignment(ConsumerProtocolMemberAssignment(0, [], user_data))
    assert app.assignor._tps_url == {CHANGELOG: "http://new:6066"}


async def test_how_many_partitions_the_group_has_divided_is_counted_over_its_members(app):
    app.assignor, url = AddressAssignor(app), str(app.conf.canonical_url)
    given = {url: {TOPICS.events: [0, 2]}, "http://other:1": {TOPICS.events: [1], "another": [7]}, "http://idle:1": {}}
    metadata = ClientMetadata(ClientAssignment({}, {}), url, {}, given)
    user_data = PartitionAssignor._compress(metadata.dumps())
    app.assignor.on_assignment(ConsumerProtocolMemberAssignment(0, [], user_data))
    assert app.membership.divided == 3


async def test_faust_refuses_an_assignment_with_another_address(app):
    """Still needed: `AddressAssignor`."""
    with pytest.raises(AssertionError):
        app.assignor.on_assignment(ConsumerProtocolMemberAssignment(0, [], metadata_of("http://old:6066", {})))


def metadata_of(url: str, distribution: dict[str, dict[str, list[int]]]) -> bytes:
    """What the leader of the group sends a member that has no partitions."""
    metadata = ClientMetadata(ClientAssignment({}, {}), url, distribution)
    return PartitionAssignor._compress(metadata.dumps())


async def test_the_web_server_tells_nothing_of_fausts_insides(app):
    app.web.init_server()
    assert type(app.web) is ListeningWeb
    assert not list(app.web.web_app.router.routes())


# What the overrides rely on in Faust and aiokafka. When one of these fails, an override does nothing any more, or is
# no longer needed.


def calls(function) -> str:
    return inspect.getsource(function)


@pytest.mark.parametrize(
    ("owner", "caller", "call"),
    [
        (Consumer, "getmany", "await self._wait_next_records(timeout)"),
        (Consumer, "getmany", "to_message(tp, record)"),
        (Consumer, "perform_seek", "self._read_offset"),
        (Consumer, "_drain_messages", "self._add_gap(tp, "),
        (Consumer, "commit", "self.force_commit("),
        (Consumer, "force_commit", "self._filter_tps_with_pending_acks(topics)"),
        (Consumer, "_filter_committable_offsets", "self._new_offset(tp)"),
        (Consumer, "perform_seek", "self.seek_to_committed()"),
        (Consumer, "wait_empty", "self._unacked_messages"),
        (Consumer, "wait_empty", "self.commit_and_end_transactions"),
        (Consumer, "commit", "if await self.maybe_wait_for_commit_to_finish():"),
        (Consumer, "on_stop", "self.wait_empty()"),
        (App, "_on_partitions_revoked", "self._consumer_wait_empty"),
        (App, "_stop_consumer", "self._consumer_wait_empty"),
        (App, "_consumer_wait_empty", "consumer.wait_empty()"),
        (driver.Consumer, "__init__", "self._new_consumer_thread()"),
        (driver.AIOKafkaConsumerThread, "_create_consumer", "self._create_worker_consumer(transport)"),
        (AIOKafkaConsumer, "start", "fetch_min_bytes=self._fetch_min_bytes"),
        (AIOKafkaConsumer, "start", "fetch_max_wait_ms=self._fetch_max_wait_ms"),
        (AIOKafkaConsumer, "start", "client_rack=self._client_rack"),
        (driver.AIOKafkaConsumerThread, "seek_to_committed", "self._ensure_consumer().seek_to_committed"),
    ],
)  # fmt: skip
def test_faust_calls_what_is_overridden_from_where_we_think(owner, caller, call):
    assert call in calls(getattr(owner, caller))


@pytest.mark.parametrize(
    "name",
    ["_wait_next_records", "_to_message", "_add_gap", "force_commit", "_filter_tps_with_pending_acks", "_new_offset",
     "wait_empty", "commit_and_end_transactions", "seek_to_committed"],
)  # fmt: skip
def test_every_override_has_the_parameters_of_what_it_overrides(name):
    upstream = inspect.signature(getattr(driver.Consumer, name)).parameters
    ours = inspect.signature(getattr(BatchConsumer, name)).parameters
    assert list(ours) == list(upstream)
    assert inspect.iscoroutinefunction(getattr(BatchConsumer, name)) == inspect.iscoroutinefunction(
        inspect.unwrap(getattr(driver.Consumer, name))
    )


async def test_upstream_makes_a_message_of_each_record(consumer):
    """Still needed: `_wait_next_records`, `_to_message`."""
    consumer._thread.records = [{EVENTS: [record(EVENTS, 1), record(EVENTS, 2)]}]
    records, _ = await driver.Consumer._wait_next_records(consumer, 1.0)
    assert [one.offset for one in records[EVENTS]] == [1, 2]


async def test_upstream_keeps_a_gap_between_two_offsets(consumer):
    """Still needed: `_add_gap`."""
    await driver.Consumer._add_gap(consumer, EVENTS, 3, 8)
    assert consumer._gap[EVENTS]


async def test_upstream_commits_past_a_message_in_flight(consumer):
    """Still needed: `_new_offset` (faust-streaming#606). Offset 10 is in flight, 11 is acknowledged."""
    consumer._committed_offset[EVENTS] = 10
    consumer._acked[EVENTS] = [11]
    assert driver.Consumer._new_offset(consumer, EVENTS) == 12


@pytest.mark.parametrize("committed", [None, 0])
async def test_aiokafka_leaves_a_partition_without_a_commit_where_it_is(committed):
    """Still needed: `seek_to_committed`."""
    sought = []

    async def committed_of(_):
        return committed

    light = SimpleNamespace(
        _subscription=SimpleNamespace(assigned_partitions=lambda: {TopicPartition(*EVENTS)}),
        _fetcher=SimpleNamespace(seek_to=lambda *seek: sought.append(seek)),
        committed=committed_of,
    )
    assert await AIOKafkaConsumer.seek_to_committed(light) == {TopicPartition(*EVENTS): committed}
    assert sought == []


async def test_faust_ignores_the_store_of_a_single_table(app):
    """Still needed: `StoreTable`."""
    table = faust.Table(app, name="other", store="nonsense://")
    assert not table._store
    assert str(table.data.url) == "memory:"


def test_faust_picks_its_transport_in_a_method_of_the_application():
    """Still needed: `BatchApp._new_transport`."""
    assert "self._new_transport()" in calls(App.transport.fget)


def test_faust_asks_its_producer_for_a_keys_partition():
    """Still needed: `KeyRouter`. The producer's metadata lacks topics that it has not sent to."""
    assert "self.app.producer.key_partition(topic, key)" in calls(PartitionAssignor.key_store)
    assert "self._tps_url" in calls(PartitionAssignor.key_store)
    assert "list(self._metadata.partitions_for_topic(topic))" in calls(AIOKafkaProducer._partition)


def test_faust_makes_its_web_server_site_and_runner_where_ours_are_made():
    """Still needed: `BatchApp._new_web`, `ListeningWeb`, `ListeningSite`, `LimitedHandler`."""
    assert "self._new_web()" in inspect.getsource(App)
    assert "self._create_site()" in calls(Web.start_server)
    assert "self._runner: AppRunner = AppRunner(self.web_app, access_log=None)" in calls(Web.__init__)
    assert "default_blueprints" in calls(Web._enabled_blueprints)
    assert "RequestHandler(self, loop=self._loop, **self._kwargs)" in calls(web.Server.__call__)
    assert "self.handle_error(" in calls(web.RequestHandler)
    assert "await super().start()" in calls(web.SockSite.start)


def test_faust_would_make_a_data_directory_where_it_runs(app, tmp_path, monkeypatch):
    """Still needed: `BatchApp._create_directories`."""
    monkeypatch.chdir(tmp_path)
    assert "self._create_directories()" in inspect.getsource(App)
    app._create_directories()
    assert list(tmp_path.iterdir()) == []
