import numpy as np
import pytest

from model.evaluation.next_items.vsknn import SETTINGS, VSKNN
from model.items.targets import Transitions
from tests.model.items.visits import DAY, at, journeys_of, visit


def random_shop(seed, sessions=120, items=30):
    random = np.random.default_rng(seed)
    visits = [
        visit(f"u{number}", int(minute), *(f"i{item}" for item in random.integers(0, items, random.integers(1, 9))))
        for number, minute in enumerate(random.permutation(sessions) * 47)
    ]
    return journeys_of(*visits, *(visit(f"t{n}", 90 * DAY, *("i1", "i2", "i1", f"i{n}", "i3")) for n in range(5)))


def reference(model, training, so_far):
    """Score by the formulas, one session after the other."""
    latest, sessions = {}, {}
    for session, item, time_ms in zip(training.sessions, training.items, training.time_ms, strict=True):
        sessions.setdefault(int(session), set()).add(int(item))
        latest[int(session)] = time_ms
    events = np.bincount(training.items, minlength=len(training.item_ids))
    weights = {item: (place / len(so_far)) ** model.decay for place, item in enumerate(so_far, start=1)}
    sharing = sorted((s for s in sessions if sessions[s] & set(so_far)), key=lambda s: -latest[s])[: model.sample_size]
    similarity = {s: sum(weights[item] for item in sessions[s] & set(so_far)) for s in sharing}
    scores = np.zeros(len(events))
    for session in sorted(sharing, key=lambda s: -similarity[s])[: model.neighbours]:
        distance = next(d for d, item in enumerate(reversed(so_far), start=1) if item in sessions[session])
        for item in sessions[session]:
            idf = np.log(len(sessions) / events[item])
            scores[item] += similarity[session] / distance**model.score_decay * (1 + model.idf_weight * idf)
    return scores


@pytest.mark.parametrize("model", [*SETTINGS, VSKNN(neighbours=7, sample_size=20), VSKNN(decay=1, score_decay=2)])
@pytest.mark.parametrize("seed", [1, 2])
def test_the_compiled_method_is_that_of_the_formulas(model, seed):
    journeys = random_shop(seed)
    training = journeys.before(at(90 * DAY))
    queries = Transitions.of(journeys, "view", at(90 * DAY)).queries
    found = model.fit(training, "view").scores(queries)
    for row, first, last in zip(found, queries.session_starts, queries.rows, strict=True):
        expected = reference(model, training, journeys.items[first : last + 1].tolist())
        np.testing.assert_allclose(np.where(np.isfinite(row), row, 0), expected, rtol=1e-5, atol=1e-7)


def test_neighbours_give_what_was_done_with_the_goals_type():
    journeys = journeys_of(visit("u", 0, "a", "b", "cart b"), visit("v", DAY, "a", "cart x"))
    training = journeys.before(at(DAY))
    queries = Transitions.of(journeys, "cart", at(DAY)).queries
    row = VSKNN().fit(training, "cart").scores(queries)[0]
    assert [journeys.item_ids[item] for item in np.flatnonzero(np.isfinite(row))] == ["b"]
