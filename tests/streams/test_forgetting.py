"""Forgetting in a lane: states that are gone, events that are refused, and for how long."""

import pytest

from service.forget import REQUESTS_AT_ONCE, STATES, Done, Request, digest, done_of, encoded
from streams.following import FollowedRecord, FollowedRecords, Subscription
from streams.forgetting import ForgetFollower, expire_forgotten
from streams.lanes import Lane
from streams.messages import FORGOTTEN
from streams.observe.counts import WorkerCounts
from tests.streams.fetches import PARTITION, TOPICS, Acks, event, fetch, put
from tests.streams.memory_publisher import states_of

NOW_MS = 1_800_000_000_000


def asked(first: int, *users: bytes, requested_at: int = NOW_MS) -> FollowedRecords:
    value = encoded(Request("r", requested_at))
    records = [FollowedRecord(first + place, digest(user), value) for place, user in enumerate(users)]
    return FollowedRecords(TOPICS.forget, PARTITION, records, first + len(users))


@pytest.fixture
def counts() -> WorkerCounts:
    return WorkerCounts()


@pytest.fixture
def forget(counts):
    follower = ForgetFollower(TOPICS.forget, lambda: NOW_MS, counts)

    def forget(states, records: FollowedRecords) -> None:
        with states.follow(records) as fresh:
            if fresh is not None:
                follower.apply(fresh, states)

    return forget


async def scored(pipeline, count: int) -> None:
    """Return when so many scores are published."""
    await pipeline.publisher.until(lambda: len(pipeline.publisher.on(TOPICS.scores)) >= count)


async def test_states_are_gone_and_that_is_said_in_the_transaction_of_the_tombstones(pipeline, states, counts, forget):
    lane = Lane(pipeline, states, [].append)
    await put(lane, Acks(), fetch(event(0, "a"), event(1, "b"), event(2, "c")))
    await scored(pipeline, 3)
    await lane.secure()
    forget(states, asked(0, b"a", b"c", b"unknown"))
    assert (list(states), counts.forgotten_states) == ([b"b"], 2)
    taken = states.take_dirty(urgent=True)
    assert {key: value for key, value in taken.notes.items() if key in {b"a", b"c"}} == {b"a": None, b"c": None}
    (said,) = taken.outgoing
    assert (said.topic, said.partitions.tolist()) == (TOPICS.forget, [PARTITION])
    (record,) = said.records
    assert done_of(record.key, record.value) == (STATES, Done(2, {"r": {STATES: 2}}, NOW_MS))
    states.mark_dirty(taken)
    await lane.close()


async def test_a_worker_killed_between_a_request_and_the_changelog_leaves_it_to_the_next_owner(
    pipeline, states, forget
):
    lane = Lane(pipeline, states, [].append)
    await put(lane, Acks(), fetch(event(0, "a"), event(1, "b")))
    await scored(pipeline, 2)
    await lane.secure()
    await lane.close()
    forget(states, asked(0, b"a"))  # and nothing of it is written
    values = {each.record.key: each.record.value for each in pipeline.publisher.on(TOPICS.changelog)}
    restored = states_of(pipeline, PARTITION, states.restored)
    restored.restore({key: value for key, value in values.items() if value is not None})
    assert (sorted(restored), restored.position(TOPICS.forget)) == ([b"a", b"b"], 0)
    forget(restored, asked(0, b"a"))
    forget(restored, asked(0, b"a"))  # once more, as if the position were old: nothing is done again
    taken = restored.take_dirty(urgent=True)
    ((record,),) = (each.records for each in taken.outgoing)
    assert list(restored) == [b"b"]
    assert done_of(record.key, record.value)[1].removed == {"r": {STATES: 1}}


def test_a_million_requests_are_applied_some_thousand_at_a_time_and_told_in_records_that_kafka_takes(states, forget):
    subscription = Subscription(TOPICS.forget, PARTITION, 0, lambda: None)
    each = REQUESTS_AT_ONCE // 4
    for first in range(0, 6 * each, each):
        subscription.waiting.append(asked(first, *(b"%d" % number for number in range(first, first + each))))
    taken = [subscription.take(REQUESTS_AT_ONCE) for _ in range(2)]
    assert [(len(some.records), some.next_offset) for some in taken] == [(4 * each, 4 * each), (2 * each, 6 * each)]
    whole = FollowedRecords(TOPICS.forget, PARTITION, [*taken[0].records, *taken[1].records], 6 * each)
    forget(states, whole)
    (taken,) = states.take_dirty(urgent=True).outgoing
    said = [done_of(record.key, record.value)[1] for record in taken.records]
    assert [done.through for done in said] == [4 * each - 1, 6 * each - 1]


async def test_what_was_said_and_what_is_no_request_change_nothing(states, counts, forget):
    said = [FollowedRecord(0, STATES.encode(), encoded(Done(0, {}, 1))), FollowedRecord(1, b"a", b"a")]
    forget(states, FollowedRecords(TOPICS.forget, PARTITION, said, 2))
    assert (states.position(TOPICS.forget), states.has_outgoing, counts.forgotten_states) == (2, False, 0)


async def test_events_of_the_forgotten_are_refused_without_content_also_after_a_restore(pipeline, states, forget):
    lane = Lane(pipeline, states, [].append)
    await put(lane, Acks(), fetch(event(0, "a"), event(1, "b")))
    await scored(pipeline, 2)
    await lane.secure()
    forget(states, asked(0, b"a"))
    await lane.secure()
    await lane.close()
    restored = states_of(pipeline, PARTITION, states.restored)
    written = pipeline.publisher.on(TOPICS.changelog)
    values = {each.record.key: each.record.value for each in written}
    restored.restore({key: value for key, value in values.items() if value is not None})
    assert list(restored) == [b"b"]

    again = Lane(pipeline, restored, [].append)
    broken = b'{"event_id": "e", "user_id": "a", "type": "view"}'
    await put(again, Acks(), fetch(event(2, "a"), event(3, "b"), broken, event(4, "c"), first_offset=2))
    await scored(pipeline, 4)
    await again.secure()
    await again.close()
    scores = [each.record.key for each in pipeline.publisher.on(TOPICS.scores)]
    assert scores == [b"a", b"b", b"b", b"c"]
    letters = pipeline.publisher.on(TOPICS.dead_letters)
    assert [(each.record.key, each.record.value) for each in letters] == [(None, None)] * 2
    assert [each.headers["reason"] for each in letters] == [FORGOTTEN.encode()] * 2
    assert [each.headers["offset"] for each in letters] == [b"2", b"4"]
    assert sorted(restored) == [b"b", b"c"]


def test_the_forgotten_are_refused_until_no_event_of_theirs_can_be_on_the_topic(states, forget):
    forget(states, asked(0, b"a", requested_at=NOW_MS - 1))
    forget(states, asked(1, b"b", requested_at=NOW_MS))
    expire_forgotten(states, NOW_MS)
    assert [key.hex().encode() for key in states.notes(FORGOTTEN)] == [digest(b"b")]
