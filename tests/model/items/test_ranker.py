import numpy as np
import pytest
import torch

from model.core import rank_items
from model.items.contexts import NO_ITEM, PLACES, Contexts
from model.items.network import GOALS, ContextTensors, ItemInputs, log_popularity, own_shares
from model.items.ranker import ItemRanker, best
from model.training.next_items import Memories, contexts_of
from tests.model.items.made import CIRCLES, trained

ROW = np.arange(1)


def contexts(count=40):
    journeys, _ = trained()
    rows = np.random.default_rng(1).choice(len(journeys), count, replace=False)
    return contexts_of(journeys, np.sort(rows))


def empty():
    return Contexts(
        np.full((1, PLACES), NO_ITEM, np.int32),
        np.zeros((1, PLACES), np.uint8),
        np.zeros((1, PLACES), np.float32),
        np.zeros((1, PLACES), np.bool_),
    )


@torch.no_grad()
def by_network(model, goal, given):
    """Return the logits `(contexts, items)` as training computes them."""
    network, columns, number = model.network, model.columns, GOALS.index(goal)
    shares = torch.from_numpy(own_shares(model.counts[0]))
    inputs = ItemInputs.of(columns, network.config.vector_size)
    vectors = network.vectors(inputs, torch.arange(len(columns)), shares)
    tensors = ContextTensors.of(given)
    weights = network.weights(number, tensors)
    categories = torch.from_numpy(columns.categories.astype(np.int64))
    category = categories[tensors.items[:, :1]]
    logits = (
        network.queries(number, tensors, vectors[tensors.items], weights[0]) @ vectors.T
        + network.popularities(
            number, torch.from_numpy(log_popularity(model.counts[1 + number], model.exposures[:-1])), shares
        )
        + network.same_category(number) * ((categories == category) & (category > 0))
    )
    size = len(columns)
    return Memories.of(model.neighbours, given, np.arange(size), size).added(network, number, logits, weights).numpy()


@pytest.mark.parametrize("goal", GOALS)
def test_the_loops_compute_what_the_network_does(goal):
    _, model = trained()
    ranker, vectors, given = ItemRanker(model), model.embed(model.columns), contexts()
    found = [ranker.scores(goal, given.take(ROW + n), vectors, model.columns.categories) for n in range(len(given))]
    np.testing.assert_allclose(found, by_network(model, goal, given), rtol=1e-4, atol=1e-4)


def test_what_comes_next_in_the_circle_is_ranked_first():
    journeys, model = trained()
    ranker, vectors = ItemRanker(model), model.embed(model.columns)
    for circle in CIRCLES:
        for place, item in enumerate(circle):
            row = np.flatnonzero((journeys.items == journeys.item_ids.index(item)) & (journeys.type_codes == 0))[0]
            scores = ranker.scores("view", contexts_of(journeys, np.array([row])), vectors, model.columns.categories)
            (first,) = best(scores, np.ones(len(scores), np.bool_), 1)
            assert model.item_ids[first] == circle[(place + 1) % 4]


def test_an_item_that_nobody_viewed_is_near_those_of_its_words():
    _, model = trained()
    ranker, vectors = ItemRanker(model), model.embed(model.columns)
    journeys, _ = trained()
    row = np.flatnonzero(journeys.items == journeys.item_ids.index("a1"))[0]
    scores = ranker.scores("view", contexts_of(journeys, np.array([row])), vectors, model.columns.categories)
    assert scores[model.item_ids.index("a-new")] > scores[model.item_ids.index("b-new")]


def test_an_empty_context_gives_what_is_popular():
    _, model = trained()
    scores = ItemRanker(model).scores("view", empty(), model.embed(model.columns), model.columns.categories)
    assert np.isfinite(scores).all()
    assert {model.item_ids[row][0] for row in best(scores, np.ones(len(scores), np.bool_), 2)} == {"a"}


def test_items_that_came_later_are_ranked_too():
    _, model = trained()
    later = model.columns.take(np.array([0]))
    vectors = np.concatenate((model.embed(model.columns), model.embed(later)))
    categories = np.concatenate((model.columns.categories, later.categories))
    scores = ItemRanker(model).scores("view", contexts(1), vectors, categories)
    assert len(scores) == len(model.item_ids) + 1
    assert np.isfinite(scores[-1])


@pytest.mark.parametrize("goal", GOALS)
def test_a_contribution_is_the_score_less_that_without_the_event(goal):
    _, model = trained()
    ranker, vectors, categories = ItemRanker(model), model.embed(model.columns), model.columns.categories
    chosen = np.array([0, 3, 7])
    given = contexts(12)
    for number in range(len(given)):
        context = given.take(ROW + number)
        found = ranker.contributions(goal, context, chosen, vectors, categories)
        whole = ranker.scores(goal, context, vectors, categories)[chosen]
        places = int((context.items != NO_ITEM).sum())
        without = [
            ranker.scores(goal, context.without(np.array([place])), vectors, categories)[chosen]
            for place in range(places)
        ]
        np.testing.assert_allclose(found, whole - np.array(without), atol=1e-4)


def test_the_best_are_those_allowed_and_equal_ones_come_in_order():
    scores = np.array([1, 5, 5, 9, 2], np.float32)
    allowed = np.array([True, True, True, False, True])
    assert best(scores, allowed, 3).tolist() == [1, 2, 4]
    assert best(scores, allowed, 100).tolist() == [1, 2, 4, 0]
    assert best(scores, np.zeros(5, np.bool_), 3).tolist() == []


def test_the_compiled_loop_finds_what_sorting_finds():
    random = np.random.default_rng(3)
    scores, allowed = random.integers(0, 40, 500).astype(np.float32), random.random(500) < 0.7
    order = [row for row in np.argsort(-scores, kind="stable") if allowed[row]]
    rows = np.empty(60, np.int64)
    assert rank_items.highest.py_func(scores, allowed, rows) == 60
    assert rows.tolist() == order[:60] == best(scores, allowed, 60).tolist()
