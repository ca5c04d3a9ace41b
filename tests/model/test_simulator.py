import itertools
from collections import Counter, defaultdict

import msgspec
import numpy as np
import pytest

from model.batch import batch_of
from model.decode import decode_events
from model.labels import label_events
from model.lstm import HORIZONS
from model.simulator import EventWithTruth, SimulationSettings, process, rhythm, simulate
from model.simulator.future import purchase_tables

DAY_MS = 86_400_000


@pytest.fixture(scope="module")
def events():
    return list(simulate(SimulationSettings(events=150_000, users=3000, seed=5, with_truth=True)))


@pytest.fixture(scope="module")
def distinct(events):
    return list({event.event_id: event for event in events}.values())


def test_the_same_seed_gives_the_same_events():
    settings = SimulationSettings(events=2000, users=50, seed=3)
    assert list(simulate(settings)) == list(simulate(settings))


def test_another_seed_gives_other_events():
    one, other = (list(simulate(SimulationSettings(events=100, users=50, seed=seed))) for seed in (1, 2))
    assert [event.ts for event in one] != [event.ts for event in other]


def test_truth_changes_nothing_but_the_truth():
    plain = list(simulate(SimulationSettings(events=3000, users=50, seed=3)))
    with_truth = list(simulate(SimulationSettings(events=3000, users=50, seed=3, with_truth=True)))
    fields = plain[0].__struct_fields__
    assert [[getattr(event, name) for name in fields] for event in plain] == [
        [getattr(event, name) for name in fields] for event in with_truth
    ]


def test_exactly_as_many_events_arrive_as_were_asked_for(events):
    assert len(events) == 150_000
    assert sum(1 for _ in simulate(SimulationSettings(events=7, users=1))) == 7


def test_without_a_number_there_is_no_end():
    assert sum(1 for _ in itertools.islice(simulate(SimulationSettings(events=None, users=20)), 30_000)) == 30_000


@pytest.mark.parametrize("wrong", [{"events": 0}, {"users": 0}, {"start_ms": -1}])
def test_settings_that_make_no_sense_are_refused(wrong):
    with pytest.raises(ValueError, match=r"simulation|start_ms"):
        SimulationSettings(**wrong)


def test_the_worker_accepts_every_event(events):
    batch, rejects = decode_events([msgspec.json.encode(event) for event in events[:20_000]])
    assert not rejects
    assert len(batch) == 20_000


def test_events_arrive_in_order_of_time_but_for_a_few(events):
    times = np.array([event.ts for event in events])
    late = (np.maximum.accumulate(times) > times).mean()
    assert 0.005 < late < 0.02
    assert (np.maximum.accumulate(times) - times).max() < 30 * 60_000


def test_a_few_events_are_repeated_exactly(events, distinct):
    share = 1 - len(distinct) / len(events)
    assert 0.003 < share < 0.007
    by_id = defaultdict(set)
    for event in events:
        by_id[event.event_id].add(msgspec.json.encode(event))
    assert all(len(contents) == 1 for contents in by_id.values())


def test_no_event_of_a_shopper_shares_its_time_with_another(distinct):
    assert len({(event.user_id, event.ts) for event in distinct}) == len(distinct)


def test_pauses_either_keep_a_session_or_end_it_clearly(distinct):
    times = defaultdict(list)
    for event in distinct:
        times[event.user_id].append(event.ts)
    pauses_s = np.concatenate([np.diff(np.sort(one)) for one in times.values()]) / 1000
    assert not ((pauses_s > process.LONGEST_GAP_S + 1) & (pauses_s < process.ABSENCE_S)).any()
    assert pauses_s.min() >= process.SHORTEST_GAP_S - 0.001


def test_the_mix_of_events_is_that_of_a_shop(distinct):
    shares = {name: count / len(distinct) for name, count in Counter(event.type for event in distinct).items()}
    assert 0.01 < shares["purchase"] < 0.03
    assert shares["purchase"] < shares["checkout"] < shares["cart"] < shares["view"]
    assert {"search", "favorite", "remove_from_cart", "review", "refund", "other"} <= shares.keys()


def test_some_never_buy_and_click_like_machines(distinct):
    times = defaultdict(list)
    for event in distinct:
        times[event.user_id].append(event.ts)
    pause_s = {user: np.median(np.diff(sorted(one))) / 1000 for user, one in times.items() if len(one) > 30}
    bots = {user for user, seconds in pause_s.items() if seconds < 5}
    assert 0.003 < len(bots) / 3000 < 0.02
    assert not any(event.type == "purchase" for event in distinct if event.user_id in bots)


def test_visits_follow_the_day(distinct):
    hours = Counter(event.ts % DAY_MS // 3_600_000 for event in distinct)
    assert hours[20] > 4 * hours[3]


def test_searches_and_reviews_carry_words(distinct):
    assert all(bool(event.text) == (event.type in {"search", "review"}) for event in distinct)


@pytest.mark.parametrize("horizon", range(len(HORIZONS)))
def test_the_truth_is_calibrated(distinct, horizon):
    """Of the events with a true propensity of about p, a share p is followed by a purchase."""
    batch = batch_of(distinct)
    users = np.unique(batch.user_ids, return_inverse=True)[1]
    is_purchase = np.array([event.type == "purchase" for event in distinct])
    labels = label_events(users, batch.event_time_ms, is_purchase, HORIZONS)
    known = labels.known_by(batch.event_time_ms.max() - 2 * DAY_MS)[:, horizon]
    truth = np.array([(event.true_session, event.true_1h, event.true_24h)[horizon] for event in distinct])[known]
    bought = labels.bought[known, horizon]
    for part in np.array_split(np.argsort(truth), 5):
        # Events of one shopper share their fate: the deviation is counted over shoppers.
        surprise = np.bincount(users[known][part], weights=bought[part] - truth[part], minlength=3000)
        assert abs(surprise.sum()) < 4 * np.sqrt((surprise**2).sum())


def test_the_truth_tells_buyers_from_others(distinct):
    truth = defaultdict(list)
    for event in distinct:
        truth[event.type].append(event.true_session)
    means = {name: np.mean(found) for name, found in truth.items()}
    assert means["checkout"] > 0.5
    assert means["checkout"] > means["cart"] > means["favorite"] > means["view"]


def test_eager_words_raise_the_truth(distinct):
    """The known effect of what shoppers write: same type of event, other words, other future."""
    eager = [event.true_session for event in distinct if event.text and "buy" in event.text]
    idle = [event.true_session for event in distinct if event.text and "ideas" in event.text]
    assert np.mean(eager) > 1.5 * np.mean(idle)


def test_longer_horizons_are_more_likely():
    session, hour, day = purchase_tables()[:, : process.Segment.BOT]
    assert (day > hour).all()
    assert (np.maximum(session, hour) <= day).all()
    assert not purchase_tables()[:, process.Segment.BOT].any()


def test_session_truth_solves_the_absorbing_chain():
    """Kemeny and Snell, "Finite Markov Chains" (1960): h = (I - Q)^-1 r."""
    steps = process.STEPS[process.Segment.REGULAR][:, : len(process.Mood)]
    onward = steps.copy()
    onward[:, process.Mood.BOUGHT] = 0
    hits = np.linalg.solve(np.eye(len(process.Mood)) - onward, steps[:, process.Mood.BOUGHT])
    assert purchase_tables()[0, process.Segment.REGULAR, :, 0] == pytest.approx(hits, abs=1e-6)


def test_distributions_add_up():
    for table in (process.STEPS, process.FIRST_MOOD, process.SHOWS[: process.Segment.BOT]):
        assert table.sum(axis=-1) == pytest.approx(np.ones(table.shape[:-1]))
    assert process.SEGMENT_SHARES.sum() == pytest.approx(1)
    assert rhythm.RATES.mean() == pytest.approx(1)


def test_gaps_follow_their_distribution_function():
    uniform = np.linspace(0.001, 0.999, 50)
    gaps_s = process.draw_gaps_s(uniform, np.full(50, 30.0), np.full(50, 1.9))
    assert process.gap_cdf(gaps_s, np.float64(30.0), np.float64(1.9)) == pytest.approx(uniform)


def test_the_rhythms_time_can_be_turned_back():
    times_s = np.array([0.0, 1.5e9, 1.767e9, 1.767e9 + 3 * 86_400 + 17])
    assert rhythm.when(rhythm.elapsed(times_s)) == pytest.approx(times_s, abs=1e-3)


def test_an_event_with_truth_is_read_as_a_plain_event():
    event = next(iter(simulate(SimulationSettings(events=1, users=1, with_truth=True))))
    assert isinstance(event, EventWithTruth)
    assert 0 < event.true_session < 1
    assert b'"true_24h"' in msgspec.json.encode(event)
