"""What training knows of a context: nothing of its own shopper's sessions, and of items what was known then."""

import numpy as np

from model.items.item import Item
from model.items.network import NextItemConfig
from model.training.next_items import NextItemSettings, _Learning, describe
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


def test_items_of_a_catalogue_come_first_and_others_have_the_category_of_their_last_event():
    items = [Item(item_id="b", category="Books")]
    journeys = journeys_of(visit("u", 0, "a", "b"), item_ids=["b"])
    columns = describe(journeys, items)
    assert journeys.item_ids == ["b", "a"]
    assert columns.categories.tolist() == describe(journeys, [Item(item_id="b", category="Books")]).categories.tolist()
    assert columns.categories[0] != columns.categories[1] != 0
