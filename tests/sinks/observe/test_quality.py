"""Figures of drift and calibration, by hand."""

import math

import pytest

from sinks.observe.quality import BINS, LogitBin, calibration_error, population_stability
from sinks.observe.samples import MIN_DRIFT_SCORES, calibration_of, drift_of


def test_the_same_distribution_has_not_shifted_whatever_its_size():
    counts = [100 * number for number in range(1, BINS + 1)]
    assert population_stability(counts, counts) == 0
    assert population_stability([10 * count for count in counts], counts) == pytest.approx(0, abs=1e-4)


def test_the_index_is_that_of_the_book_with_half_a_score_a_bin():
    found, reference = [90, 0] + [0] * 18, [40, 50] + [0] * 18
    shares = [((a + 0.5) / 100, (b + 0.5) / 100) for a, b in zip(found, reference, strict=True)]
    assert population_stability(found, reference) == pytest.approx(sum((p - q) * math.log(p / q) for p, q in shares))
    assert population_stability(found, reference) > 0.25


def test_probabilities_that_come_true_have_no_error():
    assert calibration_error([LogitBin(100, 10, 10.0), LogitBin(100, 50, 50.0)]) == 0


def test_the_error_is_the_mean_distance_over_bins_of_equal_counts():
    apart = [LogitBin(100, 10, 20.0), LogitBin(100, 50, 40.0)]
    assert calibration_error(apart) == pytest.approx((10 + 10) / 200)
    halves_of_one_bin = [LogitBin(1, 1, 0.5), LogitBin(1, 0, 0.5), LogitBin(998, 100, 100.0)]
    assert calibration_error(halves_of_one_bin) == 0


def test_too_few_scores_say_nothing_of_drift():
    few = [("m", "1h", 0, MIN_DRIFT_SCORES - 1, 5000), ("n", "1h", 0, MIN_DRIFT_SCORES, 0)]
    enough = [("n", "24h", 3, MIN_DRIFT_SCORES, 5000)]
    assert [(each.model, each.horizon) for each in drift_of(few + enough)] == [("n", "24h")]


def test_each_model_and_horizon_has_an_error_of_its_own():
    found = calibration_of([("m", "1h", -8, 10, 1, 2.0), ("m", "1h", 0, 10, 5, 5.0), ("n", "1h", 0, 0, 0, 0.0)])
    assert [(each.model, each.horizon, each.scores) for each in found] == [("m", "1h", 20)]
    assert found[0].error == pytest.approx(0.05)
