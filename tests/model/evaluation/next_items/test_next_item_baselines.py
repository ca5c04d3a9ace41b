import numpy as np
import pytest

from model.evaluation.next_items.baselines import CategoryPopularity, ItemKNN, OwnItems, Popularity, SequentialRules
from model.items.targets import Queries
from tests.model.items.visits import DAY, at, journeys_of, likeliest, visit


def asked_after(*steps, before):
    """Return what there is to learn from, and one query: after the last step of a visit three days later."""
    journeys = journeys_of(*before, visit("asks", 3 * DAY, *steps))
    rows = np.flatnonzero(journeys.time_ms >= at(3 * DAY))
    return journeys.before(at(3 * DAY)), Queries(journeys, rows[-1:])


def recommended(model, goal, *steps, before):
    training, queries = asked_after(*steps, before=before)
    return likeliest(model.fit(training, goal), queries)[0]


def scored(model, goal, *steps, before):
    training, queries = asked_after(*steps, before=before)
    row = model.fit(training, goal).scores(queries)[0]
    return {queries.journeys.item_ids[item]: float(row[item]) for item in np.flatnonzero(np.isfinite(row))}


def test_popularity_counts_events_of_the_goals_type():
    before = [visit("u", 0, "a", "a", "b", "cart b"), visit("v", 9, "a", "b", "cart c", "cart c")]
    assert recommended(Popularity(), "view", "x", before=before) == ["a", "b"]
    assert recommended(Popularity(), "cart", "x", before=before) == ["c", "b"]


def test_category_popularity_prefers_the_category_and_the_latest():
    before = [visit("u", 0, "a1", "a1", "a2"), visit("v", 2 * DAY, "a2", "b1", "b1", "b1")]
    assert recommended(CategoryPopularity(half_life_days=0.5), "view", "a1", before=before) == ["a2", "a1", "b1"]
    assert recommended(CategoryPopularity(half_life_days=99), "view", "b1", before=before)[0] == "b1"


def test_the_shoppers_own_items_come_last_first():
    before = [visit("asks", 0, "a", "b", "a"), visit("u", 0, "c")]
    assert recommended(OwnItems(), "cart", "d", "b", before=before) == ["b", "d", "a"]


def test_sequential_rules_weigh_by_the_steps_between():
    before = [visit("u", 0, "a", "b", "c"), visit("v", 0, "a", "c"), visit("u", 100, "c")]
    assert scored(SequentialRules(), "view", "a", before=before) == {"b": 1.0, "c": 1.5}
    assert scored(SequentialRules(steps=1), "view", "a", before=before) == {"b": 1.0, "c": 1.0}


def test_sequential_rules_of_a_cart_lead_to_carts_only():
    before = [visit("u", 0, "a", "b", "cart a")]
    assert scored(SequentialRules(), "cart", "a", before=before) == {"a": 0.5}


def test_item_knn_is_the_regularised_cosine_of_sessions():
    before = [visit("u", 0, "a", "b", "b"), visit("v", 0, "a", "c"), visit("w", 0, "c")]
    found = scored(ItemKNN(regularisation=2), "view", "a", before=before)
    assert found == pytest.approx({"b": 1 / np.sqrt(4 * 4), "c": 1 / np.sqrt(4 * 4)})  # two events each


def test_item_knn_leads_from_a_view_to_the_cart_with_the_same_item():
    before = [visit("u", 0, "a", "cart a"), visit("v", 0, "a", "b")]
    assert recommended(ItemKNN(), "cart", "a", before=before) == ["a"]
    assert recommended(ItemKNN(), "view", "a", before=before) == ["b"]


@pytest.mark.parametrize("model", [SequentialRules(), ItemKNN()])
def test_after_an_item_that_nobody_had_nothing_is_recommended(model):
    assert recommended(model, "view", "new", before=[visit("u", 0, "a", "b")]) == []
