import asyncio
from types import SimpleNamespace

import numpy as np
import pytest
from confluent_kafka import Consumer, TopicPartition
from faust.types import TP
from structlog.testing import capture_logs

from model.core.slots import Distinct
from model.states import StateCodec, StateLayoutError
from service.errors import RefusedError
from service.kafka_settings import Topics
from streams.following import read_followed
from streams.observe.counts import WorkerCounts
from streams.partition_states import Dirty, PartitionStates
from streams.records.writer import OutputRecord
from streams.tables import SequenceStore
from streams.topic_configs import topic_configs
from tests.streams.memory_publisher import MemoryChangelog, MemoryPublisher, let_others_run
from tests.streams.mock_topics import create, write

CODEC = StateCodec(carried_floats=4, model_code=1)


def record(offset: int):
    """A state that has seen a source offset `(1,)`."""
    states = CODEC.blank(1)
    states["sequence"]["offset"] = offset
    return states


def state(offset: int) -> bytes:
    return record(offset).tobytes()


def records(*offsets: int):
    return np.concatenate([record(offset) for offset in offsets])


def held(states: PartitionStates) -> dict[bytes, bytes]:
    return {user: states.record(user).tobytes() for user in states}


def as_dict(dirty: Dirty) -> dict[bytes, bytes]:
    return dict(zip(dirty.users, dirty.values, strict=True))


def put_states(states: PartitionStates, users, after, next_offset: int) -> None:
    distinct = Distinct.of(users)
    slots, _ = states.gather(distinct)
    states.scatter(distinct, slots, after, next_offset)


@pytest.fixture
async def states() -> PartitionStates:
    restored = asyncio.get_running_loop().create_future()
    restored.set_result(None)
    return PartitionStates(0, restored, CODEC, MemoryChangelog(MemoryPublisher()))


async def test_gathering_gives_copies_of_what_was_scattered_and_a_blank_one_for_a_new_user(states):
    put_states(states, [b"a", b"b"], records(1, 2), 7)
    gathered = states.gather(Distinct.of([b"b", b"new", b"a"]))[1]
    assert gathered.tobytes() == records(2, -1, 1).tobytes()
    gathered["sequence"]["offset"] = 9
    assert states.gather(Distinct.of([b"a", b"b"]))[1].tobytes() == records(1, 2).tobytes()
    assert states.record(b"new") is None
    assert states.next_offset == 7


async def test_states_of_any_number_of_users_are_kept(states):
    users = [b"%d" % number for number in range(5000)]
    for first in range(0, 5000, 700):
        some = users[first : first + 700]
        put_states(states, some, records(*range(first, first + len(some))), first)
    assert states.gather(Distinct.of(users[::-1]))[1]["sequence"]["offset"].tolist() == list(range(5000))[::-1]
    assert (len(states), list(states)) == (5000, users)


async def test_dirty_states_are_taken_once_as_they_are_now(states):
    put_states(states, [b"a", b"b"], records(1, 2), 1)
    put_states(states, [b"a"], records(3), 2)
    assert as_dict(states.take_dirty()) == {b"a": state(3), b"b": state(2)}
    assert as_dict(states.take_dirty()) == {}
    put_states(states, [b"b"], records(4), 3)
    assert as_dict(states.take_dirty()) == {b"b": state(4)}


async def test_states_that_were_not_written_after_all_are_dirty_again_as_they_are_by_then(states):
    put_states(states, [b"a", b"b"], records(1, 2), 1)
    taken = states.take_dirty()
    put_states(states, [b"a"], records(3), 2)
    states.mark_dirty(taken)
    assert as_dict(states.take_dirty()) == {b"a": state(3), b"b": state(2)}


async def test_removed_states_are_gone_at_once_and_from_the_changelog_with_the_next_write(states):
    put_states(states, [b"a", b"b", b"c"], records(1, 2, 3), 1)
    states.take_dirty()
    assert states.remove([b"a", b"c", b"unknown"]) == 2
    assert (held(states), len(states), states.record(b"a")) == ({b"b": state(2)}, 1, None)
    taken = states.take_dirty()
    assert (as_dict(taken), taken.notes) == ({}, {b"a": None, b"c": None})
    assert states.take_dirty().notes == {}


async def test_a_removed_user_leaves_nothing_in_memory_but_room_for_the_next_one(states):
    put_states(states, [b"a-long-name", b"b"], records(1, 2), 1)
    states.remove([b"a-long-name"])
    states.take_dirty()
    assert b"a-long-name" not in states._slots._keys.tobytes()
    put_states(states, [b"d", b"e"], records(4, 5), 2)
    assert held(states) == {b"b": state(2), b"d": state(4), b"e": state(5)}
    assert states._slots.end == 3


async def test_a_write_that_failed_is_taken_back_with_who_was_removed_before_and_since(states):
    put_states(states, [b"a", b"b", b"c"], records(1, 2, 3), 1)
    states.remove([b"a"])
    taken = states.take_dirty()
    states.remove([b"b"])
    states.mark_dirty(taken)
    again = states.take_dirty()
    assert (as_dict(again), again.notes) == ({b"c": state(3)}, {b"a": None, b"b": None})


class CrashRecorder(SimpleNamespace):
    """The part of the application that the store uses."""

    async def crash(self, reason: BaseException) -> None:
        self.reasons.append(reason)


@pytest.fixture
def app() -> CrashRecorder:
    return CrashRecorder(reasons=[], counts=WorkerCounts())


@pytest.fixture
def topics(mock_kafka, topic_prefix) -> Topics:
    topics = Topics(prefix=topic_prefix)
    create(mock_kafka, topic_configs(topics))
    return topics


@pytest.fixture
async def store(app, topics, mock_kafka):
    store = SequenceStore(
        "memory://", app, SimpleNamespace(name="sequences"), client_config=mock_kafka, topics=topics, codec=CODEC
    )
    yield store
    await store.on_stop()


@pytest.fixture
def put(mock_kafka, topics):
    def put(partition: int, **states: bytes) -> None:
        records = [OutputRecord(user.encode(), value) for user, value in states.items()]
        write(mock_kafka, topics.changelog, partition, records)

    return put


async def assign(store: SequenceStore, topics: Topics, *partitions: int, generation: int) -> None:
    """Tell the store what it owns: as Faust does, the changelogs' partitions too."""
    owned = {TP(topic, partition) for topic in (topics.events, topics.changelog) for partition in partitions}
    await store.on_rebalance(owned, set(), owned, generation)


async def restored(store: SequenceStore) -> None:
    await asyncio.gather(*(states.restored for states in store.partitions.values()))


async def test_an_assigned_partition_is_restored_from_its_changelog(store, topics, put):
    put(0, a=state(1), b=state(2))
    put(1, c=state(3))
    await assign(store, topics, 0, 1, generation=1)
    assert set(store.partitions) == {0, 1}
    restore = store.restore
    assert (store.restored, restore.under_way, restore.records, restore.remaining) == (False, True, 0, 3)
    await restored(store)
    assert (store.restored, restore.under_way, restore.records, restore.remaining) == (True, False, 3, 0)
    assert restore.seconds > 0
    assert held(store.partitions[0]) == {b"a": state(1), b"b": state(2)}
    assert held(store.partitions[1]) == {b"c": state(3)}
    assert as_dict(store.partitions[0].take_dirty()) == {}
    assert store.partitions[0].next_offset == 0


@pytest.mark.parametrize(("committed", "skipped"), [(3, 0), (4, 0), (5, 1), (8, 4), (10, 6), (2**40, 2**40 - 4)])
async def test_events_that_a_foreign_commit_leaves_out_are_named_and_counted(  # noqa: PLR0917
    store, topics, put, app, mock_kafka, committed, skipped
):
    """Of ten events the states know the first four."""
    write(mock_kafka, topics.events, 0, [OutputRecord(b"a", b"event")] * 10)
    put(0, a=state(1), b=state(3))
    stranger = Consumer({**mock_kafka, "group.id": topics.prefix})
    stranger.commit(offsets=[TopicPartition(topics.events, 0, committed)], asynchronous=False)
    stranger.close()
    with capture_logs() as logs:
        await assign(store, topics, 0, generation=1)
        await restored(store)
    assert app.counts.skipped == skipped
    told = [(line["first_offset"], line["last_offset"]) for line in logs if "not this application's" in line["event"]]
    assert told == ([(4, committed - 1)] if skipped else [])


async def test_a_foreign_commit_before_anything_was_scored_is_told_as_well(store, topics, app, mock_kafka):
    write(mock_kafka, topics.events, 0, [OutputRecord(b"a", b"event")] * 10)
    stranger = Consumer({**mock_kafka, "group.id": topics.prefix})
    stranger.commit(offsets=[TopicPartition(topics.events, 0, 7)], asynchronous=False)
    stranger.close()
    with capture_logs() as logs:
        await assign(store, topics, 0, generation=1)
        await restored(store)
    assert app.counts.skipped == 7
    assert [line["last_offset"] for line in logs if "not this application's" in line["event"]] == [6]


async def test_a_partition_is_fenced_before_it_is_read(store, topics, put, monkeypatch):
    put(0, a=state(1))
    read, fenced = store._read, []

    def read_fenced(states):
        starting = states.changelog._starting
        fenced.append(starting is not None and starting.done())
        return read(states)

    monkeypatch.setattr(store, "_read", read_fenced)
    await assign(store, topics, 0, generation=1)
    await restored(store)
    assert fenced == [True]


async def test_faust_is_told_that_there_is_nothing_left_to_recover(store, topics, put):
    put(0, a=state(1), b=state(2), c=state(3))
    await assign(store, topics, 0, 1, generation=1)
    assert store.persisted_offset(TP(topics.changelog, 0)) == 2
    assert store.persisted_offset(TP(topics.changelog, 1)) == -1
    assert store.persisted_offset(TP(topics.changelog, 2)) is None


async def test_a_partition_that_is_kept_keeps_its_states_and_one_that_is_lost_is_forgotten(store, topics, put):
    put(0, a=state(1))
    put(1, b=state(1))
    await assign(store, topics, 0, 1, generation=1)
    await restored(store)
    kept = store.partitions[0]
    put_states(kept, [b"new"], record(5), 6)
    put(0, new=state(5))
    await assign(store, topics, 0, 2, generation=2)
    await restored(store)
    assert store.partitions[0] is kept
    assert set(store.partitions) == {0, 2}
    assert b"b" not in store
    assert store.persisted_offset(TP(topics.changelog, 0)) == 1


async def test_after_a_generation_without_this_worker_every_partition_is_read_again(store, topics, put):
    put(0, a=state(1))
    await assign(store, topics, 0, generation=1)
    await restored(store)
    put(0, a=state(9))
    await assign(store, topics, 0, generation=3)
    await restored(store)
    assert held(store.partitions[0]) == {b"a": state(9)}


async def test_a_partition_that_another_worker_took_meanwhile_is_read_again(store, topics, put):
    put(0, a=state(1))
    await assign(store, topics, 0, generation=1)
    await restored(store)
    store.partitions[0].is_lost = True
    put(0, a=state(9))
    await assign(store, topics, 0, generation=2)
    await restored(store)
    assert held(store.partitions[0]) == {b"a": state(9)}


async def test_a_restore_that_a_rebalance_breaks_off_begins_anew(store, topics, put, app):
    put(0, a=state(1))
    await assign(store, topics, 0, generation=1)
    broken_off = store.partitions[0]
    await assign(store, topics, 0, generation=2)
    assert store.partitions[0] is not broken_off
    await restored(store)
    assert held(store.partitions[0]) == {b"a": state(1)}
    assert not broken_off.restored.done()
    assert app.reasons == []


async def test_a_restore_that_fails_crashes_the_application(store, topics, app, monkeypatch):
    failure = RefusedError("cannot read")
    crashed = asyncio.Event()

    def fail(_):
        raise failure

    async def crash(reason):
        app.reasons.append(reason)
        crashed.set()

    monkeypatch.setattr(store, "_read", fail)
    monkeypatch.setattr(app, "crash", crash)
    await assign(store, topics, 0, generation=1)
    await crashed.wait()
    assert app.reasons == [failure]
    assert not store.partitions[0].restored.done()


async def test_a_state_of_another_layout_crashes_the_application_before_anything_is_scored(store, topics, put, app):
    crashed = asyncio.Event()
    app.crash = lambda reason: app.reasons.append(reason) or asyncio.sleep(0, crashed.set())
    put(0, a=b"\xff" + bytes(3000))
    await assign(store, topics, 0, generation=1)
    await crashed.wait()
    assert [type(reason) for reason in app.reasons] == [StateLayoutError]
    assert not store.restored


async def test_the_store_is_one_mapping_over_its_partitions_that_only_lanes_write(store, topics, put):
    put(0, a=state(1))
    put(1, b=state(2), c=state(3))
    await assign(store, topics, 0, 1, generation=1)
    await restored(store)
    assert len(store) == 3
    assert set(store) == {b"a", b"b", b"c"}
    assert store[b"c"] == state(3)
    assert b"b" in store
    with pytest.raises(KeyError):
        store[b"nobody"]
    with pytest.raises(TypeError, match="written by lanes"):
        store[b"a"] = state(9)
    with pytest.raises(TypeError, match="written by lanes"):
        del store[b"a"]


async def test_a_revoked_worker_owns_nothing(store, topics, put):
    put(0, a=state(1))
    await assign(store, topics, 0, generation=1)
    await restored(store)
    await assign(store, topics, generation=2)
    assert store.partitions == {}
    assert len(store) == 0


async def test_what_is_followed_last_is_read_first(store, topics, monkeypatch):
    """So what comes between the two readings is in what is applied first: a claim before the word to forget."""
    followed, reads = [topics.identity, topics.forget], []

    def read_and_note(reader, topic, *arguments):
        reads.append(topic)
        return read_followed(reader, topic, *arguments)

    monkeypatch.setattr(store, "_followed", followed)
    monkeypatch.setattr("streams.tables.read_followed", read_and_note)
    await assign(store, topics, 0, generation=1)
    await restored(store)
    assert [each.topic for each in store.partitions[0].arrived] == followed
    assert reads == followed[::-1]


async def test_partitions_whose_transactions_kafka_does_not_begin_are_told_of(store, monkeypatch):
    monkeypatch.setattr("streams.tables._PATIENCE_SECONDS", 0)
    loop = asyncio.get_running_loop()

    class Waiting(MemoryChangelog):
        is_started = False

        async def start(self):
            await loop.create_future()

    waiting = [PartitionStates(number, loop.create_future(), CODEC, Waiting(MemoryPublisher())) for number in (1, 0)]
    with capture_logs() as logs:
        restoring = asyncio.create_task(store._restore(waiting))
        await let_others_run()
    restoring.cancel()
    (line,) = logs
    assert (line["partitions"], "cartcast doctor" in line["event"]) == ([0, 1], True)
