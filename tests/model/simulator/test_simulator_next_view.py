"""The true probability of the next viewed item, against what shoppers then view."""

from collections import defaultdict
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from model.simulator import Simulation, SimulationSettings, process, simulate, simulated_shop
from model.simulator.next_view import View, view_shares
from model.simulator.process import Mood, Price, Segment, Symbol
from model.simulator.shop import ItemOracle

SESSION_GAP_MS = 30 * 60_000
SETTINGS = SimulationSettings(events=60_000, users=1200, seed=4, items=1000)


@pytest.fixture(scope="module")
def shop():
    return simulated_shop(SETTINGS)


@pytest.fixture(scope="module")
def asked(shop):
    """Events that are followed by a view on the same visit, which item that is, and the shopper."""
    numbers = {item_id: number for number, item_id in enumerate(shop.oracle.item_ids)}
    by_shopper = defaultdict(list)
    for event in {event.event_id: event for event in shop.events}.values():
        by_shopper[event.user_id].append(event)
    found = []
    for shopper, events in enumerate(by_shopper.values()):
        events.sort(key=lambda event: event.ts)
        following = None
        for earlier, later in reversed(list(pairwise(events))):
            if later.ts - earlier.ts > SESSION_GAP_MS:
                following = None
            elif later.type == "view":
                following = numbers[later.item_id]
            if following is not None:
                found.append((earlier, following, shopper))
    events, targets, shoppers = zip(*found[::2], strict=True)
    shares = np.concatenate([shop.oracle.probabilities(part) for part in np.array_split(np.array(events, object), 20)])
    return list(events), np.array(targets), np.array(shoppers), shares


def test_the_probabilities_are_those_of_one_view(asked):
    assert asked[3].sum(axis=1) == pytest.approx(1, abs=1e-4)


@pytest.mark.parametrize("first", [1, 5, 20])
def test_the_likeliest_items_are_viewed_as_often_as_they_say(asked, first):
    _, targets, shoppers, shares = asked
    likeliest = np.argsort(-shares, axis=1)[:, :first]
    expected = np.take_along_axis(shares, likeliest, axis=1).sum(axis=1)
    is_hit = (likeliest == targets[:, None]).any(axis=1)
    assert len(targets) > 10_000
    for part in np.array_split(np.argsort(expected), 5):
        surprise = np.bincount(shoppers[part], weights=is_hit[part] - expected[part])
        assert abs(surprise.sum()) < 4 * np.sqrt((surprise**2).sum())


@pytest.mark.parametrize("kind", ["search", "cart", "remove_from_cart", "purchase"])
def test_the_probabilities_are_calibrated_by_type_of_event(asked, kind):
    events, targets, shoppers, shares = asked
    rows = np.flatnonzero([event.type == kind for event in events])
    likeliest = shares[rows].argmax(axis=1)
    surprise = np.bincount(shoppers[rows], weights=(likeliest == targets[rows]) - shares[rows].max(axis=1))
    assert abs(surprise.sum()) < 4 * np.sqrt((surprise**2).sum())


def followed(segment, looked_at, in_cart, mood, random):
    """Follow one visit to its next view: which item it is of, or after, and how; None if there is none."""
    prices, item, cart = (looked_at, in_cart), 0, 1
    while True:
        steps = process.STEPS[segment, prices[item], mood]
        mood = int(random.choice(len(steps), p=steps))
        if mood == len(Mood):
            return None
        symbol = random.choice(len(Symbol), p=process.SHOWS[segment, mood])
        if symbol == Symbol.VIEW_AGAIN:
            return item, View.AGAIN
        if symbol == Symbol.VIEW_NEW:
            return item, View.NEW_SAME_PRICE if mood == Mood.UNDECIDED else View.NEW
        if symbol == Symbol.CART:
            cart = item
        elif symbol in {Symbol.REMOVE, Symbol.CHECKOUT, Symbol.PURCHASE}:
            item = cart


@pytest.mark.parametrize("mood", [Mood.COMPARING, Mood.UNDECIDED, Mood.CHECKOUT])
def test_the_chain_is_what_visits_followed_step_by_step_show(mood):
    random, count = np.random.default_rng(5), 4000
    shares = np.zeros((2, len(View)))
    for _ in range(count):
        view = followed(Segment.REGULAR, Price.ORDINARY, Price.PREMIUM, mood, random)
        if view is not None:
            shares[view] += 1 / count
    expected = view_shares()[Segment.REGULAR, Price.ORDINARY, Price.PREMIUM, mood]
    assert (np.abs(shares - expected) < 4 * np.sqrt(expected * (1 - expected) / count) + 1e-9).all()


def test_who_has_something_in_the_cart_looks_at_what_costs_about_the_same(shop):
    oracle = shop.oracle
    hidden = oracle.hidden(shop.events)
    undecided = np.flatnonzero((hidden["mood"] == Mood.UNDECIDED) & (hidden["item"] == hidden["cart_item"]))[:200]
    shares = oracle.probabilities([shop.events[row] for row in undecided])
    catalogue = oracle.tastes.catalogue
    prices = catalogue.prices_of(hidden["item"][undecided])
    views = view_shares()[hidden["segment"][undecided], prices, prices, Mood.UNDECIDED].sum(axis=1)
    views /= views.sum(axis=1, keepdims=True)  # (events, view)
    is_same = catalogue.prices_of(np.arange(len(catalogue.item_ids))) == prices[:, None]
    expected = 1 - views[:, View.NEW] * (1 - process.PRICE_SHARES[prices])
    assert (shares * is_same).sum(axis=1) == pytest.approx(expected, abs=1e-4)


def test_events_name_the_likeliest_items_if_truth_is_asked(shop):
    settings = replace(SETTINGS, events=300, with_tastes=True, with_truth=True)
    events = list(simulate(settings))
    likeliest = np.argsort(-shop.oracle.probabilities(events), axis=1)
    for event, row in zip(events, likeliest, strict=True):
        assert event.true_next_items[:3] == [shop.oracle.item_ids[item] for item in row[:3]]
        assert len(set(event.true_next_items)) == 20


def test_without_tastes_there_is_no_next_view_to_know():
    with pytest.raises(ValueError, match="only shoppers with tastes"):
        ItemOracle(Simulation(SimulationSettings()))
