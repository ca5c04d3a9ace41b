import numpy as np
import pytest

from model.simulator import process, rhythm
from model.simulator.distributions import draw_gaps_s, gap_cdf, gap_density


def test_distributions_add_up():
    tables = (process.STEPS, process.FIRST_MOOD, process.SHOWS[: process.Segment.BOT], process.MEMORY_AFTER)
    for table in (*tables, process.price_moves()):
        assert table.sum(axis=-1) == pytest.approx(np.ones(table.shape[:-1]))
    assert process.SEGMENT_SHARES.sum() == pytest.approx(1)
    assert process.PRICE_SHARES.sum() == pytest.approx(1)
    assert rhythm.RATES.mean() == pytest.approx(1)


def test_gaps_follow_their_distribution_function():
    uniform = np.linspace(0.001, 0.999, 50)
    gaps_s = draw_gaps_s(uniform, np.full(50, 30.0), np.full(50, 1.9))
    assert gap_cdf(gaps_s, np.float64(30.0), np.float64(1.9)) == pytest.approx(uniform)


def test_the_density_is_the_slope_of_the_distribution_function():
    seconds = np.array([2.0, 30.0, 400.0])
    around = [gap_cdf(seconds + shift, np.float64(30.0), np.float64(1.9)) for shift in (-0.01, 0.01)]
    assert gap_density(seconds, np.float64(30.0), np.float64(1.9)) == pytest.approx(
        (around[1] - around[0]) / 0.02, rel=1e-4
    )


def test_the_rhythms_time_can_be_turned_back():
    times_s = np.array([0.0, 1.5e9, 1.767e9, 1.767e9 + 3 * 86_400 + 17])
    assert rhythm.when(rhythm.elapsed(times_s)) == pytest.approx(times_s, abs=1e-3)
