import numpy as np
import pytest
import torch

from model.core.append import append_events
from model.inference import InferenceRequest, Scorer
from model.scoring import finish, finish_rebuild, prepare_batch, rebuild_request
from model.sequence import new_sequences
from model.states import StateCodec
from tests.model.shop import USERS, columns, shoppers_events

CPU = torch.device("cpu")


def codec_of(checkpoint) -> StateCodec:
    return StateCodec(checkpoint.model.config.carried_floats, checkpoint.code)


def score_in_batches(checkpoint, events, size):
    """Return the propensities by event, and the states after them."""
    scorer, codec = Scorer(checkpoint, CPU), codec_of(checkpoint)
    states = codec.gather([None] * USERS)
    propensities = np.full((len(events), 3), np.nan, np.float32)
    for first in range(0, len(events), size):
        prepared = prepare_batch(states, *columns(events[first : first + size], first))
        propensities[first + prepared.appended.rows] = finish(states, prepared, scorer.score(prepared.request))
    return propensities, states


@pytest.mark.parametrize("size", [1, 7, 50])
def test_propensities_do_not_depend_on_how_events_are_cut_into_batches(checkpoint, size):
    events = shoppers_events(150)
    at_once, states = score_in_batches(checkpoint, events, 150)
    in_pieces, states_in_pieces = score_in_batches(checkpoint, events, size)
    np.testing.assert_allclose(in_pieces, at_once, atol=1e-6)
    np.testing.assert_allclose(states_in_pieces["carried"], states["carried"], atol=1e-5)


def test_scores_after_a_restart_equal_those_without_one(checkpoint):
    events, codec = shoppers_events(100), codec_of(checkpoint)
    expected, _ = score_in_batches(checkpoint, events, 10)
    _, states = score_in_batches(checkpoint, events[:60], 10)
    restored = codec.gather(codec.scatter(states))
    users, batch, source = columns(events[50:], 50)
    prepared = prepare_batch(restored, users, batch, source)
    assert prepared.appended.already_applied == 10
    propensities = finish(restored, prepared, Scorer(checkpoint, CPU).score(prepared.request))
    np.testing.assert_allclose(propensities, expected[50:][prepared.appended.rows], atol=1e-6)


def test_every_accepted_event_has_a_probability_a_horizon(checkpoint):
    propensities, _ = score_in_batches(checkpoint, shoppers_events(50), 50)
    assert propensities.shape == (50, 3)
    assert ((propensities > 0) & (propensities < 1)).all()


def test_duplicates_leave_the_carried_numbers_as_they_are(checkpoint):
    events = shoppers_events(30)
    _, states = score_in_batches(checkpoint, events, 30)
    before = states["carried"].copy()
    prepared = prepare_batch(states, *columns(events[-5:], 30))
    scored = Scorer(checkpoint, CPU).score(prepared.request)
    assert len(finish(states, prepared, scored)) == 0
    np.testing.assert_array_equal(states["carried"], before)


def rebuilt_from_scratch(checkpoint, ring_events):
    """Run one user's events from a fresh state through the model, as a rebuild should."""
    sequences = new_sequences(1)
    users, batch, source = columns(ring_events)
    appended = append_events(sequences, np.zeros_like(users), batch, source)
    carried = np.zeros((1, checkpoint.model.config.carried_floats), np.float16)
    return Scorer(checkpoint, CPU).score(InferenceRequest(appended.features, appended.users, carried)).carried[0]


def test_states_of_another_model_are_rebuilt_once_from_their_rings(checkpoint, other_checkpoint):
    """Whole seconds and prices that half precision holds: so the ring forgets nothing but what lies before it."""
    exact = [
        type(event)(event.event_id, event.user_id, event.type, event.ts // 1000 * 1000, event.item_id, event.category)
        for event in shoppers_events(240, users=USERS - 1)
    ]
    _, states = score_in_batches(checkpoint, exact, 240)
    codec = codec_of(other_checkpoint)
    successors = codec.gather(codec_of(checkpoint).scatter(states))
    steps = rebuild_request(codec, successors)
    assert steps is not None
    finish_rebuild(successors, steps, Scorer(other_checkpoint, CPU).score(steps))
    for user in range(USERS - 1):
        ring = [event for event in exact if event.user_id == str(user)][-32:]
        np.testing.assert_allclose(successors["carried"][user], rebuilt_from_scratch(other_checkpoint, ring), atol=1e-5)
    assert not successors["carried"][USERS - 1].any()
    assert rebuild_request(codec, successors) is None
    assert codec.stale(codec.gather(codec.scatter(successors))).tolist() == []
    prepared = prepare_batch(successors, *columns(shoppers_events(250, users=USERS - 1)[240:], 240))
    assert len(finish(successors, prepared, Scorer(other_checkpoint, CPU).score(prepared.request))) == 10


def test_only_the_stale_states_of_a_batch_are_rebuilt(checkpoint):
    events, codec = shoppers_events(60), codec_of(checkpoint)
    _, states = score_in_batches(checkpoint, events, 60)
    before = states["carried"].copy()
    states["sequence"]["model"][[1, 4]] = 99
    steps = rebuild_request(codec, states)
    assert steps is not None
    assert set(steps.users.tolist()) == {1, 4}
    finish_rebuild(states, steps, Scorer(checkpoint, CPU).score(steps))
    others = [0, 2, 3, 5]
    np.testing.assert_array_equal(states["carried"][others], before[others])
    assert states["carried"][[1, 4]].any(axis=1).all()


def test_a_stale_state_without_events_needs_no_rebuild(checkpoint):
    codec = codec_of(checkpoint)
    states = codec.gather([None])
    states["sequence"]["model"] = 99
    assert rebuild_request(codec, states) is None
    assert states["sequence"]["model"].tolist() == [checkpoint.code]


def test_a_state_keeps_the_propensities_after_its_last_event(checkpoint):
    events = shoppers_events(150, users=USERS - 1)
    propensities, states = score_in_batches(checkpoint, events, 40)
    for user in range(USERS - 1):
        last = max(row for row, event in enumerate(events) if event.user_id == str(user))
        np.testing.assert_array_equal(states["latest"][user], propensities[last])
    assert np.isnan(states["latest"][USERS - 1]).all()
    begin_again = prepare_batch(states, *columns(events[-5:], 150))
    before = states["latest"].copy()
    finish(states, begin_again, Scorer(checkpoint, CPU).score(begin_again.request))
    np.testing.assert_array_equal(states["latest"], before)  # duplicates change nothing


def test_propensities_of_another_model_are_forgotten_with_what_it_carried(checkpoint):
    codec = codec_of(checkpoint)
    _, states = score_in_batches(checkpoint, shoppers_events(60), 60)
    states["sequence"]["model"][2] = 99
    rebuild_request(codec, states)
    assert np.isnan(states["latest"][2]).all()
    assert np.isfinite(np.delete(states["latest"], 2, axis=0)).all()
