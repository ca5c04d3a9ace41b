import numpy as np
import pytest

from model.evaluation.next_items.metrics import LISTED, METRICS, gains, place, replicate_means

EVERYTHING = np.ones(4, np.bool_)
NOT_POPULAR = np.zeros(4, np.int64)


def placed(scores, target, candidates=EVERYTHING, popularity=NOT_POPULAR):
    return place(np.array([scores], np.float32), np.array([target]), candidates, popularity)


def test_the_rank_is_among_all_candidates():
    assert placed([0.1, 0.4, 0.3, 0.2], 2).ranks == [2]
    assert placed([0.1, 0.4, 0.3, 0.2], 2, np.array([True, False, True, True])).ranks == [1]


def test_a_tie_is_ordered_by_popularity_and_else_against_the_target():
    assert placed([0.5, 0.5, 0.5, 0.1], 0).ranks == [3]
    assert placed([0.5, 0.5, 0.5, 0.1], 0, popularity=np.array([7, 9, 7, 0])).ranks == [3]
    assert placed([0.5, 0.5, 0.5, 0.1], 0, popularity=np.array([8, 9, 7, 0])).ranks == [2]


@pytest.mark.parametrize("score", [-np.inf, np.nan])
def test_what_is_never_recommended_is_missed(score):
    found = placed([0.5, score, 0.2, -np.inf], 1)
    assert found.ranks == [np.inf]
    assert found.listed[0, :3].tolist() == [0, 2, -1]


def test_a_target_that_is_no_candidate_is_missed():
    assert placed([0.1, 0.9, 0.2, 0.3], 1, np.array([True, False, True, True])).ranks == [np.inf]


def test_the_list_is_that_of_a_sort():
    random = np.random.default_rng(3)
    scores = random.integers(0, 40, (50, 300)).astype(np.float32)
    popularity = random.permutation(300)
    candidates = random.random(300) < 0.8
    found = place(scores, np.zeros(50, np.int64), candidates, popularity)
    for row, listed in zip(scores, found.listed, strict=True):
        order = [item for item in np.lexsort((-popularity, -row)) if candidates[item]]
        assert listed.tolist() == order[:LISTED]


def test_the_gains_are_those_of_the_definitions():
    values = dict(zip(METRICS, gains(np.array([1.0, 7.0, 30.0, np.inf])).T, strict=True))
    assert values["recall_5"].tolist() == [1, 0, 0, 0]
    assert values["recall_10"].tolist() == [1, 1, 0, 0]
    assert values["mrr_10"].tolist() == [1, 1 / 7, 0, 0]
    assert values["ndcg_20"].tolist() == [1, 1 / 3, 0, 0]


def test_resamples_draw_whole_units_and_the_same_for_all_columns():
    random = np.random.default_rng(1)
    units = np.repeat(np.arange(200), 5)
    one = np.repeat(random.random(200), 5)  # equal within a unit: as good as 200 independent values
    means = replicate_means(np.stack([one, one + 0.1], axis=1), units, 400, seed=1)
    assert means.shape == (400, 2)
    assert np.std(means[:, 0]) == pytest.approx(np.std(one) / np.sqrt(200), rel=0.15)
    assert np.ptp(means[:, 1] - means[:, 0]) == pytest.approx(0, abs=1e-12)
    assert (replicate_means(np.stack([one, one + 0.1], axis=1), units, 400, seed=1) == means).all()


def test_a_single_unit_cannot_be_resampled():
    assert replicate_means(np.ones((3, 2)), np.zeros(3, np.int64), 10, seed=1).shape == (0, 2)
