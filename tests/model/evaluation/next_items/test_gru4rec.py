import numpy as np
import pytest
import torch

from model.evaluation.next_items import gru4rec
from model.evaluation.next_items.gru4rec import GRU4Rec
from model.items.targets import Queries
from tests.model.items.visits import DAY, at, journeys_of, likeliest, visit

pytestmark = [
    pytest.mark.skipif(not gru4rec.is_installed(), reason="no Cornac: the extra gru4rec is not installed"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),  # Cornac's own
]
BEFORE = [visit(f"u{number}", number, *("abc" if number % 2 else "xbd")) for number in range(60)]


@pytest.fixture(autouse=True)
def one_thread():
    """Learn as `cartcast evaluate` does: other tests need the cores, and threads that wait for each other are slow."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def asked(*visits):
    """Return what there is to learn from, and a query after the last step of each visit three days later."""
    journeys = journeys_of(*BEFORE, *visits)
    rows = np.flatnonzero(journeys.time_ms >= at(3 * DAY))
    ends = rows[np.append(np.diff(journeys.sessions[rows]) != 0, True)]
    return journeys.before(at(3 * DAY)), Queries(journeys, ends)


def test_what_comes_next_depends_on_the_session_so_far():
    training, queries = asked(visit("v", 3 * DAY, "a", "b"), visit("w", 3 * DAY, "x", "b"))
    first = [items[0] for items in likeliest(GRU4Rec(epochs=10).fit(training, "view"), queries)]
    assert first == ["c", "d"]


def test_it_learns_once_for_all_goals_and_anew_from_other_events():
    training, _ = asked(visit("v", 3 * DAY, "a"))
    model = GRU4Rec(epochs=1)
    assert model.fit(training, "view") is model.fit(training, "cart")
    assert model.fit(training.before(at(50)), "view") is not model.fit(training, "view")


def test_the_same_seed_gives_the_same_scores():
    training, queries = asked(visit("v", 3 * DAY, "a", "b"))
    one, two = (GRU4Rec(epochs=2).fit(training, "view").scores(queries) for _ in range(2))
    assert np.array_equal(one, two)


def test_an_item_that_was_not_learnt_from_says_nothing_and_is_not_recommended():
    training, queries = asked(visit("v", 3 * DAY, "new"), visit("w", 3 * DAY, "new", "a"), visit("x", 3 * DAY, "a"))
    scores = GRU4Rec(epochs=2).fit(training, "view").scores(queries)
    new = queries.journeys.item_ids.index("new")
    assert np.isneginf(scores[:, new]).all()
    assert len(set(scores[0][np.isfinite(scores[0])])) == 1
    assert np.array_equal(scores[1], scores[2])
