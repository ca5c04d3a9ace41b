"""Records of a followed topic: applied once each, beside the events, and secured with the states that they change."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest
from confluent_kafka import KafkaError, KafkaException

from model.core.slots import Distinct
from service.errors import RefusedError
from service.liveness import Liveness
from streams import following as following_module
from streams.changelog import PartitionReader
from streams.following import FollowedRecord, FollowedRecords, Following, Subscription, read_followed
from streams.lanes import Lane, Lanes
from streams.partition_states import NOTE, Outgoing
from streams.pipeline import Pipeline
from streams.records.writer import OutputRecord, OutputRecords
from tests.streams.fetches import PARTITION, TOPICS, Acks, fetches, put
from tests.streams.memory_publisher import let_others_run, states_of
from tests.streams.mock_topics import create, write

TOPIC = "shop.followed"
OTHER_PARTITION = 7


@dataclass(frozen=True)
class SessionFollower:
    """Adds a session to each key's state, and tells another partition."""

    topic: str = TOPIC
    at_once: int = 0
    passes_over_states: bool = False

    def apply(self, records, states) -> None:
        for record in records.records:
            users = Distinct.of([record.key])
            slots, state = states.gather(users)
            state["sequence"]["sessions"] += 1
            states.put(users, slots, state)
            told = OutputRecords.of([OutputRecord(record.key, b"told")])
            states.send(Outgoing(TOPIC, np.array([OTHER_PARTITION]), told))


class NoReader(Following):
    """Hands on what the test says."""

    def __init__(self, follower) -> None:
        super().__init__({}, "shop.events", [follower], lambda _: None, Liveness())
        self.subscriptions: list[Subscription] = []

    def subscribe(self, topic, partition, position, on_arrival) -> Subscription:
        self.subscriptions.append(Subscription(topic, partition, position, on_arrival))
        return self.subscriptions[-1]

    def hand_on(self, *batches: FollowedRecords) -> None:
        self.subscriptions[-1].waiting.extend(batches)
        self.subscriptions[-1].on_arrival()


def followed(first: int, *users: bytes) -> FollowedRecords:
    records = [FollowedRecord(first + place, user, b"") for place, user in enumerate(users)]
    return FollowedRecords(TOPIC, PARTITION, records, first + len(users))


@pytest.fixture
def following() -> NoReader:
    return NoReader(SessionFollower())


@pytest.fixture
async def open_lane(pipeline, failures, following) -> AsyncIterator[partial[Lane]]:
    lanes = []

    def open_lane(states) -> Lane:
        lanes.append(Lane(replace(pipeline, following=following), states, failures.append))
        return lanes[-1]

    yield open_lane
    pipeline.publisher.holds = False
    await pipeline.publisher.confirm()
    for lane in lanes:
        await lane.close()


def sessions(states, user: bytes) -> int:
    return int(states.record(user)["sequence"]["sessions"][0])


def restored_copy(pipeline, states):
    """States that are restored from what the changelog of others holds."""
    copy = states_of(pipeline, PARTITION, states.restored)
    produced = pipeline.publisher.on(TOPICS.changelog)
    copy.restore({one.record.key: one.record.value for one in produced})
    return copy


async def test_records_are_applied_once_and_their_position_is_restored_with_the_states(
    open_lane, pipeline, states, following
):
    lane = open_lane(states)
    await let_others_run()
    assert following.subscriptions[-1].position == 0
    following.hand_on(followed(0, b"a", b"b"), followed(1, b"b", b"a"))
    await pipeline.publisher.until(lambda: states.position(TOPIC) == 3)
    assert (sessions(states, b"a"), sessions(states, b"b")) == (2, 1)
    assert await lane.secure() is None  # of the events nothing is dealt with
    await lane.close()
    copy = restored_copy(pipeline, states)
    assert (sessions(copy, b"a"), sessions(copy, b"b"), copy.position(TOPIC)) == (2, 1, 3)
    open_lane(copy)
    await let_others_run()
    assert following.subscriptions[-1].position == 3


async def test_what_was_there_at_the_restore_is_applied_before_the_first_event(
    open_lane, pipeline, states, following, monkeypatch
):
    scored, score = [], Pipeline.score

    def scoring(pipeline, fetch, states):
        scored.append(sessions(states, b"u"))
        return score(pipeline, fetch, states)

    monkeypatch.setattr(Pipeline, "score", scoring)
    states.arrived = [followed(4, b"u")]
    await put(open_lane(states), Acks(), *fetches(1))
    await pipeline.publisher.until(lambda: bool(pipeline.publisher.on(TOPICS.scores)))
    assert scored == [1]
    assert following.subscriptions[-1].position == 5


async def test_what_another_partition_waits_for_is_written_without_a_commit_in_one_piece_with_its_states(
    open_lane, pipeline, states, following
):
    lane, publisher = open_lane(states), pipeline.publisher
    await put(lane, Acks(), *fetches(1))
    await publisher.until(lambda: bool(publisher.on(TOPICS.scores)))
    following.hand_on(followed(0, b"a"))
    await publisher.until(lambda: bool(publisher.on(TOPIC)))
    (told,) = publisher.on(TOPIC)
    assert (told.partition, told.record.key) == (OTHER_PARTITION, b"a")
    written = [one.record.key for one in publisher.on(TOPICS.changelog)]
    assert written == [NOTE + b"position followed", b"a"]  # what the event changed has time
    assert await lane.secure() == 1
    assert [one.record.key for one in publisher.on(TOPICS.changelog)][2:] == [b"u"]
    assert len(publisher.on(TOPIC)) == 1


async def test_what_a_cancelled_commit_did_not_begin_to_write_is_written_by_the_next(
    open_lane, pipeline, states, following
):
    lane, publisher = open_lane(states), pipeline.publisher
    publisher.holds = True
    await put(lane, Acks(), *fetches(1))
    await publisher.until(lambda: bool(publisher.on(TOPICS.scores)))
    following.hand_on(followed(0, b"a"))
    await let_others_run()
    securing = asyncio.create_task(lane.secure())
    await let_others_run()
    assert not states.has_outgoing
    securing.cancel()
    await asyncio.wait([securing])
    assert states.has_outgoing
    publisher.holds = False
    await publisher.confirm()
    assert await lane.secure() == 1
    assert len(publisher.on(TOPIC)) == 1
    assert {one.record.key for one in publisher.on(TOPICS.changelog)} == {NOTE + b"position followed", b"a", b"u"}


async def test_a_partition_without_events_is_followed_from_its_assignment_on(pipeline, states, failures, following):
    lanes = Lanes(failures.append)
    lanes.reopen(replace(pipeline, following=following), [states])
    await let_others_run()
    following.hand_on(followed(0, b"a"))
    await pipeline.publisher.until(lambda: bool(pipeline.publisher.on(TOPIC)))
    assert sessions(states, b"a") == 1
    await lanes.close()


async def test_a_lane_that_closes_leaves_what_waits_to_the_next_owner(open_lane, states, following):
    lane = open_lane(states)
    await let_others_run()
    await lane.close()
    following.hand_on(followed(0, b"a"))
    await let_others_run()
    assert states.position(TOPIC) == 0


async def test_a_failure_to_apply_records_fails_the_lane(open_lane, states, following, failures, monkeypatch):
    monkeypatch.setattr(SessionFollower, "apply", lambda *_: 1 / 0)
    open_lane(states)
    await let_others_run()
    following.hand_on(followed(0, b"a"))
    await let_others_run()
    assert [type(failure) for failure in failures] == [ZeroDivisionError]
    assert states.position(TOPIC) == 0


@pytest.fixture
def reading(mock_kafka, topic_prefix):
    topic = f"{topic_prefix}.followed"
    create(mock_kafka, [topic, f"{topic_prefix}.events"])
    reading = Following(mock_kafka, f"{topic_prefix}.events", [SessionFollower(topic)], lambda _: None, Liveness())
    yield reading
    reading.stop()


async def arrived(subscription: Subscription, count: int, arrival: asyncio.Event) -> list[int]:
    offsets = []
    while len(offsets) < count:
        await arrival.wait()
        arrival.clear()
        while subscription.waiting:
            offsets += [record.offset for record in subscription.waiting.popleft().records]
    return offsets


async def test_partitions_are_read_from_their_positions_and_again_by_the_next_subscriber(reading, mock_kafka):
    (topic,) = reading.followers
    write(mock_kafka, topic, 0, [OutputRecord(b"a", b"1")] * 5)
    arrivals = [asyncio.Event() for _ in range(3)]
    first = reading.subscribe(topic, 0, 2, arrivals[0].set)
    assert await arrived(first, 3, arrivals[0]) == [2, 3, 4]
    reading.unsubscribe(first)
    second = reading.subscribe(topic, 0, 4, arrivals[1].set)
    other = reading.subscribe(topic, 1, 0, arrivals[2].set)
    write(mock_kafka, topic, 0, [OutputRecord(b"a", b"1")])
    write(mock_kafka, topic, 1, [OutputRecord(b"b", b"1")])
    assert await arrived(second, 2, arrivals[1]) == [4, 5]
    assert await arrived(other, 1, arrivals[2]) == [0]


@pytest.mark.parametrize(
    ("position", "offsets", "after"), [(0, [0, 1, 2], 3), (2, [2], 3), (3, [], 3), (9, [0, 1, 2], 3)]
)
def test_what_a_partition_holds_is_read_from_the_position_or_from_the_beginning_of_a_new_topic(
    mock_kafka, topic_prefix, position, offsets, after
):
    topic = f"{topic_prefix}.followed"
    create(mock_kafka, [topic, f"{topic_prefix}.events"])
    write(mock_kafka, topic, 0, [OutputRecord(b"a", b"1", [("kind", b"claim")])] * 3)
    reader = PartitionReader(mock_kafka)
    found = read_followed(reader, topic, 0, position, f"{topic_prefix}.events")
    reader.close()
    assert ([record.offset for record in found.records], found.next_offset) == (offsets, after)
    assert all(record.headers == {"kind": b"claim"} for record in found.records)


class Written(SimpleNamespace):
    """A record as librdkafka hands it out."""

    def __init__(self, topic: str) -> None:
        super().__init__(error=lambda: None, topic=lambda: topic, partition=lambda: 0, offset=lambda: 0)
        self.key = self.value = self.headers = lambda: None


async def test_what_kafka_refuses_for_good_ends_the_worker(reading, monkeypatch):
    (topic,), failed = reading.followers, asyncio.get_running_loop().create_future()
    refused = SimpleNamespace(error=lambda: KafkaError(KafkaError.TOPIC_AUTHORIZATION_FAILED), topic=lambda: topic)
    consumer = SimpleNamespace(assign=lambda _: None, poll=lambda _: refused, consume=lambda *_: [], close=lambda: None)
    monkeypatch.setattr(following_module, "Consumer", lambda _: consumer)
    loop = asyncio.get_running_loop()
    reading._on_failure = lambda failure: loop.call_soon_threadsafe(failed.set_result, failure)
    reading.subscribe(topic, 0, 0, lambda: None)
    failure = await failed
    assert isinstance(failure, RefusedError)
    assert topic in str(failure)


async def test_what_arrives_while_kafka_does_not_say_where_the_events_end_is_handed_to_nobody_at_the_stop(
    reading, monkeypatch
):
    """A claim would take effect before the events that are there already."""
    (topic,), handed = reading.followers, []

    def away(*_, **__):
        reading._stop.set()
        raise KafkaException(KafkaError(KafkaError._TIMED_OUT))

    message = Written(topic)
    consumer = SimpleNamespace(assign=lambda _: None, poll=lambda _: message, consume=lambda *_: [], close=lambda: None)
    consumer.offsets_for_times = away
    monkeypatch.setattr(following_module, "Consumer", lambda _: consumer)
    monkeypatch.setattr(reading, "_hand_on", lambda *arguments: handed.append(arguments))
    reading.subscribe(topic, 0, 0, lambda: None)
    await asyncio.to_thread(reading._thread.join)
    assert handed == []
