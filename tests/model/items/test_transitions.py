import numpy as np
import pytest

from model.items.transitions import count_neighbours


def counted(items, sessions, most=10, chosen=None):
    items, sessions = np.array(items, np.int32), np.array(sessions, np.int64)
    is_counted = np.ones(len(items), np.bool_) if chosen is None else np.array(chosen)
    size = int(items.max()) + 1
    found = count_neighbours(items, sessions, is_counted, size, most)
    return {
        kind: {
            item: dict(
                zip(
                    each.items[slice(*each.starts[item : item + 2])].tolist(),
                    each.weights[slice(*each.starts[item : item + 2])].tolist(),
                    strict=True,
                )
            )
            for item in range(size)
        }
        for kind, each in found.items()
    }


def test_an_item_follows_another_by_one_over_the_distance():
    follows = counted([0, 1, 2], [0, 0, 0])["follows"]
    assert follows == {0: pytest.approx({1: 1 / 2.5, 2: 0.5 / 2.5}), 1: pytest.approx({2: 1 / 2}), 2: {}}


def test_items_are_together_both_ways_and_by_the_cosine():
    together = counted([0, 1, 1, 2], [0, 0, 1, 1])["together"]
    assert together[0] == pytest.approx({1: 1 / (3 * 4) ** 0.5})
    assert together[1] == pytest.approx({0: 1 / (3 * 4) ** 0.5, 2: 1 / (3 * 4) ** 0.5})


def test_sessions_are_apart_and_an_item_does_not_follow_itself():
    assert counted([0, 1, 1], [0, 1, 1])["follows"] == {0: {}, 1: {}}


def test_only_the_strongest_are_kept():
    follows = counted([0, 1, 0, 1, 0, 2], [0, 0, 1, 1, 2, 2], most=1)["follows"]
    assert list(follows[0]) == [1]


def test_what_is_not_counted_leaves_no_trace():
    found = counted([0, 1, 0, 2], [0, 0, 1, 1], chosen=[False, False, True, True])
    assert list(found["follows"][0]) == [2]
    assert found["together"][1] == {}
