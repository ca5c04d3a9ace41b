"""Partitions that were added: who moved away is let go, who was forgotten elsewhere is refused here."""

import hashlib

import pytest

from service.partitioner import partition_of
from streams.forgetting import is_forgotten
from streams.growth import settle_in
from streams.identity import JOINED
from streams.lanes import Lane
from tests.streams.fetches import PARTITION, Acks, event, fetch, put
from tests.streams.memory_publisher import states_of

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
    settle_in(states, partitions, lambda: FORGOTTEN_ELSEWHERE, (JOINED,))


async def test_who_moved_away_leaves_nothing_behind_and_others_stay(states, known):
    settle(states, 4)
    assert sorted(states) == sorted(known)
    for user in known:
        states.note(JOINED, user, b"[]")
    settle(states, 8)
    moved = {user for user in known if partition_of(user, 4) == PARTITION != partition_of(user, 8)}
    assert moved
    assert set(states) == set(states.notes(JOINED)) == set(known) - moved


async def test_who_was_forgotten_in_another_partition_is_refused_and_that_is_kept(pipeline, states):
    settle(states, 4)
    assert is_forgotten(states, b"gone")
    restored = states_of(pipeline, PARTITION, states.restored)
    restored.restore({key: value for key, value in states.take_dirty().notes.items() if value is not None})
    assert is_forgotten(restored, b"gone")
    settle_in(restored, 4, lambda: pytest.fail("the topic is read once"), ())


async def test_a_request_that_is_known_already_keeps_its_time(states):
    settle(states, 4)
    settle_in(states, 8, lambda: dict.fromkeys(FORGOTTEN_ELSEWHERE, 9), ())
    assert list(states.notes("forgotten").values()) == [b"7"]
