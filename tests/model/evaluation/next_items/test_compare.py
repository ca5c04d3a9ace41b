import json

import numpy as np
import pytest

from model.evaluation.next_items.baselines import Popularity, SequentialRules
from model.evaluation.next_items.choice import BASELINES, Chosen
from model.evaluation.next_items.compare import compare_next_items
from model.evaluation.next_items.metrics import METRICS
from service.errors import EvaluationError
from tests.model.items.visits import DAY, at, journeys_of, visit

SPLIT = at(3 * DAY)


def shop():
    """Return a shop where b follows a and d follows c, but most is viewed by those who look at one item."""
    visits = [visit(f"p{n}", n, "popular") for n in range(40)]
    visits += [visit(f"u{n}", 60 * n, *steps) for n, steps in enumerate([("a", "b", "cart b"), ("c", "d")] * 20)]
    visits += [visit(f"t{n}", 3 * DAY + 60 * n, *steps) for n, steps in enumerate([("a", "b"), ("c", "d")] * 15)]
    visits += [visit("t99", 3 * DAY + 9, "a", "unseen"), visit("t98", 3 * DAY + 9, "a", "b", "cart b")]
    return journeys_of(*visits)


class Recorded:
    """A model that remembers what it was given."""

    name, title, about = "recorded", "Recorded", ""

    def fit(self, training, goal):
        self.last_ms, self.goal = training.time_ms.max(), goal
        self.asked = []
        return self

    def scores(self, queries):
        self.asked.append(queries)
        return np.zeros((len(queries), len(queries.journeys.item_ids)), np.float32)


def test_a_better_model_is_better_and_its_interval_says_so():
    found = compare_next_items([SequentialRules(), Popularity()], shop(), SPLIT, rival="popularity", goals=["view"])
    view = found["goals"]["view"]["all"]
    assert view["metrics"]["sequential_rules"]["recall_5"]["value"] == pytest.approx(32 / 33, abs=0.03)
    low, high = view["differences"]["sequential_rules"]["mrr_20"]["interval"]
    assert 0 < low < view["differences"]["sequential_rules"]["mrr_20"]["value"] < high
    assert view["metrics"].keys() == {"sequential_rules", "popularity"}
    assert set(METRICS) == view["metrics"]["popularity"].keys()
    json.dumps(found)


def test_a_model_is_best_only_beyond_noise_and_never_as_a_variant():
    models = [SequentialRules(), Popularity()]
    best = compare_next_items(models, shop(), SPLIT, rival="popularity")["goals"]["view"]["all"]["best"]
    assert set(best) == set(METRICS)
    assert (best["mrr_20"], best["recall_20"]) == ("sequential_rules", None)  # both have nearly all of so few items
    alone = compare_next_items(
        [Recorded(), Popularity()], shop(), SPLIT, rival="popularity", variants=[SequentialRules()]
    )
    view = alone["goals"]["view"]["all"]
    assert "sequential_rules" in view["metrics"]
    assert "sequential_rules" not in view["best"].values()


def test_no_model_learns_from_what_comes_after_the_split():
    model = Recorded()
    compare_next_items([model], shop(), SPLIT, rival="recorded", goals=["view"])
    assert model.last_ms < SPLIT
    assert all((queries.journeys.time_ms[queries.rows] >= SPLIT).all() for queries in model.asked)


def test_a_target_that_was_never_seen_is_a_miss_and_cold():
    view = compare_next_items([Recorded()], shop(), SPLIT, rival="recorded", goals=["view"])["goals"]["view"]
    assert (view["transitions"], view["cold_transitions"], view["unseen_transitions"]) == (32, 1, 1)
    assert view["cold"]["metrics"]["recorded"]["recall_20"]["value"] == 0


def test_a_catalogues_item_can_be_found_though_nobody_has_seen_it():
    journeys = shop()
    added_ms = np.zeros(len(journeys.item_ids), np.int64)
    assert cold_recall(journeys, added_ms) == 1


def test_a_catalogues_item_is_no_candidate_before_the_shop_has_it():
    journeys = shop()
    added_ms = np.zeros(len(journeys.item_ids), np.int64)
    asked_ms = at(3 * DAY + 9)
    for since_ms, recall in ((asked_ms, 1), (asked_ms + 1, 0)):
        added_ms[journeys.item_ids.index("unseen")] = since_ms
        assert cold_recall(journeys, added_ms) == recall


def cold_recall(journeys, added_ms):
    found = compare_next_items([Recorded()], journeys, SPLIT, rival="recorded", goals=["view"], added_ms=added_ms)
    return found["goals"]["view"]["cold"]["metrics"]["recorded"]["recall_20"]["value"]


def test_coverage_and_popularity_say_what_is_recommended():
    found = compare_next_items([Popularity(), SequentialRules()], shop(), SPLIT, rival="popularity", goals=["cart"])
    described = found["goals"]["cart"]["models"]
    assert found["items"] == 5
    assert described["popularity"]["coverage_20"] == 1 / 5  # b alone was put into a cart
    assert described["popularity"]["popularity_20"] == pytest.approx(40 / 40)


def test_goals_that_never_happen_are_left_out():
    assert compare_next_items([Popularity()], shop(), SPLIT, rival="popularity")["goals"].keys() == {"view", "cart"}


def test_of_too_many_transitions_whole_sessions_are_drawn():
    found = compare_next_items([Popularity()], shop(), SPLIT, rival="popularity", goals=["view"], most_transitions=10)[
        "goals"
    ]["view"]
    assert 8 <= found["transitions"] <= 10


@pytest.mark.parametrize(("split", "words"), [(at(-1), "nothing to learn from"), (at(99 * DAY), "nothing to compare")])
def test_a_split_that_leaves_nothing_is_refused(split, words):
    with pytest.raises(EvaluationError, match=words):
        compare_next_items([Popularity()], shop(), split, rival="popularity")


def test_settings_are_chosen_on_the_end_of_the_training_part():
    training = shop().before(SPLIT)
    assert Chosen((Popularity(), SequentialRules())).best(training, "view") == SequentialRules()
    assert Chosen((Popularity(), SequentialRules())).best(training, "purchase") == Popularity()  # no transition


def test_every_baseline_can_be_compared_by_name():
    names = [model.name for model in BASELINES]
    found = compare_next_items(BASELINES, shop(), SPLIT, rival="vsknn", replicas=30)
    assert list(found["goals"]["view"]["models"]) == names
    assert len(set(names)) == len(names) == 6
