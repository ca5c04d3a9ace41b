import numpy as np
import pytest

from model.checkpoint import Calibration
from model.training.calibrate import fit_calibration, slopes_only


def labels_of(logits, random):
    return random.random(logits.shape) < 1 / (1 + np.exp(-logits))


def test_a_known_distortion_is_found():
    random = np.random.default_rng(1)
    honest = random.normal(-2, 1.5, (200_000, 2))
    distorted = (honest - [0.5, -1.0]) / [2.0, 0.5]
    calibration = fit_calibration(distorted, labels_of(honest, random), np.ones(honest.shape, np.bool_))
    assert calibration.slopes == pytest.approx([2.0, 0.5], rel=0.03)
    assert calibration.intercepts == pytest.approx([0.5, -1.0], abs=0.05)


def test_without_its_level_a_calibration_turns_around_the_mean_logit():
    logits = np.array([[-3.0, 0.0], [-1.0, 4.0]])
    kept = slopes_only(Calibration(slopes=(2.0, 0.5), intercepts=(9.0, -9.0)), logits)
    calibrated = logits * kept.slopes + kept.intercepts
    assert calibrated.mean(axis=0) == pytest.approx(logits.mean(axis=0))
    assert np.diff(calibrated, axis=0)[0] == pytest.approx([4.0, 2.0])


def test_unknown_labels_play_no_part():
    random = np.random.default_rng(1)
    logits = random.normal(-2, 1.5, (1000, 1))
    bought = labels_of(logits, random)
    known = random.random((1000, 1)) < 0.5
    assert fit_calibration(logits, bought, known) == fit_calibration(logits, bought ^ ~known, known)


@pytest.mark.parametrize("bought", [np.zeros((10, 1), np.bool_), np.ones((10, 1), np.bool_)])
def test_with_one_class_the_logits_stay_as_they_are(bought):
    calibration = fit_calibration(np.linspace(-1, 1, 10)[:, None], bought, np.ones((10, 1), np.bool_))
    assert (calibration.slopes, calibration.intercepts) == ((1.0,), (0.0,))


def test_a_perfect_separation_stays_finite():
    logits = np.array([[-2.0], [-1.0], [1.0], [2.0]])
    calibration = fit_calibration(logits, logits > 0, np.ones((4, 1), np.bool_))
    assert np.isfinite([*calibration.slopes, *calibration.intercepts]).all()


def test_logits_that_say_the_contrary_come_close_to_the_base_rate_and_keep_their_order():
    logits = np.random.default_rng(1).normal(0, 1, (20_000, 1))
    calibration = fit_calibration(logits, labels_of(-logits - 2, np.random.default_rng(2)), np.ones_like(logits, bool))
    assert 0 < calibration.slopes[0] < 0.1
    assert calibration.intercepts[0] == pytest.approx(-1.7, abs=0.2)


def test_few_users_do_not_overrule_the_model():
    random = np.random.default_rng(1)
    logits = random.normal(-2, 1, (5000, 1))
    noise = random.random((5000, 1)) < 0.1
    known = np.ones((5000, 1), np.bool_)
    many = fit_calibration(logits, noise, known, np.arange(5000))
    few = fit_calibration(logits, noise, known, np.arange(5000) % 20)
    assert many.slopes[0] < 0.2
    assert few.slopes[0] > 0.8


def test_a_small_slope_moves_no_level():
    random = np.random.default_rng(1)
    logits = random.normal(-2, 1, (20_000, 1))
    bought = random.random((20_000, 1)) < 0.1
    calibration = fit_calibration(logits, bought, np.ones((20_000, 1), np.bool_), np.arange(20_000) % 40)
    propensities = 1 / (1 + np.exp(-(logits * calibration.slopes[0] + calibration.intercepts[0])))
    assert propensities.mean() == pytest.approx(0.12, abs=0.03)
