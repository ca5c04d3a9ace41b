"""What a lane does in the event loop, because it is little, and what it hands to a thread."""

import asyncio
from dataclasses import replace

import pytest

from model.core.slots import Distinct
from service.forget import Request, digest, encoded
from service.liveness import Liveness
from streams.following import FollowedRecord, FollowedRecords, Following
from streams.forgetting import ForgetFollower
from streams.lanes import Lane
from streams.observe.counts import WorkerCounts
from streams.pipeline import Pipeline
from tests.streams.conftest import ThisThread
from tests.streams.fetches import PARTITION, START_MS, TOPICS, Acks, event, fetch, fetches, put
from tests.streams.memory_publisher import let_others_run

SMALL_BYTES = 20_000


class NotingThread(ThisThread):
    """Remembers what it was given to do."""

    def __init__(self) -> None:
        self.done: list[str] = []

    def submit(self, work, *arguments):
        self.done.append(work.__name__)
        return super().submit(work, *arguments)


@pytest.fixture
async def small(pipeline) -> Pipeline:
    forget = ForgetFollower(TOPICS.forget, lambda: START_MS, WorkerCounts())
    following = Following({}, TOPICS.events, [forget], lambda _: None, Liveness())
    following.stop()  # what there is to follow has arrived
    return replace(pipeline, threads=NotingThread(), small_bytes=SMALL_BYTES, following=following)


@pytest.mark.parametrize(
    ("values", "in_thread"),
    [([event(0)], []), ([event(0), b"damaged" * SMALL_BYTES], ["score"]), ([event(0), *[b""] * 500], ["score"])],
)
async def test_only_a_small_fetch_is_scored_in_the_event_loop(small, states, failures, values, in_thread):
    lane = Lane(small, states, failures.append)
    await put(lane, Acks(), fetch(*values))
    await small.publisher.until(lambda: len(small.publisher.produced) == len(values))
    await lane.close()
    assert small.threads.done == in_thread


@pytest.mark.parametrize(("shoppers", "in_thread"), [(3, []), (1000, ["_apply_now"])])
async def test_one_request_to_forget_in_a_large_partition_goes_to_a_thread(
    small, states, failures, shoppers, in_thread
):
    keep(states, shoppers)
    request = FollowedRecord(0, digest(b"0"), encoded(Request("r", START_MS)))
    states.arrived = [FollowedRecords(TOPICS.forget, PARTITION, [request], 1)]
    lane = Lane(small, states, failures.append)
    await let_others_run()
    await lane.close()
    assert (len(states), states.position(TOPICS.forget), failures) == (shoppers - 1, 1, [])
    assert small.threads.done == in_thread


@pytest.mark.parametrize(("shoppers", "in_thread"), [(3, []), (10_000, ["changelog"])])
async def test_many_tombstones_are_encoded_in_a_thread(small, states, failures, shoppers, in_thread):
    keep(states, shoppers)
    states.take_dirty()
    states.remove(list(states))
    lane = Lane(small, states, failures.append)
    await lane.secure()
    await lane.close()
    assert len(small.publisher.on(TOPICS.changelog)) == shoppers
    assert [done for done in small.threads.done if done == "changelog"] == in_thread


async def test_states_of_a_commit_that_is_cancelled_once_they_are_encoded_are_written_once(small, states, failures):
    lane = Lane(small, states, failures.append)
    await put(lane, Acks(), *fetches(1))
    await small.publisher.until(lambda: bool(small.publisher.produced))
    securing = asyncio.create_task(lane.secure())
    await asyncio.sleep(0)
    assert not states.take_dirty().slots.size  # it has taken them, and gives way before it writes
    securing.cancel()
    await asyncio.wait([securing])
    assert small.publisher.on(TOPICS.changelog) == []
    assert await lane.secure() == 1
    await lane.close()
    assert len(small.publisher.on(TOPICS.changelog)) == 1


def keep(states, shoppers: int) -> None:
    users = Distinct.of([b"%d" % number for number in range(shoppers)])
    states.scatter(users, states.find(users), states._codec.blank(shoppers), 0)
