"""Shoppers with tastes: which item of a shelf they look at, and nothing else, depends on them."""

from collections import defaultdict
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from model.simulator import SimulationSettings, simulate, simulated_shop
from model.simulator.catalogue import PRICE_RANGES, Catalogue
from model.simulator.process import Price, Symbol
from model.simulator.stock import Stock
from model.simulator.tastes import LIKENESS, POPULARITY, TASTE, Tastes

START_MS = SimulationSettings.start_ms
SETTINGS = SimulationSettings(events=6000, users=150, seed=3, with_truth=True)


def fields(event):
    is_premium = event.price is not None and event.price >= PRICE_RANGES[Price.PREMIUM][0]
    truth = (event.true_session, event.true_1h, event.true_24h)
    return event.event_id, event.user_id, event.type, event.ts, event.category, event.text, is_premium, *truth


@pytest.mark.parametrize("items", [500, 10_000])
def test_tastes_change_nothing_but_which_item_of_a_shelf_is_viewed(items):
    plain = list(simulate(SETTINGS))
    with_tastes = list(simulate(replace(SETTINGS, with_tastes=True, items=items)))
    assert [fields(event) for event in plain] == [fields(event) for event in with_tastes]
    assert [event.item_id for event in plain] != [event.item_id for event in with_tastes]


@pytest.fixture(scope="module")
def tastes():
    return Tastes(Catalogue.drawn(400), users=50, start_ms=START_MS, random=np.random.default_rng(1))


def test_an_item_is_drawn_by_popularity_taste_and_the_item_before(tastes):
    shelf, before, day = 3, 2, 40
    first, stop = tastes.catalogue.first_item[shelf : shelf + 2]
    taste, styles = tastes.hidden_of(np.array([7]))["taste"][0], tastes.styles.styles
    expected = (
        np.array(
            [
                np.exp(styles[item] @ (TASTE * taste + LIKENESS * styles[before])) / (item - first + 1) ** POPULARITY
                for item in range(first, stop)
            ]
        )
        * tastes.stock.for_sale(np.array([day]))[0, first:stop]
    )
    many = np.full(40_000, 7)
    days_ms = np.full(len(many), tastes.stock.start_of(day))
    drawn = tastes.draw(many, np.full(len(many), shelf), np.full(len(many), before), days_ms, np.random.default_rng(2))
    shares = np.bincount(drawn - first, minlength=stop - first) / len(many)
    probabilities = expected / expected.sum()
    assert (np.abs(shares - probabilities) < 4 * np.sqrt(probabilities * (1 - probabilities) / len(many)) + 1e-9).all()


def test_the_item_before_is_not_viewed_as_a_new_one(tastes):
    shelves = np.arange(len(tastes.catalogue.first_item) - 1)
    before = tastes.catalogue.first_item[:-1]
    drawn = tastes.draw(shelves, shelves, before, np.full(len(shelves), START_MS), np.random.default_rng(1))
    assert (tastes.catalogue.shelf_of[drawn] == shelves).all()
    assert (drawn != before).all()


def test_a_taste_drifts_and_stays_near_its_group():
    tastes = Tastes(Catalogue.drawn(400), users=300, start_ms=START_MS, random=np.random.default_rng(1))
    everybody, favourites = np.arange(300), np.zeros((300, 3), np.int64)
    at_first = tastes.hidden_of(everybody)["taste"]
    tastes.begin_visits(everybody, favourites)
    likeness = [(at_first * tastes.hidden_of(everybody)["taste"]).sum(axis=1).mean()]
    for _ in range(20):
        tastes.begin_visits(everybody, favourites)
    likeness.append((at_first * tastes.hidden_of(everybody)["taste"]).sum(axis=1).mean())
    assert 0.99 < likeness[0] < 1
    assert 0.75 < likeness[1] < 0.95


def test_what_a_visit_is_about_is_found_by_bayes_rule():
    tastes = Tastes(Catalogue.drawn(400), users=3, start_ms=START_MS, random=np.random.default_rng(1))
    everybody, categories = np.arange(3), np.array([5, 5, 9])
    tastes.begin_visits(everybody, np.array([[2, 5, 5]] * 3))
    symbols = np.array([Symbol.VIEW_NEW, Symbol.SEARCH, Symbol.VIEW_NEW])
    tastes.observe(everybody, np.where(symbols == Symbol.SEARCH, symbols, Symbol.VIEW_AGAIN), categories)
    assert tastes.hidden_of(everybody)["topics"][:, [2, 5]] == pytest.approx(np.array([[1, 2], [0, 3], [1, 2]]) / 3)
    tastes.observe(everybody, symbols, categories)
    of_another = 0.25 / 24
    of_it = 2 * (0.75 + of_another) / (2 * (0.75 + of_another) + of_another)
    assert tastes.hidden_of(everybody)["topics"][:, 5] == pytest.approx([of_it, 1, 2 / 3])


def test_items_arrive_sell_out_and_come_back():
    catalogue = Catalogue.drawn(2000)
    stock = Stock(catalogue, START_MS)
    for_sale = stock.for_sale(np.arange(60))  # (days, items)
    arrived = np.arange(60)[:, None] >= stock.arrival_days
    assert not (for_sale & ~arrived).any()
    assert 0.15 < (stock.arrival_days > 0).mean() < 0.25
    assert 0.05 < (~for_sale & arrived)[30:].sum() / arrived[30:].sum() < 0.15
    assert (for_sale.all(axis=0) & (stock.arrival_days == 0)).sum() >= 2 * (len(catalogue.first_item) - 1)
    assert (stock.for_sale(np.array([59, 3])) == for_sale[[59, 3]]).all()


def test_what_is_newly_viewed_is_for_sale():
    shop = simulated_shop(replace(SETTINGS, with_truth=False, items=500))
    tastes = shop.oracle.tastes
    numbers = {item_id: number for number, item_id in enumerate(tastes.catalogue.item_ids)}
    viewed = defaultdict(list)
    for event in sorted({event.event_id: event for event in shop.events}.values(), key=lambda event: event.ts):
        if event.item_id is not None:
            viewed[event.user_id].append(event)
    new = [
        later
        for events in viewed.values()
        for earlier, later in pairwise(events)
        if later.type == "view" and later.item_id != earlier.item_id
    ]
    days = tastes.stock.day_of(np.array([event.ts for event in new]))
    assert days.max() > 10
    assert tastes.stock.for_sale(days)[np.arange(len(new)), [numbers[event.item_id] for event in new]].all()


@pytest.mark.parametrize("items", [0, 199])
def test_a_shop_needs_a_few_items_on_every_shelf(items):
    with pytest.raises(ValueError, match="at least 200 items"):
        SimulationSettings(items=items)
