import numpy as np
import pytest

from model.evaluation.next_items.recipe import measure_next_items, variants
from model.items.item import Item
from model.items.network import NextItemConfig
from model.training.next_items import NextItemSettings
from service.errors import EvaluationError
from tests.model.items.visits import DAY, at, journeys_of, visit

CONFIG, SETTINGS = NextItemConfig(dimension=8, vector_size=2, neighbours=5), NextItemSettings(epochs=1, batch=16)
ITEMS = [
    Item("a", title="red shoe", category="A", vector=[1.0, 0.0]),
    Item("b", title="red boot", vector=[1.0, 0.1]),
    Item("c", title="blue hat", brand="Acme"),
    Item("d"),
]


def journeys(item_ids=()):
    visits = [visit(f"u{n}", 60 * n, *steps) for n, steps in enumerate([("a", "b", "cart b"), ("c", "e")] * 20)]
    visits += [visit(f"t{n}", 3 * DAY + 60 * n, *steps) for n, steps in enumerate([("a", "b"), ("c", "e")] * 6)]
    return journeys_of(*visits, item_ids=item_ids)


def measured(items=(), split_ms=None, **options):
    split_ms = at(3 * DAY) if split_ms is None else split_ms
    return measure_next_items(
        journeys([item.item_id for item in items]),
        items, CONFIG, SETTINGS, split_ms, most_transitions=100, replicas=25, **options,
    )  # fmt: skip


def test_ours_stands_beside_the_baselines_and_differences_are_from_ours():
    found = measured()
    view = found["goals"]["view"]
    assert {"cartcast", "popularity", "vsknn"} <= view["models"].keys()
    assert view["all"]["differences"].keys() == view["models"].keys() - {"cartcast"}
    assert (found["items"], found["catalogue"], found["variants"]) == (4, False, [])


def test_with_a_catalogue_its_items_are_the_candidates_and_its_kinds_of_fields_are_left_out_one_by_one():
    found = measured(ITEMS, ablation=True)
    view = found["goals"]["view"]
    assert (found["items"], found["catalogue"]) == (len(ITEMS), True)
    assert found["variants"] == ["without_words", "without_attributes", "without_vector"]
    assert {*found["variants"], "vsknn"} <= view["all"]["metrics"].keys()
    assert view["all"]["metrics"]["popularity"]["recall_20"]["value"] == pytest.approx(0.5)  # e is not in it


def test_what_is_hidden_is_not_learnt_from(monkeypatch):
    learnt = []

    def remember(_training, columns, config, *_rest):
        learnt.append((config.vector_size, columns.pieces.any(), columns.levels.any(), columns.dimension))
        raise EvaluationError("enough")

    monkeypatch.setattr("model.evaluation.next_items.ours.learn", remember)
    for model in variants(ITEMS, CONFIG, SETTINGS):
        with pytest.raises(EvaluationError):
            model.fit(journeys([item.item_id for item in ITEMS]), "view")
    bare = [Item(item.item_id, vector=item.vector) for item in ITEMS]
    assert [model.name for model in variants(bare, CONFIG, SETTINGS)] == ["without_vector"]
    assert variants([], CONFIG, SETTINGS) == []
    assert np.array(learnt, np.int64).tolist() == [[2, 0, 1, 2], [2, 1, 0, 2], [0, 1, 1, 0]]


def test_without_baselines_ours_is_alone():
    assert list(measured(baselines=False)["goals"]["view"]["models"]) == ["cartcast"]


def test_nothing_to_learn_from_is_an_error():
    with pytest.raises(EvaluationError, match="nothing to learn from"):
        measured(split_ms=0)
