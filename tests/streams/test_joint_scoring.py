import asyncio

import numpy as np
import pytest

from model.batch import batch_of
from model.events import Event
from model.inference import InferenceError
from streams.joint_scoring import JointScoring, Request
from tests.streams.fetches import START_MS


class CountingInference:
    """Counts how many times the model is asked."""

    def __init__(self, inference):
        self._inference = inference
        self.asked = 0
        self.failure = None

    def submit(self, steps):
        self.asked += 1
        answer = self._inference.submit(steps)
        if self.failure:
            answer = type(answer)()
            answer.set_exception(self.failure)
        return answer


@pytest.fixture
def counting(inference):
    return CountingInference(inference)


@pytest.fixture
def scoring(pipeline, counting) -> JointScoring:
    return JointScoring(counting, pipeline.scoring.codec, 1, pipeline.counts)


def request(scoring: JointScoring, partition: int, *users: str, repeat: int = 1) -> Request:
    """A request of one partition: an event of each of `users`, in that order, with the partition's own offsets."""
    events = [
        Event(event_id=f"e{partition}-{number}", user_id=user, type="view", ts=START_MS + 1000 * number * partition)
        for number, user in enumerate(users * repeat)
    ]
    distinct = list(dict.fromkeys(users))
    index = np.array([distinct.index(event.user_id) for event in events], np.int64)
    return Request(scoring.codec.gather([None] * len(distinct)), index, batch_of(events), np.arange(len(events)))


def three_requests(scoring: JointScoring) -> list[Request]:
    return [request(scoring, 1, "b", "a", "b"), request(scoring, 2, "a"), request(scoring, 3, "c", "d", "a", repeat=2)]


async def test_requests_of_one_moment_are_scored_together_as_each_alone(scoring, counting):
    alone = [await scoring.score(one) for one in three_requests(scoring)]
    assert counting.asked == 3
    together = await asyncio.gather(*map(scoring.score, three_requests(scoring)))
    assert counting.asked == 4
    for one, other in zip(alone, together, strict=True):
        assert one.rows.tolist() == other.rows.tolist()
        np.testing.assert_allclose(one.propensities, other.propensities, atol=1e-6)
        for field in ("sequence", "carried"):
            before, after = one.states[field], other.states[field]
            if field == "sequence":
                assert before.tobytes() == after.tobytes()
            else:
                np.testing.assert_allclose(before, after, atol=1e-5)


async def test_rows_are_sorted_by_user_and_count_within_their_own_batch(scoring):
    first, second, third = await asyncio.gather(*map(scoring.score, three_requests(scoring)))
    assert first.rows.tolist() == [0, 2, 1]
    assert second.rows.tolist() == [0]
    assert third.rows.tolist() == [0, 3, 1, 4, 2, 5]
    assert [len(answer.states) for answer in (first, second, third)] == [2, 1, 3]


async def test_a_request_of_which_nothing_is_accepted_gets_its_own_empty_answer(scoring, pipeline):
    one, other = request(scoring, 1, "a"), request(scoring, 2, "a", "b")
    seen = await scoring.score(one)
    again = Request(seen.states, one.users, one.batch, one.offsets + 5)
    empty = request(scoring, 3)
    nothing, scored, none = await asyncio.gather(*map(scoring.score, (again, other, empty)))
    assert (len(nothing.rows), len(scored.rows), len(none.rows)) == (0, 2, 0)
    assert nothing.propensities.shape == (0, 3)
    assert pipeline.counts.duplicates == 1


async def test_a_large_request_waits_for_nobody(scoring, counting):
    large = request(scoring, 1, "a", "b", repeat=300)
    scoring_small = asyncio.create_task(scoring.score(request(scoring, 2, "a")))
    await asyncio.sleep(0)
    scoring_large = asyncio.create_task(scoring.score(large))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert counting.asked == 1  # both, at once: without the pause in which the small one waited for company
    assert len((await scoring_large).rows) == 600
    assert len((await scoring_small).rows) == 1


async def test_a_failure_reaches_everybody_and_ends_with_the_group(scoring, counting):
    counting.failure = InferenceError("not finite")
    answers = await asyncio.gather(*map(scoring.score, three_requests(scoring)), return_exceptions=True)
    assert answers == [counting.failure] * 3
    counting.failure = None
    assert len((await scoring.score(request(scoring, 1, "a"))).rows) == 1


async def test_who_gives_up_leaves_the_others_their_answers(scoring):
    first, second, third = (asyncio.create_task(scoring.score(one)) for one in three_requests(scoring))
    await asyncio.sleep(0)
    second.cancel()
    assert len((await first).rows) == 3
    assert len((await third).rows) == 6
    with pytest.raises(asyncio.CancelledError):
        await second
