from dataclasses import astuple

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from model.events import Event
from model.items.codes import item_codes
from model.items.contexts import NO_ITEM, PLACES, Contexts, HeldEvents
from model.scoring import prepare_batch
from model.sequence import stored_events
from model.states import StateCodec
from model.training.next_items import contexts_of
from tests.model.items.visits import read_journeys
from tests.model.shop import START_MS, USERS, columns, shoppers_events


@given(st.integers(1, 150), st.integers(0, 20))
def test_a_state_gives_the_context_that_the_history_gives(count, seed):
    events = shoppers_events(count, seed)
    codec = StateCodec(2, 7, has_item_ends=True)
    states = codec.blank(USERS)
    users, batch, source = columns(events)
    prepare_batch(states, users, batch, source)
    if not any(event.item_id for event in events):
        return
    journeys = read_journeys(events)
    codes = item_codes(journeys.item_ids)

    def rows_of(wanted):
        return np.array([np.flatnonzero(codes == code)[0] if code else NO_ITEM for code in wanted], np.int32)

    of_all, of_all_held = Contexts.of_states(states, rows_of)
    ring_users, stored = stored_events(states["sequence"], item_ends=states["item_ends"])
    for number in range(USERS):
        found, held = of_all.take(np.array([number])), HeldEvents(*(column[number] for column in astuple(of_all_held)))
        kept = stored[ring_users == number][::-1]
        kept = kept[kept["item"] > 0]
        assert held.times_s[: len(kept)].tolist() == kept["time_s"].tolist()
        assert held.types[: len(kept)].tolist() == kept["type"].tolist()
        assert held.id_hashes[: len(kept)].tolist() == kept["id_hash"].tolist()
        mine = [event for event in events if event.user_id == str(number)]
        in_ring = [event for event in mine[-PLACES:] if event.item_id]
        last = np.flatnonzero([event.item_id is not None for event in mine])
        assert (found.items[0] != NO_ITEM).tolist() == [place < len(in_ring) for place in range(PLACES)]
        if not len(last) or last[-1] != len(mine) - 1:
            continue  # training asks after events with an item only
        shopper = list(dict.fromkeys(event.user_id for event in events)).index(str(number))
        row = journeys.starts[shopper + 1] - 1
        expected = contexts_of(journeys, np.array([row]))
        there = slice(0, len(in_ring))
        assert found.items[0, there].tolist() == expected.items[0, there].tolist()
        assert found.types[0, there].tolist() == expected.types[0, there].tolist()
        np.testing.assert_allclose(found.ages[0, there], expected.ages[0, there], atol=0.7)
        np.testing.assert_allclose(np.expm1(found.ages[0, there]), np.expm1(expected.ages[0, there]), atol=1.5)
        assert found.in_session[0, there].tolist() == expected.in_session[0, there].tolist()


def test_a_state_without_events_has_an_empty_context():
    state = StateCodec(2, 7, has_item_ends=True).blank(1)
    context, held = Contexts.of_states(state, lambda codes: np.full(len(codes), NO_ITEM, np.int32))
    assert context.items.tolist() == [[NO_ITEM] * PLACES]
    assert held.times_s.shape == (1, PLACES)


def test_an_item_that_is_not_known_leaves_no_place():
    codec = StateCodec(2, 7, has_item_ends=True)
    states = codec.blank(1)
    events = [Event(f"e{number}", "0", "view", START_MS + number, item_id=item) for number, item in enumerate("abc")]
    users, batch, source = columns(events)
    prepare_batch(states, users, batch, source)
    known = item_codes(["a", "c"])
    context, held = Contexts.of_states(
        states, lambda codes: np.array([7 if code in known else NO_ITEM for code in codes], np.int32)
    )
    assert context.items[0, :3].tolist() == [7, 7, NO_ITEM]
    assert np.diff(held.times_s[0, :2]).tolist() == [0]


def test_a_place_that_is_left_out_is_taken_by_the_next():
    context = Contexts.of_events(
        np.array([2]), np.array([0]), np.array([5, 6, 7], np.int32), np.zeros(3, np.uint8), np.arange(3), np.zeros(3)
    )
    assert context.items[0, :4].tolist() == [7, 6, 5, NO_ITEM]
    assert context.without(np.array([1])).items[0, :3].tolist() == [7, 5, NO_ITEM]
