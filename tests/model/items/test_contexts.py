import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from model.items.codes import item_codes
from model.items.contexts import NO_ITEM, PLACES, Contexts
from model.items.journeys import read_journeys
from model.scoring import prepare_batch
from model.states import StateCodec
from model.training.next_items import contexts_of
from tests.model.shop import USERS, columns, shoppers_events


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
        return np.array([np.flatnonzero(codes == code)[0] for code in wanted], np.int32)

    found, held = Contexts.of_states(states, rows_of)
    assert len(held) == (found.items != NO_ITEM).sum()
    for number in range(USERS):
        mine = [event for event in events if event.user_id == str(number)]
        in_ring = [event for event in mine[-PLACES:] if event.item_id]
        last = np.flatnonzero([event.item_id is not None for event in mine])
        assert (found.items[number] != NO_ITEM).sum() == len(in_ring)
        if not len(last) or last[-1] != len(mine) - 1:
            continue  # training asks after events with an item only
        name = [event.user_id for event in events if event.item_id]
        shopper = list(dict.fromkeys(event.user_id for event in events)).index(str(number))
        assert name
        row = journeys.starts[shopper + 1] - 1
        expected = contexts_of(journeys, np.array([row]))
        there = slice(0, len(in_ring))
        assert found.items[number, there].tolist() == expected.items[0, there].tolist()
        assert found.types[number, there].tolist() == expected.types[0, there].tolist()
        np.testing.assert_allclose(found.ages[number, there], expected.ages[0, there], atol=0.7)
        np.testing.assert_allclose(np.expm1(found.ages[number, there]), np.expm1(expected.ages[0, there]), atol=1.5)
        assert found.in_session[number, there].tolist() == expected.in_session[0, there].tolist()


def test_a_state_without_events_has_an_empty_context():
    states = StateCodec(2, 7, has_item_ends=True).blank(2)
    context, _ = Contexts.of_states(states, lambda codes: codes.astype(np.int32))
    assert (context.items == NO_ITEM).all()
    assert not context.in_session.any()


def test_a_place_that_is_left_out_is_taken_by_the_next():
    context = Contexts.of_events(
        np.array([2]), np.array([0]), np.array([5, 6, 7], np.int32), np.zeros(3, np.uint8), np.arange(3), np.zeros(3)
    )
    assert context.items[0, :4].tolist() == [7, 6, 5, NO_ITEM]
    assert context.without(np.array([1])).items[0, :3].tolist() == [7, 5, NO_ITEM]
