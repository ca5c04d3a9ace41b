"""Goals and money of generated definitions: their labels are those of the definition, and nothing of the future."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model.events import EVENT_TYPES, Event
from model.horizons import SESSION, SESSION_GAP_MS, horizon_ms, longest_horizon_ms
from model.shop import shop_of
from model.simulator import SimulationSettings, simulate
from model.training.examples import Examples, hidden_users
from model.training.history import read_history
from model.training.split import TimeSplit

OWN_TYPES = {"add_to_bag": "cart", "order": "purchase", "subscribe": "none"}
TYPES = ("view", "cart", "purchase", "refund", *OWN_TYPES, "unheard_of")
WITHIN = ("session", "10m", "1h", "3d")
CONDITIONS = (
    ("price", {"at_least": 20}),
    ("price", {"below": 20}),
    ("quantity", {"is": 2}),
    ("value", {"at_least": 30}),
    ("category", {"one_of": ["bags", "hats"]}),
    ("brand", {"is": "acme"}),
)
STEP_MS = 300_000
START_MS = 1_700_000_000_000

goals = st.fixed_dictionaries(
    {
        "event": st.lists(st.sampled_from((*EVENT_TYPES, *OWN_TYPES)), min_size=1, max_size=3, unique=True),
        "within": st.sampled_from(WITHIN),
        "where": st.lists(st.sampled_from(CONDITIONS), max_size=2).map(dict),
    }
)
shops = st.builds(
    lambda named, within: shop_of(
        {
            "types": OWN_TYPES,
            "attributes": {"brand": {"kind": "categorical"}},
            "goals": named,
            "money": {"within": within},
        }
    ),
    st.dictionaries(st.sampled_from(["a", "b", "c", "d"]), goals, min_size=1),
    st.sampled_from(WITHIN),
)
histories = st.lists(
    st.tuples(
        st.sampled_from("uvw"),
        st.sampled_from(TYPES),
        st.integers(0, 30),
        st.sampled_from([None, 5.0, 25.0]),
        st.sampled_from([None, 1.0, 2.0]),
        st.sampled_from([None, "bags", "shoes"]),
        st.sampled_from([None, {"brand": "acme"}, {"brand": "other"}]),
    ),
    min_size=2,
    max_size=30,
).map(
    lambda rows: [
        Event(f"e{n}", user, name, START_MS + step * STEP_MS, None, category, price, quantity, attributes=attributes)
        for n, (user, name, step, price, quantity, category, attributes) in enumerate(rows)
    ]
)


def is_met(event, goal, shop):
    """The definition of a goal, read afresh."""
    behaves_like = dict(zip(shop.event_types, shop.behaves_like, strict=True))
    name = event.type if event.type in behaves_like else "other"
    value = None if event.price is None else event.price * (event.quantity or 1)
    fields = {"price": event.price, "quantity": event.quantity, "value": value, "category": event.category}
    fields["brand"] = (event.attributes or {}).get("brand")
    if not {name, behaves_like[name]} & set(goal.event):
        return False
    for field, asked in goal.where.items():
        found = fields[field]
        if found is None:
            return False
        wanted = [] if asked.equals is None else [asked.equals]
        if (wanted or asked.one_of) and found not in (*wanted, *(asked.one_of or ())):
            return False
        if asked.at_least is not None and not found >= asked.at_least:
            return False
        if asked.below is not None and not found < asked.below:
            return False
    return True


def later(event, events, within):
    """The same shopper's strictly later events within a time."""
    mine = sorted((one for one in events if one.user_id == event.user_id), key=lambda one: one.ts)
    until = event.ts
    if within == SESSION:
        for one in mine:
            if until < one.ts <= until + SESSION_GAP_MS:
                until = one.ts
    else:
        until += horizon_ms(within)
    return [one for one in mine if event.ts < one.ts <= until]


@settings(max_examples=60)
@given(shops, histories)
def test_labels_of_goals_and_money_are_those_of_their_definition(shop, events):
    events.sort(key=lambda event: event.ts)
    history = read_history(events, shop=shop)
    names = tuple(shop.goals)
    split = TimeSplit(0, 0, START_MS + 100 * 86_400_000)
    examples = Examples.of(history, split, np.zeros(len(history.user_ids), np.bool_), names)
    for row, place in enumerate(history.rows.tolist()):
        event = events[place]
        for column, goal in enumerate(shop.goals.values()):
            expected = any(is_met(one, goal, shop) for one in later(event, events, goal.within))
            assert examples.bought[row, column] == expected, (event, goal)
        bought = [one for one in later(event, events, shop.money.within) if one.type in {"purchase", "order"}]
        worth = sum((one.price or 0.0) * (one.quantity or 1) for one in bought)
        assert examples.amounts.settled[row, 0] == pytest.approx(worth)


@settings(max_examples=40)
@given(shops, histories, st.integers(1, 29))
def test_later_events_change_no_goal_that_an_event_meets_and_no_input(shop, events, steps):
    events.sort(key=lambda event: event.ts)
    before = [event for event in events if event.ts <= START_MS + steps * STEP_MS]
    if not before:
        return
    short, whole = read_history(before, shop=shop), read_history(events, shop=shop)
    for name in ("met_goals", "numeric", "categories", "tokens"):
        everything = dict(zip(whole.rows.tolist(), getattr(whole, name).tolist(), strict=True))
        for row, value in zip(short.rows.tolist(), getattr(short, name).tolist(), strict=True):
            assert value == pytest.approx(everything[row], abs=1e-6)


@settings(max_examples=40)
@given(shops, histories, st.integers(1, 29))
def test_a_label_is_known_when_the_time_of_its_goal_is_over_and_no_later_event_changes_it(shop, events, steps):
    """So each goal is purged by its own length, and so is money."""
    events.sort(key=lambda event: event.ts)
    cut_ms, names = START_MS + steps * STEP_MS, tuple(shop.goals)
    history = read_history(events, shop=shop)
    split, nobody = TimeSplit(cut_ms, cut_ms, START_MS + 100 * 86_400_000), np.zeros(len(history.user_ids), np.bool_)
    examples = Examples.of(history, split, nobody, names)
    is_early = history.applied_ms < cut_ms
    silent = dataclasses.replace(
        history,
        met_goals=np.where(is_early, history.met_goals, 0).astype(np.uint16),
        values=np.where(is_early, history.values, 0).astype(np.float32),
    )
    of_the_past = Examples.of(silent, split, nobody, names)
    assert (of_the_past.bought[examples.learnt] == examples.bought[examples.learnt]).all()
    known = ~np.isnan(examples.amounts.learnt)
    assert (of_the_past.amounts.settled[known] == examples.amounts.learnt[known]).all()
    for column, within in enumerate((*shop.within(names), shop.money.within)):
        is_learnt = np.column_stack((examples.learnt, known))[:, column]
        latest = history.time_ms[is_learnt]
        assert (latest + longest_horizon_ms((within,)) < cut_ms).all()


SIMULATED = shop_of(
    {"goals": {"cart_soon": {"event": "cart", "within": "1h"}, "view_later": {"event": "view", "within": "3d"}}}
)


def test_each_goal_is_purged_by_its_own_length():
    history = read_history(simulate(SimulationSettings(events=15_000, users=300, seed=4)), shop=SIMULATED)
    names = ("cart_soon", "view_later")
    split = TimeSplit.of(history.applied_ms, horizon_ms("3d"))
    examples = Examples.of(history, split, hidden_users(history), names)
    for known, until_ms in (
        (examples.learnt, split.validation_from_ms),
        (examples.learnt_before_test, split.test_from_ms),
    ):
        soon, late = (int(history.time_ms[rows].max()) for rows in known.T)
        assert late <= until_ms - horizon_ms("3d")
        assert until_ms - horizon_ms("3d") < soon <= until_ms - horizon_ms("1h")


def test_an_event_that_arrives_after_what_its_goal_asks_is_neither_learnt_nor_measured():
    events = [
        Event("a", "u", "cart", START_MS + STEP_MS),
        Event("b", "u", "view", START_MS),
        Event("c", "u", "view", START_MS + 2 * STEP_MS),
    ]
    history = read_history(events, shop=SIMULATED)
    split = TimeSplit(0, 0, START_MS + 100 * 86_400_000)
    examples = Examples.of(history, split, np.zeros(1, np.bool_), ("1h", "cart_soon"))
    assert examples.settled.tolist() == [[True, True], [True, False], [True, True]]
