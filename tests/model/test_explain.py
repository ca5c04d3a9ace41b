"""Attributions by leaving out, against the slow and obvious way: score the history again without the event."""

import msgspec
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from model.batch import batch_of, event_hash
from model.checkpoint import DEFAULT_CHECKPOINT, load_checkpoint
from model.core.append import Source, append_events
from model.events import Event
from model.explain import Explainer, log_odds, place_of
from model.inference import Scorer
from model.offline import OfflineScoring
from model.sequence import RING_EVENTS, new_sequences, shortened, stored_events
from model.simulator import SimulationSettings, simulate
from model.states import StateCodec
from tests.model.shop import START_MS, shoppers_events


def whole_seconds(count: int, seed: int = 1) -> list[Event]:
    """One shopper's events of which a state forgets nothing: whole seconds, no price but 0, words in four of them."""
    events = shoppers_events(count, seed=seed, users=1)
    wordy = [event for event in events if event.text][-4:]
    return [
        msgspec.structs.replace(
            event,
            ts=event.ts // 1000 * 1000,
            price=None if event.price is None else 0.0,
            text=event.text if event in wordy else None,
        )
        for event in events
    ]


def sequence_of(events: list[Event]):
    sequence = new_sequences(1)
    users = np.zeros(len(events), np.int64)
    append_events(sequence, users, batch_of(events), Source(1, np.arange(len(events))))
    return sequence


def scored_offline(checkpoint, events: list[Event]) -> np.ndarray:
    """The propensities after the last event, as `cartcast score` gives them."""
    codec = StateCodec(checkpoint.model.config.carried_floats, checkpoint.code)
    scoring = OfflineScoring(Scorer(checkpoint, torch.device("cpu")), codec)
    return list(scoring.score(events))[-1].propensities[-1]


@pytest.fixture(scope="module")
def shipped():
    return load_checkpoint(DEFAULT_CHECKPOINT)


@pytest.mark.parametrize("count", [2, 9, RING_EVENTS])
def test_a_contribution_is_what_scoring_the_history_without_the_event_changes(shipped, count):
    events = whole_seconds(count)
    explanation = Explainer(shipped).explain(sequence_of(events))
    np.testing.assert_allclose(explanation.from_ring, scored_offline(shipped, events), atol=2e-6)
    for place in range(count):
        without = scored_offline(shipped, events[:place] + events[place + 1 :])
        np.testing.assert_allclose(explanation.without[place], without, atol=2e-6)
    np.testing.assert_allclose(explanation.contributions, explanation.from_ring - explanation.without)
    assert explanation.earlier == 0


@given(st.integers(2, 30), st.data())
def test_an_earlier_event_is_explained_as_if_it_were_the_last(checkpoint, count, data):
    place = data.draw(st.integers(0, count - 1))
    events = whole_seconds(count, seed=count)
    explainer = Explainer(checkpoint)
    earlier, as_last = (
        explainer.explain(sequence_of(events), place),
        explainer.explain(sequence_of(events[: place + 1])),
    )
    np.testing.assert_allclose(earlier.without, as_last.without, atol=1e-6)
    np.testing.assert_allclose(earlier.from_ring, as_last.from_ring, atol=1e-6)
    assert earlier.events.tobytes() == as_last.events.tobytes()


def test_what_lies_before_the_ring_is_counted_but_not_explained(checkpoint):
    events = whole_seconds(RING_EVENTS + 7)
    explanation = Explainer(checkpoint).explain(sequence_of(events))
    assert (len(explanation.events), explanation.earlier) == (RING_EVENTS, 7)
    np.testing.assert_allclose(explanation.from_ring, scored_offline(checkpoint, events[7:]), atol=2e-6)
    assert explanation.events["id_hash"].tolist() == [shortened(event_hash(event.event_id)) for event in events[7:]]


def test_a_single_event_has_a_propensity_but_nothing_to_compare_it_with(checkpoint):
    explanation = Explainer(checkpoint).explain(sequence_of(whole_seconds(1)))
    assert np.isfinite(explanation.from_ring).all()
    assert np.isnan(explanation.contributions).all()
    assert np.isnan(explanation.log_odds).all()


def test_a_shopper_who_has_done_nothing_cannot_be_explained(checkpoint):
    with pytest.raises(IndexError):
        Explainer(checkpoint).explain(new_sequences(1))


def test_explaining_leaves_the_state_as_it_was(checkpoint):
    sequence = sequence_of(whole_seconds(20))
    before = sequence.tobytes()
    Explainer(checkpoint).explain(sequence)
    assert sequence.tobytes() == before


def test_an_explainer_leaves_the_model_that_serves_alone(checkpoint):
    explainer = Explainer(checkpoint)
    assert explainer._scorer._model is not checkpoint.model
    np.testing.assert_array_equal(
        explainer.from_ring(sequence_of(whole_seconds(5))),
        explainer.explain(sequence_of(whole_seconds(5))).from_ring,
    )


def test_an_event_is_found_by_its_id_while_it_is_stored():
    events = whole_seconds(RING_EVENTS + 3)
    sequence = sequence_of(events)
    assert place_of(sequence, event_hash(events[-1].event_id)) == RING_EVENTS - 1
    assert place_of(sequence, event_hash(events[3].event_id)) == 0
    assert place_of(sequence, event_hash(events[2].event_id)) is None  # remembered as an id, no longer stored
    assert place_of(sequence, event_hash("another")) is None


def test_log_odds_of_the_extremes_are_finite():
    assert log_odds(np.array([0.0, 0.5, 1.0])).tolist() == pytest.approx([-13.8155, 0.0, 13.8155], abs=1e-3)


def _shopper(*kinds: str, text: str | None = None) -> list[Event]:
    return [
        Event(event_id=f"e{number}", user_id="u", type=kind, ts=START_MS + 30_000 * number, item_id="i", category="c",
              price=40.0, text=text if kind == "search" else None)
        for number, kind in enumerate(kinds)
    ]  # fmt: skip


def test_a_cart_among_views_is_what_raised_the_propensity(shipped):
    explanation = Explainer(shipped).explain(sequence_of(_shopper("view", "view", "cart", "view", "view")))
    assert explanation.log_odds[:, 0].argmax() == 2
    assert explanation.log_odds[2, 0] > 0.5


@pytest.mark.parametrize(
    ("bought", "looked"), [("shoes order delivery", "shoes ideas photos"), ("鞋子 下单", "鞋子 灵感")]
)
def test_words_of_buyers_raise_it_and_words_of_idlers_lower_it(shipped, bought, looked):
    """The simulated shop's words have a known effect: `model.simulator.wording`."""
    raised, lowered = (
        Explainer(shipped).explain(sequence_of(_shopper("view", "search", "view", text=text))).log_odds[1, 0]
        for text in (bought, looked)
    )
    assert raised > 0.2
    assert lowered < 0


def test_the_attributed_events_are_those_whose_removal_together_changes_most(shipped):
    """Faithfulness (deletion): the three events with the largest attributions, against any three and the smallest."""
    by_user: dict[str, list[Event]] = {}
    for event in simulate(SimulationSettings(events=6000, users=150, seed=3)):
        by_user.setdefault(event.user_id, []).append(event)
    explainer, random, changes = Explainer(shipped), np.random.default_rng(1), []
    for events in [events for events in by_user.values() if len(events) >= 12][:60]:
        sequence = sequence_of(events)
        explanation = explainer.explain(sequence)
        order = np.argsort(-np.abs(explanation.log_odds[:, 0]))
        _, stored = stored_events(sequence)
        kept = np.ones((4, len(stored)), np.bool_)
        for variant, removed in enumerate([[], order[:3], random.permutation(order)[:3], order[-3:]]):
            kept[variant, np.array(removed, np.int64)] = False
        found = log_odds(explainer.propensities(stored, kept)[:, 0])
        changes.append(np.abs(found[1:] - found[0]))
    top, at_random, bottom = np.mean(changes, axis=0)
    assert top > 2 * at_random > 2 * bottom
