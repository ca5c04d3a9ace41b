"""What is done once a commit: who was not seen for long, who has moved, and claims behind which nothing comes."""

from dataclasses import replace

import pytest

from service.forget import Request, digest, encoded
from streams.following import FollowedRecord, FollowedRecords
from streams.forgetting import ForgetFollower
from streams.identity import Identity, joined_to
from streams.lanes import Lane
from streams.messages import FORGOTTEN
from streams.observe.counts import WorkerCounts
from streams.sweep import Sweep
from tests.streams.fetches import PARTITION, TOPICS, Acks, event, fetch, put

NOW_MS = 1_800_000_000_000
DAY_MS = 86_400_000


@pytest.fixture
def counts() -> WorkerCounts:
    return WorkerCounts()


@pytest.fixture
def identity(pipeline, counts) -> Identity:
    topics = TOPICS.identity, TOPICS.forget
    return Identity(*topics, 4, pipeline.scoring.codec, counts, pipeline.timings, lambda: NOW_MS)


async def scored(pipeline, count: int) -> None:
    """Return when so many scores are published."""
    await pipeline.publisher.until(lambda: len(pipeline.publisher.on(TOPICS.scores)) >= count)


async def test_who_was_not_seen_for_long_begins_anew(pipeline, states, counts):
    after_ms = 1_700_000_000_000 + 1000 + DAY_MS
    sweep = Sweep(lambda: after_ms, counts, state_ms=DAY_MS)
    lane = Lane(replace(pipeline, sweep=sweep), states, [].append)
    acks = Acks()
    await put(lane, acks, fetch(event(0, "old"), event(1, "young")))
    await scored(pipeline, 2)
    await lane.secure()
    await put(lane, acks, fetch(event(2, "other"), first_offset=2))  # between two fetches is where it is done
    await scored(pipeline, 3)
    await lane.secure()
    await lane.close()
    assert (sorted(states), counts.expired_states) == ([b"other", b"young"], 1)
    written = pipeline.publisher.on(TOPICS.changelog)
    assert [each.record.value for each in written if each.record.key == b"old"][-1] is None


async def test_a_sweep_looks_at_some_slots_and_begins_again_after_the_last(pipeline, states):
    lane = Lane(pipeline, states, [].append)
    await put(lane, Acks(), *(fetch(event(number, f"u{number}"), first_offset=number) for number in range(5)))
    await scored(pipeline, 5)
    await lane.secure()
    await lane.close()
    after_ms = 1_700_000_000_000 + 10_000
    assert [states.expire(after_ms, slots_at_once=2) for _ in range(4)] == [2, 2, 1, 0]
    assert len(states) == 0


def test_who_is_forgotten_is_known_for_ever_unless_events_are_kept_for_a_time(states, counts):
    follower, request = ForgetFollower(TOPICS.forget, lambda: NOW_MS, counts), encoded(Request("r", NOW_MS - DAY_MS))
    with states.follow(
        FollowedRecords(TOPICS.forget, PARTITION, [FollowedRecord(0, digest(b"a"), request)], 1)
    ) as all_:
        follower.apply(all_, states)
    sweep = Sweep(lambda: NOW_MS, counts)
    sweep(states)
    replace(sweep, forgotten_ms=DAY_MS)(states)
    assert len(states.notes(FORGOTTEN)) == 1
    replace(sweep, forgotten_ms=DAY_MS - 1)(states)
    assert not states.notes(FORGOTTEN)


def claim(states, identity: Identity, *, events_end: int) -> None:
    """Let a user claim `device`."""
    headers = {"kind": b"claim", "time": NOW_MS.to_bytes(8), "sent": NOW_MS.to_bytes(8)}
    record = FollowedRecord(0, b"device", b"user", headers)
    with states.follow(FollowedRecords(TOPICS.identity, PARTITION, [record], 1, events_end)) as fresh:
        identity.apply(fresh, states)


async def device_seen(pipeline, states) -> None:
    """Score an event of `device`, at offset 0."""
    lane = Lane(pipeline, states, [].append)
    await put(lane, Acks(), fetch(event(0, "device")))
    await scored(pipeline, 1)
    await lane.close()


async def test_what_is_claimed_is_handed_over_where_only_markers_follow(pipeline, states, identity, counts):
    await device_seen(pipeline, states)
    claim(states, identity, events_end=2)
    asked = []

    def next_record(*range_: int) -> int:
        asked.append(range_)
        return range_[2]

    sweep = Sweep(lambda: NOW_MS, counts, identity=identity, next_record=next_record)
    sweep(states)
    assert (asked, joined_to(states, b"device")) == ([], None)  # events may be under way
    for _ in range(2):
        sweep(states)
    assert asked == [(PARTITION, 1, 2)]
    assert joined_to(states, b"device").user_id == "user"


@pytest.mark.parametrize("found", [1, 2])
async def test_a_claim_waits_for_a_record_that_kafka_has_or_may_have(pipeline, states, identity, counts, found):
    await device_seen(pipeline, states)
    claim(states, identity, events_end=3)
    sweep = Sweep(lambda: NOW_MS, counts, identity=identity, next_record=lambda *_: found)
    for _ in range(3):
        sweep(states)
    assert (joined_to(states, b"device"), states.dealt_with) == (None, found)


async def test_a_lane_writes_what_a_sweep_hands_over_before_the_next_commit(pipeline, states, identity, counts):
    await device_seen(pipeline, states)
    claim(states, identity, events_end=2)
    sweep = Sweep(lambda: NOW_MS, counts, identity=identity, next_record=lambda *range_: range_[2])
    states.swept = states.dealt_with
    lane = Lane(replace(pipeline, sweep=sweep), states, [].append)
    await lane.secure()
    await pipeline.publisher.until(lambda: pipeline.publisher.on(TOPICS.identity))
    await lane.close()
    assert [each.record.key for each in pipeline.publisher.on(TOPICS.identity)] == [b"user"]
