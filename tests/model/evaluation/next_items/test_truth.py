import pytest

from model.evaluation.next_items.baselines import CategoryPopularity, Popularity
from model.evaluation.next_items.compare import compare_next_items
from model.evaluation.next_items.truth import TrueProbabilities
from model.simulator import SimulationSettings, simulated_shop
from service.errors import EvaluationError
from tests.model.items.visits import read_journeys

DAY_MS = 86_400_000


@pytest.fixture(scope="module")
def shop():
    return simulated_shop(SimulationSettings(events=20_000, users=500, items=400))


@pytest.fixture(scope="module")
def journeys(shop):
    return read_journeys(shop.events, shop.oracle.item_ids)


def test_nobody_is_better_than_the_truth(shop, journeys):
    models = [TrueProbabilities(shop.oracle, shop.events), Popularity(), CategoryPopularity()]
    split_ms = SimulationSettings.start_ms + 6 * DAY_MS
    view = compare_next_items(models, journeys, split_ms, rival="truth", goals=["view"])["goals"]["view"]["all"]
    assert view["metrics"]["truth"]["recall_20"]["value"] > 0.6
    assert all(each["recall_20"]["interval"][1] < 0 for each in view["differences"].values())


def test_the_truth_is_known_of_views_alone(shop, journeys):
    with pytest.raises(EvaluationError, match="not the next cart"):
        TrueProbabilities(shop.oracle, shop.events).fit(journeys, "cart")
