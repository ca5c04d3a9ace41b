"""The tables against slower and more obvious ways to find the same probabilities."""

from random import Random

import numpy as np
import pytest

from model.simulator import process, rhythm
from model.simulator.distributions import draw_gaps_s
from model.simulator.future import TABLE_STEP_S, purchase_tables
from model.simulator.process import Memory, Mood, Price, Segment

MONDAY_S = 1_767_571_200.0
MOODS = range(len(Mood))


def draw(random, shares):
    return random.choices(range(len(shares)), shares)[0]


def time_to_purchase_s(random, segment, price, mood, start_s):
    """Follow one shopper, step by step, from an event in a mood: (seconds to the next purchase, same visit?)."""
    now_s, same_visit, moves = start_s, True, process.price_moves()[segment]
    while now_s - start_s <= 86_400:
        following = draw(random, process.STEPS[segment, price, mood])
        if following in MOODS:
            median_s, shape = process.GAP_MEDIAN_S[segment, following], process.GAP_SHAPE[segment]
            now_s += float(draw_gaps_s(np.float64(random.random()), median_s, shape))
        else:
            same_visit = False
            memory = draw(random, process.MEMORY_AFTER[mood])
            wait_s = random.expovariate(process.VISITS_A_DAY[segment, memory] / rhythm.DAY_S)
            now_s = float(rhythm.when(rhythm.elapsed(np.float64(now_s + process.ABSENCE_S)) + wait_s))
            following = draw(random, process.FIRST_MOOD[segment, memory])
        mood, price = following, draw(random, moves[following, price])
        if mood == Mood.BOUGHT:
            return now_s - start_s, same_visit
    return np.inf, False


@pytest.mark.parametrize(
    ("segment", "price", "mood", "hour"),
    [
        (Segment.REGULAR, Price.ORDINARY, Mood.COMPARING, 20),
        (Segment.LOYAL, Price.PREMIUM, Mood.UNDECIDED, 9),
        (Segment.LOYAL, Price.ORDINARY, Mood.HAPPY, 6 * 24 + 23),
    ],
)
def test_shoppers_buy_as_often_as_the_tables_say(segment, price, mood, hour):
    random, count = Random(1), 2500
    start_s = MONDAY_S + hour * 3600
    found = [time_to_purchase_s(random, segment, price, mood, start_s) for _ in range(count)]
    times_s, same_visit = np.array(found).T
    frequencies = [same_visit.mean(), (times_s <= 3600).mean(), (times_s <= 86_400).mean()]
    expected = purchase_tables()[:, segment, price, mood, round(hour * 3600 / TABLE_STEP_S)]
    assert frequencies == pytest.approx(expected, abs=4 * 0.5 / np.sqrt(count))


@pytest.mark.parametrize("segment", [Segment.WINDOW, Segment.REGULAR, Segment.LOYAL])
def test_session_truth_solves_the_absorbing_chain(segment):
    """Kemeny and Snell, "Finite Markov Chains" (1960): h = (I - Q)^-1 r."""
    states = [(price, mood) for price in Price for mood in Mood]
    moves = process.price_moves()[segment]
    onward = np.array(
        [
            [
                process.STEPS[segment, price, mood, to_mood] * moves[to_mood, price, to_price]
                for to_price, to_mood in states
            ]
            for price, mood in states
        ]
    )
    buys = np.array([mood == Mood.BOUGHT for _, mood in states])
    hits = np.linalg.solve(np.eye(len(states)) - onward * ~buys, onward @ buys)
    assert purchase_tables()[0, segment, :, :, 0].ravel() == pytest.approx(hits, abs=1e-6)


def test_longer_horizons_are_more_likely():
    session, hour, day = purchase_tables()[:, : Segment.BOT]
    assert (day > hour).all()
    assert (np.maximum(session, hour) <= day).all()


def test_bots_never_buy():
    assert not purchase_tables()[:, Segment.BOT].any()


def test_what_is_cheap_is_bought_sooner():
    tables = purchase_tables()[:, : Segment.BOT, :, Mood.UNDECIDED]
    assert (tables[:, :, Price.ORDINARY] > 1.2 * tables[:, :, Price.PREMIUM]).all()


def test_who_is_disappointed_stays_away():
    day = purchase_tables()[2, : Segment.BOT]
    assert (day[:, :, Mood.UNHAPPY] < day[:, :, Mood.HAPPY] / 3).all()
    assert (process.VISITS_A_DAY[: Segment.BOT, Memory.SORE] < process.VISITS_A_DAY[: Segment.BOT, Memory.COLD]).all()
