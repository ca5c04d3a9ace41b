import asyncio
import threading
from dataclasses import replace

import pytest
import torch

from model.inference import InferenceWorker, Scorer
from model.states import StateLayoutError
from service.errors import RefusedError
from streams.fenced import FencedError
from streams.lanes import Lane
from streams.scoring import Scoring
from tests.streams.fetches import PARTITION, SOURCE_CODE, TOPICS, Acks, fetches, put, source_offsets
from tests.streams.memory_publisher import let_others_run, states_of


class GatedScorer(Scorer):
    """Scores when the gate is open; `entered` says that a request waits at it."""

    def __init__(self, checkpoint, device) -> None:
        super().__init__(checkpoint, device)
        self.gate, self.entered = threading.Event(), threading.Event()
        self.failure: Exception | None = None

    def score(self, steps):
        self.entered.set()
        self.gate.wait()
        if self.failure:
            raise self.failure
        return super().score(steps)


def cannot_gather(_):
    raise StateLayoutError("of no layout that exists")


@pytest.fixture
async def gated(checkpoint, pipeline):
    scorer = GatedScorer(checkpoint, torch.device("cpu"))
    scorer.gate.set()
    worker = InferenceWorker(scorer, max_events=100)
    worker.start()
    scorer.gate.clear()
    scorer.entered.clear()
    scoring = Scoring(worker, pipeline.scoring.codec, SOURCE_CODE)
    yield scorer, replace(pipeline, scoring=scoring, threads=None)
    scorer.gate.set()
    worker.stop()


async def test_close_finishes_the_fetch_in_work_and_drops_the_queued_ones(gated, states, failures):
    scorer, pipeline = gated
    acks, lane = Acks(), Lane(pipeline, states, failures.append)
    feeding = asyncio.create_task(put(lane, acks, *fetches(4)))
    await asyncio.to_thread(scorer.entered.wait)
    await let_others_run()
    closing = asyncio.create_task(lane.close())
    await let_others_run()
    assert acks == []
    scorer.gate.set()
    await closing
    await feeding
    assert sorted(acks) == [0, 1, 2, 3]
    assert source_offsets(pipeline.publisher.produced) == [0]
    assert await lane.secure() == 1
    assert failures == []


async def test_a_lane_that_is_fenced_just_as_it_is_told_to_close_closes(pipeline, states, failures):
    lane = Lane(pipeline, states, failures.append)
    await let_others_run()
    closing = asyncio.create_task(lane.close())
    await asyncio.sleep(0)  # it is told, and has not heard
    lane._lose(FencedError("another worker has taken over"))
    await closing
    assert (states.is_lost, failures) == (True, [])


async def test_close_waits_for_the_confirmations(lane, pipeline):
    acks, publisher = Acks(), pipeline.publisher
    publisher.holds = True
    await put(lane, acks, *fetches(1))
    await publisher.until(lambda: len(publisher.produced) == 1)
    closing = asyncio.create_task(lane.close())
    await let_others_run()
    assert not closing.done()
    await publisher.confirm()
    await closing
    assert acks == [0]


async def test_a_lane_that_waits_for_its_states_closes_at_once_and_leaves_them_to_be_restored(pipeline, failures):
    restored = asyncio.get_running_loop().create_future()
    acks, lane = (
        Acks(),
        Lane(
            pipeline,
            states_of(pipeline, PARTITION, restored),
            failures.append,
        ),
    )
    await put(lane, acks, *fetches(2))
    await let_others_run()
    await lane.close()
    assert acks == [0, 1]
    assert not restored.done()
    assert await lane.secure() is None
    assert failures == []


async def test_a_lane_scores_once_its_states_are_restored(pipeline, failures):
    restored = asyncio.get_running_loop().create_future()
    states = states_of(pipeline, PARTITION, restored)
    lane = Lane(pipeline, states, failures.append)
    await put(lane, Acks(), *fetches(1, first=5))
    await let_others_run()
    assert pipeline.publisher.produced == []
    states.next_offset = 6
    restored.set_result(None)
    await put(lane, Acks(), *fetches(1, first=6))
    await pipeline.publisher.until(lambda: bool(pipeline.publisher.produced))
    await lane.close()
    assert source_offsets(pipeline.publisher.produced) == [6]


async def test_a_failed_lane_says_so_once_secures_nothing_and_closes_with_a_full_queue(pipeline, states, failures):
    acks = Acks()
    states.gather = cannot_gather
    lane = Lane(pipeline, states, failures.append)
    await put(lane, acks, *fetches(6))
    await lane.close()
    assert len(failures) == 1
    assert await lane.secure() is None
    assert pipeline.publisher.produced == []
    assert acks == [1, 2, 3, 4, 5]


async def test_a_failure_in_front_of_a_full_queue_frees_who_waits_for_room(gated, states, failures):
    scorer, pipeline = gated
    acks, lane = Acks(), Lane(pipeline, states, failures.append)
    feeding = asyncio.create_task(put(lane, acks, *fetches(4)))
    await asyncio.to_thread(scorer.entered.wait)
    await let_others_run()
    closing = asyncio.create_task(lane.close())
    scorer.failure = ValueError("no numbers today")
    scorer.gate.set()
    await closing
    await feeding
    assert acks == [1, 2, 3]
    assert failures == [scorer.failure]


async def test_a_failed_lane_lets_nobody_wait_for_confirmations_that_will_not_come(lane, pipeline, states, failures):
    publisher = pipeline.publisher
    publisher.holds = True
    await put(lane, Acks(), *fetches(1))
    await publisher.until(lambda: len(publisher.produced) == 1)
    securing = asyncio.create_task(lane.secure())
    await let_others_run()
    states.gather = cannot_gather
    await put(lane, Acks(), *fetches(1, first=1))
    assert await securing is None
    assert len(failures) == 1
    assert publisher.on(TOPICS.changelog) == []


async def test_a_delivery_that_fails_fails_the_lane(pipeline, states, failures):
    publisher = pipeline.publisher
    publisher.holds = True
    acks, lane = Acks(), Lane(pipeline, states, failures.append)
    await put(lane, acks, *fetches(1))
    await publisher.until(lambda: len(publisher.produced) == 1)
    await publisher.fail()
    assert await lane.secure() is None
    assert publisher.on(TOPICS.changelog) == []
    publisher.holds = False
    await put(lane, acks, *fetches(2, first=1))
    await lane.close()
    assert [type(failure) for failure in failures] == [RefusedError]
    assert await lane.secure() is None
    assert 0 not in acks


async def test_a_lane_whose_partition_another_worker_took_scores_no_more_and_waits_for_the_group(
    pipeline, states, failures
):
    acks, lane = Acks(), Lane(pipeline, states, failures.append)
    await put(lane, acks, *fetches(2))
    await pipeline.publisher.until(lambda: len(pipeline.publisher.produced) == 2)
    assert await lane.secure() == 2
    states.changelog.failure = FencedError("another worker has taken over partition 3")
    await put(lane, acks, *fetches(1, first=2))
    await pipeline.publisher.until(lambda: len(pipeline.publisher.on(TOPICS.scores)) == 3)
    assert await lane.secure() is None
    await put(lane, acks, *fetches(2, first=3))
    await let_others_run()
    await lane.close()
    assert (failures, states.is_lost) == ([], True)
    assert (pipeline.counts.fenced, pipeline.counts.fenced_scores) == (1, 1)
    assert source_offsets(pipeline.publisher.on(TOPICS.scores)) == [0, 1, 2]
    assert acks == [0, 1, 2, 3, 4]


async def test_a_group_that_never_tells_of_another_owner_ends_the_worker(pipeline, states, failures, monkeypatch):
    monkeypatch.setattr("streams.lanes._UNTOLD_SECONDS", 0.0)
    lane = Lane(pipeline, states, failures.append)
    states.changelog.failure = FencedError("another worker has taken over partition 3")
    await put(lane, Acks(), *fetches(1))
    await pipeline.publisher.until(lambda: len(pipeline.publisher.produced) == 1)
    assert await lane.secure() is None
    await asyncio.sleep(0.01)
    assert failures == [states.changelog.failure]
    await lane.close()
