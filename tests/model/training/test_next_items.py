"""What training knows of a context: nothing of its own shopper's sessions, and of items what was known then."""

import numpy as np
import torch

from model.items.item import Item
from model.items.network import NextItemConfig, log_popularity
from model.training.next_items import NextItemSettings, _Learning, describe, learn
from tests.model.items.made import circling
from tests.model.items.visits import DAY, journeys_of, visit


def learning_of(*visits):
    journeys = journeys_of(*visits)
    config, settings = NextItemConfig(dimension=4), NextItemSettings(batch=16)
    return journeys, _Learning(journeys, describe(journeys), config, settings)


def followers(neighbours, item):
    return neighbours["follows"].items[slice(*neighbours["follows"].starts[item : item + 2])].tolist()


def test_what_follows_an_item_is_not_counted_in_the_sessions_that_are_learnt_from():
    journeys, learning = learning_of(*circling(), visit("alone", 500, "x", "y"))
    x, y = (journeys.item_ids.index(name) for name in "xy")
    fold = learning._fold[journeys.items == x][0]
    assert followers(learning.neighbours[fold], x) == []
    assert followers(learning.neighbours[-1], x) == [y]


def test_each_batch_is_of_one_goal_one_fold_and_one_part_of_the_time():
    _, learning = learning_of(*circling(200))
    batches = learning._batches()
    for goal, rows in batches:
        assert len({(learning._fold[row], learning._slice[row]) for row in rows}) == 1
        assert (learning._targets[goal, rows] >= 0).all()
    for goal in range(3):
        rows = [row for of, part in batches for row in part if of == goal]
        asked = learning._is_asked & (learning._targets[goal] >= 0)
        assert sorted(rows) == np.flatnonzero(asked).tolist()  # each once


def test_an_item_is_new_until_the_part_of_the_time_after_its_first_event():
    late = [visit(f"v{day}", day * DAY, "old", "old", *(["young"] if day >= 6 else [])) for day in range(1, 9)]
    journeys, learning = learning_of(*late)
    young = journeys.item_ids.index("young")
    first = int(learning._slice[journeys.items == young].min())
    assert first > 1
    for part, known in enumerate(learning._known[1:], 1):
        assert (known.own_shares[young] > 0) == (part > first)


def test_an_item_cannot_be_wanted_before_the_shop_has_it():
    visits = circling(200)
    journeys = journeys_of(*visits, item_ids=["late"])
    middle_ms = int(np.median(journeys.time_ms))
    config, settings = NextItemConfig(dimension=4), NextItemSettings(batch=16, forgotten_items=0, dropout=0)
    losses = {}
    for added_at in (None, middle_ms):
        learning = _Learning(journeys, describe(journeys, [Item("late", added_at=added_at)]), config, settings)
        early, after = (
            next(rows for goal, rows in learning._batches() if not goal and is_part(journeys.time_ms[rows]))
            for is_part in (lambda times: (times < middle_ms).all(), lambda times: (times >= middle_ms).all())
        )
        with torch.no_grad():
            learning.network.novelty.shared += 20  # a new item seems much wanted
            losses[added_at] = [float(learning._loss(0, rows)) for rows in (early, after)]
    assert losses[middle_ms][0] < 3
    assert losses[None][0] > 10
    assert losses[middle_ms][1] > 10


def test_that_nobody_wanted_an_item_counts_from_when_the_shop_has_it():
    counts, exposures = np.array([100, 0, 0]), np.array([1.0, 1.0, 0.1])
    always, long_there, new = log_popularity(counts, exposures).tolist()
    assert long_there < new < 0 == always
    assert log_popularity(counts, np.array([1.0, 1.0, 0.0]))[2] == 0  # nothing is known of it


def test_an_item_of_after_the_training_is_an_average_one_if_it_is_known_when_items_came():
    journeys = journeys_of(*circling(40), item_ids=["old", "new"])
    config, settings = NextItemConfig(dimension=4), NextItemSettings(epochs=1, batch=16)
    for added_at, exposure in ((None, 1.0), (int(journeys.time_ms.max()) + 1, 0.0)):
        items = [Item("old"), Item("new", added_at=added_at)]
        model = learn(journeys, describe(journeys, items), config, settings, lambda *_: None)
        assert model.exposures[[0, 1, -1]].tolist() == [1.0, exposure, exposure]


def test_items_of_a_catalogue_come_first_and_others_have_the_category_of_their_last_event():
    items = [Item(item_id="b", category="Books")]
    journeys = journeys_of(visit("u", 0, "a", "b"), item_ids=["b"])
    columns = describe(journeys, items)
    assert journeys.item_ids == ["b", "a"]
    assert columns.categories.tolist() == describe(journeys, [Item(item_id="b", category="Books")]).categories.tolist()
    assert columns.categories[0] != columns.categories[1] != 0
