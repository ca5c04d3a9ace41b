"""Partitions that were added: who moved away is let go, who was forgotten elsewhere is refused here."""

import hashlib

import pytest

from service.partitioner import partition_of
from streams.forgetting import is_forgotten
from streams.growth import STALE_MS, is_moving, let_go, settle_in
from streams.identity import JOINED
from streams.lanes import Lane
from tests.streams.fetches import PARTITION, Acks, event, fetch, put
from tests.streams.memory_publisher import states_of

NOW_MS = 1_800_000_000_000
FORGOTTEN_ELSEWHERE = {hashlib.sha256(b"gone").digest(): 7}


@pytest.fixture
async def known(pipeline, states):
    """Shoppers of the partition before and after it grew from 4 to 8, those of elsewhere among them."""
    users = [f"u{number}" for number in range(40)]
    lane = Lane(pipeline, states, [].append)
    await put(lane, Acks(), fetch(*(event(place, user) for place, user in enumerate(users))))
    await pipeline.publisher.until(lambda: len(states) == len(users))
    await lane.close()
    return [user.encode() for user in users]


def settle(states, partitions: int) -> None:
    settle_in(states, partitions, lambda: FORGOTTEN_ELSEWHERE)


async def test_who_moved_away_leaves_nothing_behind_and_others_stay(states, known):
    settle(states, 4)
    for user in known:
        states.note(JOINED, user, b"[]")
    settle(states, 8)
    states.events_end = states.dealt_with
    let_go(states, NOW_MS)
    assert sorted(states) == sorted(known)  # a producer may send more
    let_go(states, NOW_MS + STALE_MS)
    moved = {user for user in known if partition_of(user, 4) == PARTITION != partition_of(user, 8)}
    assert moved
    assert set(states) == set(states.notes(JOINED)) == set(known) - moved
    assert not is_moving(states)


async def test_who_moved_away_stays_while_there_is_something_of_theirs_to_deal_with(states, known):
    settle(states, 4)
    settle(states, 8)
    states.events_end = states.dealt_with + 1
    for now_ms in (NOW_MS, NOW_MS + STALE_MS):
        let_go(states, now_ms)
    assert sorted(states) == sorted(known)


async def test_who_moved_here_and_away_before_anybody_was_let_go_is_let_go_too(pipeline, states, known):
    for partitions in (4, 8):
        settle(states, partitions)
    restored = states_of(pipeline, PARTITION, states.restored)
    dirty = states.take_dirty()
    restored.restore({**dict(zip(dirty.users, dirty.values, strict=True)), **dirty.notes})
    settle(restored, 9)
    for now_ms in (NOW_MS, NOW_MS + STALE_MS):
        let_go(restored, now_ms)
    was_here = {user for user in known if PARTITION in (partition_of(user, 4), partition_of(user, 8))}
    assert set(restored) == {user for user in known if user not in was_here or partition_of(user, 9) == PARTITION}


async def test_who_moved_and_was_forgotten_where_they_are_now_is_not_kept(states, known):
    settle(states, 4)
    settle_in(states, 8, lambda: {hashlib.sha256(known[0]).digest(): 7})
    assert set(states) == set(known[1:])


async def test_who_was_forgotten_in_another_partition_is_refused_and_that_is_kept(pipeline, states):
    settle(states, 4)
    assert is_forgotten(states, b"gone")
    restored = states_of(pipeline, PARTITION, states.restored)
    restored.restore({key: value for key, value in states.take_dirty().notes.items() if value is not None})
    assert is_forgotten(restored, b"gone")
    settle_in(restored, 4, lambda: pytest.fail("the topic is read once"))


async def test_a_request_that_is_known_already_keeps_its_time(states):
    settle(states, 4)
    settle_in(states, 8, lambda: dict.fromkeys(FORGOTTEN_ELSEWHERE, 9))
    assert list(states.notes("forgotten").values()) == [b"7"]
