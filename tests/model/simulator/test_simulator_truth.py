"""The oracle against what the shoppers then do, and against every hidden path there is."""

from collections import defaultdict
from dataclasses import replace
from itertools import product

import numpy as np
import pytest

from model.batch import batch_of
from model.horizons import HORIZONS
from model.metrics import log_loss
from model.simulator import process, rhythm, simulate, vocabulary
from model.simulator.distributions import gap_density
from model.simulator.future import TABLE_STEP_S, purchase_tables
from model.simulator.population import Observations
from model.simulator.process import Memory, Mood, Price, Segment, Symbol
from model.simulator.truth import Oracle
from model.simulator.wording import MOST_PLACES, PLACES, RATINGS
from model.training.labels import label_events

START_MS = 1_767_571_200_000
DAY_MS = 86_400_000


def truths(events):
    return np.array([(event.true_session, event.true_1h, event.true_24h) for event in events])


@pytest.fixture(scope="module")
def labelled(distinct):
    """The events' users, whether they bought within each horizon, and whether that is known."""
    batch = batch_of(distinct)
    users = np.unique(batch.user_ids, return_inverse=True)[1]
    is_purchase = np.array([event.type == "purchase" for event in distinct])
    labels = label_events(users, batch.event_time_ms, is_purchase, HORIZONS)
    return users, labels.bought, labels.known_by(batch.event_time_ms.max() - DAY_MS)


@pytest.mark.parametrize("horizon", range(len(HORIZONS)))
def test_the_truth_is_calibrated(distinct, labelled, horizon):
    """Of the events with a true propensity of about p, a share p is followed by a purchase."""
    users, bought, known = (column if column.ndim == 1 else column[:, horizon] for column in labelled)
    truth, bought, users = truths(distinct)[known, horizon], bought[known], users[known]
    assert len(truth) > 100_000
    for part in np.array_split(np.argsort(truth), 10):
        # Events of one shopper share their fate: the deviation is counted over shoppers.
        surprise = np.bincount(users[part], weights=bought[part] - truth[part])
        assert abs(surprise.sum()) < 4 * np.sqrt((surprise**2).sum())


@pytest.mark.parametrize("kind", ["search", "review", "view", "cart"])
def test_the_truth_is_calibrated_by_type_of_event(distinct, labelled, kind):
    users, bought, known = labelled
    rows = known.all(axis=1) & np.array([event.type == kind for event in distinct])
    surprise = np.bincount(users[rows], weights=(bought - truths(distinct))[rows, 2])
    assert abs(surprise.sum()) < 4 * np.sqrt((surprise**2).sum())


@pytest.fixture(scope="module")
def without_words(simulated_settings):
    """The same events with the truth of an oracle that reads no words."""
    events = simulate(replace(simulated_settings, truth_reads_words=False))
    return list({event.event_id: event for event in events}.values())


@pytest.mark.parametrize("horizon", range(len(HORIZONS)))
def test_who_reads_the_words_knows_more(distinct, without_words, labelled, horizon):
    """The known effect of words: the same events, the same labels, an oracle that reads and one that does not."""
    _, bought, known = labelled
    bought, known = bought[known[:, horizon], horizon], known[:, horizon]
    reads, does_not = (log_loss(truths(events)[known, horizon], bought) for events in (distinct, without_words))
    assert reads < 0.995 * does_not


def test_the_truth_tells_buyers_from_others(distinct):
    truth = defaultdict(list)
    for event in distinct:
        truth[event.type].append(event.true_session)
    means = {name: np.mean(found) for name, found in truth.items()}
    assert means["checkout"] > 0.5
    assert means["checkout"] > means["cart"] > means["favorite"] > means["view"]


@pytest.mark.parametrize(
    ("kind", "high", "low"),
    [("search", "buy", "ideas"), ("search", "coupon", "photos"), ("review", "great", "awful")],
)
def test_words_move_the_truth_in_every_language(distinct, kind, high, low):
    for language, name in enumerate(vocabulary.LANGUAGES):
        translated = vocabulary.translations(language)
        texts = [e for e in distinct if e.type == kind and e.context["language"] == name]
        with_high, with_low = (
            [event.true_24h for event in texts if translated[word] in event.text.split()] for word in (high, low)
        )
        assert np.mean(with_high) > 1.3 * np.mean(with_low)


def test_a_bot_gives_itself_away(distinct):
    """The oracle does not know who is a bot, but nobody else clicks ten times in half a minute."""
    times = defaultdict(list)
    for event in sorted(distinct, key=lambda event: event.ts):
        times[event.user_id].append((event.ts, event.true_24h))
    bots = [rows for rows in times.values() if len(rows) > 30 and np.median(np.diff([ts for ts, _ in rows])) < 5000]
    assert all(rows[0][1] > 0.02 for rows in bots)
    assert all(rows[-1][1] < 0.002 for rows in bots)


HISTORY = [  # (seconds since start, first of a visit, symbol, price, words, stars)
    (7200.0, True, Symbol.VIEW_NEW, Price.PREMIUM, [0, 0, 0], 0),
    (7255.0, False, Symbol.SEARCH, Price.PREMIUM, [6, 3, 0], 0),
    (7300.0, False, Symbol.VIEW_NEW, Price.ORDINARY, [0, 0, 0], 0),
    (90_000.0, True, Symbol.VIEW_NEW, Price.ORDINARY, [0, 0, 0], 0),
    (90_030.0, False, Symbol.SEARCH, Price.ORDINARY, [8, 8, 0], 0),
]


def weight(segment, moods, memories):
    """Return the probability (density) of one hidden path together with the history, factor by factor."""
    result, before_s, price_before, visit = process.SEGMENT_SHARES[segment], 0.0, None, 0
    for number, (time_s, is_first, symbol, price, words, _) in enumerate(HISTORY):
        mood, previous = moods[number], moods[number - 1] if number else None
        if number == 0:
            rate = process.VISITS_A_DAY[segment, Memory.COLD] / 86_400
            waited_s = rhythm.elapsed(START_MS / 1000 + time_s) - rhythm.elapsed(np.float64(START_MS / 1000))
            newcomer = process.NEWCOMER_SHARE / (process.NEWCOMER_DAYS * 86_400)
            result *= (1 - process.NEWCOMER_SHARE) * rate * np.exp(-rate * waited_s) + newcomer
            result *= process.FIRST_MOOD[segment, Memory.COLD, mood] * process.PRICE_SHARES[price]
        elif is_first:
            memory, visit = memories[visit], visit + 1
            result *= process.STEPS[segment, price_before, previous, -1] * process.MEMORY_AFTER[previous, memory]
            rate = process.VISITS_A_DAY[segment, memory] / 86_400
            ends_s = np.array([before_s + process.ABSENCE_S, time_s]) + START_MS / 1000
            result *= rate * np.exp(-rate * np.diff(rhythm.elapsed(ends_s))[0])
            result *= process.FIRST_MOOD[segment, memory, mood]
        else:
            result *= process.STEPS[segment, price_before, previous, mood]
            median_s, shape = process.GAP_MEDIAN_S[segment, mood], process.GAP_SHAPE[segment]
            result *= float(gap_density(np.float64(time_s - before_s), median_s, shape))
        if number:
            result *= process.SHOWS[segment, mood, symbol]
            if symbol == Symbol.VIEW_NEW:
                keeps = mood == Mood.UNDECIDED
                result *= float(price == price_before) if keeps else process.PRICE_SHARES[price]
        for place, word in zip(PLACES.get(symbol, ()), words, strict=False):
            result *= place.shares[mood, word]
        before_s, price_before = time_s, price
    return result


def test_the_filter_equals_the_sum_over_all_hidden_paths():
    likely = [Mood.IDLE, Mood.INTERESTED, Mood.COMPARING, Mood.UNDECIDED]  # who else shows a view or a search: nobody
    total, expected, last_s = 0.0, np.zeros(3), HISTORY[-1][0]
    for segment in Segment:
        for moods in product(likely, repeat=len(HISTORY)):
            path = sum(weight(segment, moods, [memory]) for memory in Memory)
            step = (last_s / TABLE_STEP_S) % (rhythm.WEEK_S / TABLE_STEP_S)
            before, after = (purchase_tables()[:, segment, 0, moods[-1], int(step) + shift] for shift in (0, 1))
            total += path
            expected += path * (before + (after - before) * (step % 1))
    oracle = Oracle(users=1, start_ms=START_MS)
    for event in HISTORY:
        found = oracle.observe(observed(event))
    assert found[0] == pytest.approx(expected / total, rel=1e-6)


def observed(event):
    time_s, is_first, symbol, price, words, stars = event
    one = [[0], [START_MS + round(time_s * 1000)], [symbol], [price], [words], [stars], [int(is_first)]]
    return Observations(*(np.array(column, np.int64) for column in one))


def test_stars_and_words_of_reviews_weigh_like_their_likelihood():
    """After a purchase it is open whether the buyer is happy; a review of words and stars settles it by Bayes' rule."""
    bought = [
        (7200.0, True, Symbol.VIEW_NEW, Price.ORDINARY, [0] * MOST_PLACES, 0),
        (7260.0, False, Symbol.CART, Price.ORDINARY, [0] * MOST_PLACES, 0),
        (7320.0, False, Symbol.CHECKOUT, Price.ORDINARY, [0] * MOST_PLACES, 0),
        (7380.0, False, Symbol.PURCHASE, Price.ORDINARY, [0] * MOST_PLACES, 0),
    ]
    poor_and_broken = [3, 0, 4]
    oracle = Oracle(users=1, start_ms=START_MS)
    for event in bought:
        oracle.observe(observed(event))
    found = oracle.observe(observed((7440.0, False, Symbol.REVIEW, Price.ORDINARY, poor_and_broken, 2)))[0, 0]
    odds = {}
    for mood in (Mood.HAPPY, Mood.UNHAPPY):
        steps = process.STEPS[:, Price.ORDINARY, Mood.BOUGHT, mood]  # equal shares of the reviewers' gaps and symbols
        words = np.prod(
            [place.shares[mood, word] for place, word in zip(PLACES[Symbol.REVIEW], [3, 0, 4], strict=True)]
        )
        odds[mood] = steps[Segment.REGULAR] * RATINGS[mood, 1] * words
    happy = odds[Mood.HAPPY] / sum(odds.values())
    tables = purchase_tables()[0, : Segment.BOT, Price.ORDINARY, Mood.HAPPY, 0]
    assert happy * tables.min() <= found <= happy * tables.max()
