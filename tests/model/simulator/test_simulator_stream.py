import itertools
from collections import Counter, defaultdict

import msgspec
import numpy as np
import pytest

from model.core.decode import decode_events
from model.simulator import EventWithTruth, SimulationSettings, process, simulate
from model.simulator.catalogue import PRICE_RANGES
from model.simulator.process import Price

DAY_MS = 86_400_000


def times_of_users(events):
    times = defaultdict(list)
    for event in events:
        times[event.user_id].append(event.ts)
    return {user: np.sort(one) for user, one in times.items()}


def test_the_same_seed_gives_the_same_bytes():
    settings = SimulationSettings(events=2000, users=50, seed=3, with_truth=True)
    one, other = ([msgspec.json.encode(event) for event in simulate(settings)] for _ in range(2))
    assert one == other


def test_another_seed_gives_other_events():
    one, other = (list(simulate(SimulationSettings(events=100, users=50, seed=seed))) for seed in (1, 2))
    assert [event.ts for event in one] != [event.ts for event in other]


@pytest.mark.parametrize("reads_words", [True, False])
def test_truth_changes_nothing_but_the_truth(reads_words):
    plain = list(simulate(SimulationSettings(events=3000, users=50, seed=3)))
    settings = SimulationSettings(events=3000, users=50, seed=3, with_truth=True, truth_reads_words=reads_words)
    fields = plain[0].__struct_fields__
    assert [[getattr(event, name) for name in fields] for event in plain] == [
        [getattr(event, name) for name in fields] for event in simulate(settings)
    ]


def test_exactly_as_many_events_arrive_as_were_asked_for(simulated, simulated_settings):
    assert len(simulated) == simulated_settings.events
    assert sum(1 for _ in simulate(SimulationSettings(events=7, users=1))) == 7


def test_without_a_number_there_is_no_end():
    assert sum(1 for _ in itertools.islice(simulate(SimulationSettings(events=None, users=20)), 30_000)) == 30_000


@pytest.mark.parametrize("wrong", [{"events": 0}, {"users": 0}, {"start_ms": -1}])
def test_settings_that_make_no_sense_are_refused(wrong):
    with pytest.raises(ValueError, match=r"simulation|start_ms"):
        SimulationSettings(**wrong)


def test_the_worker_accepts_every_event(simulated):
    batch, rejects = decode_events([msgspec.json.encode(event) for event in simulated[:20_000]])
    assert not rejects
    assert len(batch) == 20_000


def test_an_event_with_truth_is_read_as_a_plain_event():
    event = next(iter(simulate(SimulationSettings(events=1, users=1, with_truth=True))))
    assert isinstance(event, EventWithTruth)
    assert 0 < event.true_session < 1
    assert b'"true_24h"' in msgspec.json.encode(event)


def test_events_arrive_in_order_of_time_but_for_a_few(simulated):
    times = np.array([event.ts for event in simulated])
    late = (np.maximum.accumulate(times) > times).mean()
    assert 0.005 < late < 0.02
    assert (np.maximum.accumulate(times) - times).max() < 30 * 60_000


def test_a_few_events_are_repeated_exactly(simulated, distinct):
    assert 0.003 < 1 - len(distinct) / len(simulated) < 0.007
    by_id = defaultdict(set)
    for event in simulated:
        by_id[event.event_id].add(msgspec.json.encode(event))
    assert all(len(contents) == 1 for contents in by_id.values())


def test_no_event_of_a_shopper_shares_its_time_with_another(distinct):
    assert len({(event.user_id, event.ts) for event in distinct}) == len(distinct)


def test_pauses_either_keep_a_session_or_end_it_clearly(distinct):
    pauses_s = np.concatenate([np.diff(times) for times in times_of_users(distinct).values()]) / 1000
    assert not ((pauses_s > process.LONGEST_GAP_S + 1) & (pauses_s < process.ABSENCE_S)).any()
    assert pauses_s.min() >= process.SHORTEST_GAP_S - 0.001


def test_the_mix_of_events_is_that_of_a_shop(distinct):
    shares = {name: count / len(distinct) for name, count in Counter(event.type for event in distinct).items()}
    assert 0.005 < shares["purchase"] < 0.03
    assert shares["purchase"] < shares["checkout"] < shares["cart"] < shares["search"] < shares["view"]
    assert {"favorite", "remove_from_cart", "review", "refund", "other"} <= shares.keys()


def test_most_shoppers_come_back(distinct):
    users = times_of_users(distinct)
    come_back = sum(bool((np.diff(times) > process.ABSENCE_S * 1000).any()) for times in users.values())
    assert come_back > len(users) / 2


def test_some_never_buy_and_click_like_machines(distinct):
    users = times_of_users(distinct)
    bots = {user for user, times in users.items() if len(times) > 30 and np.median(np.diff(times)) < 5000}
    assert 0.003 < len(bots) / len(users) < 0.02
    assert {event.type for event in distinct if event.user_id in bots} <= {"view", "search"}


def test_visits_follow_the_day_and_the_week(distinct):
    hours = Counter(event.ts % DAY_MS // 3_600_000 for event in distinct)
    assert hours[20] > 4 * hours[3]
    first_ms = min(event.ts for event in distinct)  # a Monday
    days = Counter((event.ts - first_ms) // DAY_MS for event in distinct if event.ts < first_ms + 28 * DAY_MS)
    weeks = np.array([days[day] for day in range(days.total() and max(days) // 7 * 7)]).reshape(-1, 7).sum(axis=0)
    assert weeks.argmax() == 6


def test_every_shoppers_first_event_is_a_view(distinct):
    first = {}
    for event in sorted(distinct, key=lambda event: event.ts):
        first.setdefault(event.user_id, event.type)
    assert set(first.values()) == {"view"}


def test_an_item_always_costs_the_same_and_is_cheap_or_dear(distinct):
    prices = defaultdict(set)
    for event in distinct:
        prices[event.item_id].add(event.price)
    assert prices.pop(None) == {None}
    assert all(len(found) == 1 for found in prices.values())
    least_premium = PRICE_RANGES[Price.PREMIUM][0]
    found = np.array([price for (price,) in prices.values()])
    assert not ((found > PRICE_RANGES[Price.ORDINARY][1]) & (found < least_premium)).any()
    assert 0.3 < (found >= least_premium).mean() < 0.5


def test_other_shoppers_visit_the_same_shop(distinct):
    prices = {event.item_id: event.price for event in distinct}
    others = simulate(SimulationSettings(events=2000, users=50, seed=8))
    assert all(prices.get(event.item_id, event.price) == event.price for event in others)


def test_who_puts_something_cheap_in_the_cart_buys_it_more_often(distinct):
    carted, bought = Counter(), Counter()
    for event in distinct:
        counted = {"cart": carted, "purchase": bought}.get(event.type)
        if counted is not None:
            counted[event.price >= PRICE_RANGES[Price.PREMIUM][0]] += 1
    assert bought[False] / carted[False] > 1.5 * bought[True] / carted[True]
