from collections import Counter

import numpy as np
import pytest
import torch

from model.core.rank_items import LEAST_CONTRIBUTION, REASONS, Pins, Shelf, Wanted, highest, quantize
from model.events import EVENT_TYPES, PURCHASE
from model.items.contexts import NO_ITEM, PLACES, Contexts
from model.items.network import GOALS, ContextTensors, ItemInputs, log_popularity, own_shares
from model.items.ranker import ItemRanker, best
from model.training.next_items import Memories, contexts_of, of_categories
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
    logits = (
        network.queries(number, tensors, vectors[tensors.items], weights[0]) @ vectors.T
        + network.popularities(
            number, torch.from_numpy(log_popularity(model.counts[1 + number], model.exposures[:-1])), shares
        )
        + of_categories(network, number, categories, tensors, torch.arange(len(columns)), weights)
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


def shelf_of(vectors, categories):
    return Shelf(vectors, *quantize(vectors), categories)


def everything(count):
    return np.ones(count, np.bool_)


def wanted(is_allowed, *, per_category=0, boosts=(), pins=(), hides=()):
    places, rows = np.array(pins, np.int64).reshape(-1, 2).T.copy()
    are_hidden = np.isin(np.arange(len(EVENT_TYPES)), hides)
    return Wanted(is_allowed, are_hidden, np.array(boosts, np.float32), per_category, Pins(places, rows))


def ranked(rankings, number=0):
    """Return the rows and scores of one context."""
    count = rankings.counts[number]
    return rankings.rows[number, :count].tolist(), rankings.scores[number, :count]


@pytest.mark.parametrize("goal", GOALS)
def test_reasons_are_the_events_without_which_the_score_would_be_lowest(goal):
    _, model = trained()
    ranker, vectors, categories = ItemRanker(model), model.embed(model.columns), model.columns.categories
    given = contexts(12)
    rankings = ranker.rank(goal, given, shelf_of(vectors, categories), wanted(everything(len(vectors))), 100)
    for number in range(len(given)):
        context, (rows, scores) = given.take(ROW + number), ranked(rankings, number)
        places = np.flatnonzero(context.items[0] != NO_ITEM)
        whole = ranker.scores(goal, context, vectors, categories)
        without = [ranker.scores(goal, context.without(np.array([place])), vectors, categories) for place in places]
        added = (whole - np.array(without))[:, rows]  # (places, ranked)
        np.testing.assert_allclose(scores, whole[rows], atol=1e-5)
        strongest = -np.sort(-added, axis=0)[:REASONS].T
        is_reason = strongest >= LEAST_CONTRIBUTION
        reasons, by = (column[number, : len(rows), : strongest.shape[1]] for column in rankings[4:])
        assert ((reasons >= 0) == is_reason).all()
        np.testing.assert_allclose(by[is_reason], strongest[is_reason], atol=1e-4)
        of_reasons = np.take_along_axis(added.T, np.maximum(reasons, 0), axis=1)
        np.testing.assert_allclose(by[is_reason], of_reasons[is_reason], atol=1e-4)


def random_shelf(items, categories):
    random = np.random.default_rng(3)
    vectors = random.standard_normal((items, 8)).astype(np.float32)
    vectors[::7] = vectors[0]  # of equal scores
    return shelf_of(vectors, random.integers(0, categories, items).astype(np.uint16)), random.random(items) < 0.7


@pytest.mark.parametrize("per_category", [None, 1, 3, 50])
@pytest.mark.parametrize("count", [1, 20, 1000])
def test_the_best_are_those_that_sorting_all_scores_finds(count, per_category):
    _, model = trained()
    ranker, (shelf, allowed) = ItemRanker(model), random_shelf(600, 12)
    context = contexts(1)
    scores = ranker.scores("view", context, shelf.vectors, shelf.categories)
    found, taken = [], Counter()
    for row in np.argsort(-scores, kind="stable"):
        category = int(shelf.categories[row])
        if allowed[row] and taken[category] < (per_category or len(scores)):
            taken[category] += 1
            found.append(int(row))
    rankings = ranker.rank("view", context, shelf, wanted(allowed, per_category=per_category or 0), count)
    rows, of_rows = ranked(rankings)
    assert rows == found[:count]
    np.testing.assert_allclose(of_rows, scores[rows], atol=1e-5)


def test_each_context_is_ranked_as_if_it_were_alone():
    _, model = trained()
    ranker, (shelf, allowed) = ItemRanker(model), random_shelf(600, 12)
    given, asked = contexts(9), wanted(allowed, per_category=3, pins=[(2, 7), (5, 8)], hides=[0])
    before = allowed.copy()
    together = ranker.rank("cart", given, shelf, asked, 20)
    assert (allowed == before).all()
    for number in range(len(given)):
        alone = ranker.rank("cart", given.take(ROW + number), shelf, asked, 20)
        assert ranked(alone)[0] == ranked(together, number)[0]
        assert (alone.reasons[0] == together.reasons[number]).all()
        for item in given.items[number, given.types[number] == 0]:
            assert item == NO_ITEM or item not in ranked(alone)[0]


def test_items_of_hidden_events_are_left_out_even_if_they_are_pinned():
    _, model = trained()
    ranker, (shelf, _) = ItemRanker(model), random_shelf(600, 12)
    context = contexts(1)
    context.types[0, 0], context.items[0, :2] = PURCHASE, [3, 4]
    asked = wanted(everything(600), pins=[(1, 3), (2, 4)], hides=[PURCHASE])
    rows, _ = ranked(ranker.rank("view", context, shelf, asked, 3))
    assert rows[1] == 4
    assert 3 not in rows


def test_what_bytes_leave_out_of_a_vector_is_no_longer_than_is_said():
    shelf, _ = random_shelf(600, 2)
    left_out = np.linalg.norm(shelf.vectors - shelf.quantized * shelf.steps[:, None], axis=1)
    assert (left_out <= shelf.slack).all()
    assert (shelf.slack < 0.02 * np.linalg.norm(shelf.vectors, axis=1)).all()
    assert quantize(np.zeros((1, 8), np.float32))[0].tolist() == [[0] * 8]


def test_only_where_bytes_leave_doubt_a_vector_is_read():
    shelf, _ = random_shelf(600, 2)
    of_others = shelf.vectors.copy()
    query, added = np.ones(8, np.float32), np.zeros(600, np.float32)
    limits = everything(600), 0, np.empty(5, np.int64), np.empty(5, np.float32)
    assert highest.py_func(query, added, shelf, *limits) == 5
    expected = limits[2].tolist()
    of_others[(shelf.vectors.sum(axis=1) < 0) & (np.arange(600) > 100)] = np.nan
    highest.py_func(query, added, shelf._replace(vectors=of_others), *limits)
    assert limits[2].tolist() == expected


def test_pins_stand_at_their_places_and_boosts_are_added():
    _, model = trained()
    ranker, (shelf, allowed) = ItemRanker(model), random_shelf(600, 12)
    allowed[[5, 6]], allowed[7] = True, False
    context, boosts = empty(), np.zeros(600, np.float32)
    before = ranker.scores("view", context, shelf.vectors, shelf.categories)
    last = int(np.flatnonzero(allowed)[before[allowed].argmin()])
    boosts[last], boosts[5] = 100, 1
    asked = wanted(allowed, boosts=boosts, pins=[(1, 7), (2, 5), (900, 6)])
    rankings = ranker.rank("view", context, shelf, asked, 4)
    rows, scores = ranked(rankings)
    assert (rows[0], rows[1], rows[-1], len(rows)) == (last, 5, 6, 4)
    assert rankings.is_pinned[0].tolist() == [False, True, False, True]
    np.testing.assert_allclose(scores[:2], [before[last] + 100, before[5] + 1], rtol=1e-5)
    rows, _ = ranked(ranker.rank("view", context, shelf, asked, 1000))
    assert (len(rows), rows[-1]) == (allowed.sum(), 6)


def test_the_best_of_some_scores_are_those_allowed_and_equal_ones_come_in_order():
    scores = np.array([1, 5, 5, 9, 2], np.float32)
    allowed = np.array([True, True, True, False, True])
    assert best(scores, allowed, 3).tolist() == [1, 2, 4]
    assert best(scores, allowed, 100).tolist() == [1, 2, 4, 0]
    assert best(scores, np.zeros(5, np.bool_), 3).tolist() == []
