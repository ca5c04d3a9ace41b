import pytest

from model.items.targets import Transitions
from tests.model.items.visits import DAY, at, journeys_of, named, visit


def pairs(journeys, goal, from_ms=0):
    """Return each query's item and its target."""
    transitions = Transitions.of(journeys, goal, from_ms)
    return list(zip(named(journeys, transitions.queries.items), named(journeys, transitions.targets), strict=True))


def test_the_next_view_is_in_the_same_session_and_may_be_the_same_item():
    journeys = journeys_of(visit("u", 0, "a", "a", "b", "a"), visit("u", 100, "c"), visit("v", 5, "d", "e"))
    assert pairs(journeys, "view") == [("a", "a"), ("a", "b"), ("b", "a"), ("d", "e")]


def test_what_is_no_view_is_asked_but_is_no_target_of_the_views():
    journeys = journeys_of(visit("u", 0, "a", "cart a", "remove_from_cart a", "purchase b", "c"))
    assert pairs(journeys, "view") == [("a", "c"), ("a", "c"), ("b", "c")]  # a removal is not asked


@pytest.mark.parametrize("goal", ["cart", "purchase"])
def test_carts_and_purchases_count_in_later_sessions_of_24_hours(goal):
    journeys = journeys_of(visit("u", 0, "a"), visit("u", 2, "b"), visit("u", DAY + 1, f"{goal} c"))
    assert pairs(journeys, goal) == [("b", "c")]


def test_the_event_itself_is_not_its_target():
    journeys = journeys_of(visit("u", 0, "a", "cart a", "b", "cart b"))
    assert pairs(journeys, "cart") == [("a", "a"), ("a", "b"), ("b", "b")]


def test_a_goal_that_never_happens_has_no_transitions():
    assert pairs(journeys_of(visit("u", 0, "a", "b")), "purchase") == []


def test_queries_begin_at_the_split_and_know_the_session_before_it():
    journeys = journeys_of(visit("u", 0, "a", "b", "c", "d"))
    transitions = Transitions.of(journeys, "view", at(1))
    assert pairs(journeys, "view", at(1)) == [("b", "c"), ("c", "d")]
    assert transitions.queries.session_starts.tolist() == [0, 0]
