import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from model.core.append import Source
from model.items.moments import Triggers
from model.scoring import prepare_batch
from model.shop import shop_of
from model.states import StateCodec
from tests.model.shop import USERS, columns, shoppers_events

CODEC = StateCodec(2, 7, has_item_ends=True)


def moments_of(triggers, events, cuts=()):
    """Rows and states of the moments of some events, which come in so many pieces, and the states in the end."""
    users, batch, source = columns(events)
    states, rows, found = CODEC.blank(USERS), [], []
    for part in np.split(np.arange(len(batch)), sorted(cuts)):
        some = batch.take(part)
        part_source = Source(source.code, source.offsets[part])
        before = triggers.before(states, users[part], some)
        prepared = prepare_batch(states, users[part], some, part_source)
        moments = triggers.moments(before, states, some, part_source, prepared.appended)
        rows += part[moments.rows].tolist()
        found += [(state["sequence"].tobytes(), state["item_ends"].tobytes()) for state in moments.states]
    return rows, found, states


@given(st.integers(1, 120), st.integers(0, 20), st.lists(st.integers(0, 120), max_size=3), st.sampled_from([0, 90_000]))
def test_moments_and_states_are_those_of_one_event_after_the_other(count, seed, cuts, every_ms):
    triggers = Triggers.of(frozenset({"view", "cart"}), every_ms=every_ms)
    events = shoppers_events(count, seed)
    expected = moments_of(triggers, events, range(1, count))
    found = moments_of(triggers, events, [cut for cut in cuts if cut < count])
    assert found[:2] == expected[:2]
    assert np.array_equal(found[2]["recommended_ms"], expected[2]["recommended_ms"])
    assert {events[row].type for row in found[0]} <= {"view", "cart"}


@pytest.mark.parametrize(
    ("every_ms", "expected"), [(0, [0, 1, 2, 3]), (1000, [0, 1, 2, 3]), (1001, [0, 2]), (3000, [0, 3])]
)
def test_a_shopper_has_at_most_one_in_an_interval(every_ms, expected):
    made = shoppers_events(1)[0]
    events = [replace(made, event_id=f"e{number}", ts=made.ts + 1000 * number) for number in range(4)]
    assert moments_of(Triggers.of(frozenset({made.type}), every_ms=every_ms), events)[0] == expected


def test_a_repeated_event_is_no_moment():
    made = shoppers_events(1)[0]
    assert moments_of(Triggers.of(frozenset({made.type})), [made, made])[0] == [0]


def test_a_list_that_was_shown_is_no_moment_and_stands_in_the_way_of_none():
    made = shoppers_events(1)[0]
    shown = replace(made, event_id="shown", type="impression", item_id=None, items=["a", "b"])
    events = [made, shown, replace(made, event_id="later", ts=made.ts + 1000), replace(shown, event_id="again")]
    assert moments_of(Triggers.of(frozenset({made.type, "other"})), events)[0] == [0, 2]
    assert moments_of(Triggers.of(frozenset({made.type})), [shown])[0] == []


def test_a_shop_s_own_type_is_meant_by_its_name():
    shop = shop_of({"types": {"wishlist": "favorite"}})
    triggers = Triggers.of(frozenset({"wishlist"}), shop)
    assert triggers.is_trigger.tolist() == [*(name == "wishlist" for name in shop.event_types), False]
