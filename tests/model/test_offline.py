from collections.abc import Sequence

import numpy as np
import pytest
import torch

from model.core.texts import EventTexts
from model.events import Event
from model.inference import Scorer
from model.offline import OfflineScoring
from model.scoring import finish, prepare_batch
from model.states import StateCodec
from model.training.history import read_history
from model.training.predict import calibrated, predict_logits
from model.validate import BadRow
from service.errors import TrainingError
from tests.model.shop import USERS, columns, shoppers_events

DAMAGED = BadRow(line=1, reason="json", error="not JSON", raw=b"damaged")


def offline(checkpoint, **options) -> OfflineScoring:
    codec = StateCodec(checkpoint.model.config.carried_floats, checkpoint.code)
    return OfflineScoring(Scorer(checkpoint, torch.device("cpu")), codec, **options)


def scored_rows(scoring: OfflineScoring, rows: Sequence[Event | BadRow]) -> tuple[list[int], np.ndarray]:
    parts = list(scoring.score(iter(rows)))
    numbers = [int(row) for part in parts for row in part.rows]
    return numbers, np.concatenate([part.propensities for part in parts])


def live(checkpoint, events: list[Event]) -> dict[int, np.ndarray]:
    """What the worker computes for the same events, all in one fetch."""
    codec = StateCodec(checkpoint.model.config.carried_floats, checkpoint.code)
    states = codec.gather([None] * USERS)
    prepared = prepare_batch(states, *columns(events))
    propensities = finish(states, prepared, Scorer(checkpoint, torch.device("cpu")).score(prepared.request))
    return dict(zip(prepared.appended.rows.tolist(), propensities, strict=True))


@pytest.mark.parametrize("rows_at_once", [1, 7, 1000])
def test_numbers_are_the_workers_however_the_history_is_cut(checkpoint, rows_at_once):
    events = shoppers_events(150)
    rows, propensities = scored_rows(offline(checkpoint, rows_at_once=rows_at_once), events)
    expected = live(checkpoint, events)
    assert rows == sorted(expected)
    np.testing.assert_allclose(propensities, [expected[row] for row in rows], atol=2e-6)


def test_training_and_evaluation_predict_what_is_published(checkpoint):
    """With the checkpoint's knowledge of categories, not with what was known when the events arrived."""
    events = shoppers_events(150)
    history = read_history(events)
    predicted = calibrated(predict_logits(checkpoint.model, history, np.arange(len(history))), checkpoint.calibration)
    rows, propensities = scored_rows(offline(checkpoint), events)
    published = dict(zip(rows, propensities, strict=True))
    np.testing.assert_allclose(predicted, [published[row] for row in history.rows], atol=1e-4)


def test_numbers_have_six_decimals_as_the_published_ones(checkpoint):
    _, propensities = scored_rows(offline(checkpoint), shoppers_events(50))
    np.testing.assert_array_equal(propensities, propensities.round(6))


@pytest.mark.parametrize("rows_at_once", [2, 1000])
def test_rows_are_numbered_from_0_and_bad_ones_count(checkpoint, rows_at_once):
    first, second, third = shoppers_events(3)
    scoring = offline(checkpoint, rows_at_once=rows_at_once)
    rows, _ = scored_rows(scoring, [DAMAGED, first, DAMAGED, DAMAGED, second, third])
    assert rows == [1, 4, 5]
    assert (scoring.counts.rows, scoring.counts.bad_rows, scoring.counts.events) == (6, 3, 3)


@pytest.mark.parametrize("rows_at_once", [1, 1000])
def test_a_repeated_event_is_left_out_and_counted(checkpoint, rows_at_once):
    events = shoppers_events(10)
    scoring = offline(checkpoint, rows_at_once=rows_at_once)
    rows, propensities = scored_rows(scoring, [*events[:5], events[4], events[0], *events[5:]])
    assert rows == [0, 1, 2, 3, 4, 7, 8, 9, 10, 11]
    assert (scoring.counts.scored, scoring.counts.duplicates) == (10, 2)
    np.testing.assert_allclose(propensities, scored_rows(offline(checkpoint), events)[1], atol=2e-6)


def test_each_score_says_whose_event_it_is_and_when_it_was(checkpoint):
    events = shoppers_events(40)
    (scored,) = offline(checkpoint).score(events)
    assert scored.user_ids == [event.user_id for event in events]
    assert scored.event_ids == [event.event_id for event in events]
    assert scored.event_time_ms.tolist() == [event.ts for event in events]


def test_rows_without_an_event_score_nothing(checkpoint):
    scoring = offline(checkpoint)
    assert list(scoring.score([DAMAGED, DAMAGED])) == []
    assert (scoring.counts.rows, scoring.users) == (2, 0)


def test_no_more_is_read_than_has_been_scored(checkpoint):
    events = iter(shoppers_events(30))
    next(offline(checkpoint, rows_at_once=10).score(events))
    assert len(list(events)) == 20


@pytest.mark.parametrize("rows_at_once", [10, 150])
def test_the_texts_of_a_batch_are_read_together_not_event_by_event(checkpoint, rows_at_once, monkeypatch):
    reads, read = [], EventTexts.strings
    monkeypatch.setattr(EventTexts, "strings", lambda texts, text: reads.append(text) or read(texts, text))
    batches = list(offline(checkpoint, rows_at_once=rows_at_once).score(shoppers_events(150)))
    assert len(reads) <= 5 * len(batches)


def with_impressions(events: list[Event]) -> list[Event]:
    """Add a list before each event, of its shopper and of one who does nothing else."""
    return [
        one
        for number, event in enumerate(events)
        for one in (
            *(
                Event(f"shown-{number}-{user}", user, "impression", event.ts - 1, items=["a", "b"], category="shown")
                for user in (event.user_id, "onlooker")
            ),
            event,
        )
    ]


def test_impressions_are_counted_and_change_no_score(checkpoint):
    events = shoppers_events(150)
    scoring = offline(checkpoint, rows_at_once=50)
    rows, propensities = scored_rows(scoring, with_impressions(events))
    alone_rows, alone = scored_rows(offline(checkpoint), events)
    assert [row // 3 for row in rows] == alone_rows
    np.testing.assert_array_equal(propensities, alone)
    assert (scoring.counts.impressions, scoring.counts.scored) == (2 * len(events), len(alone_rows))


def test_training_and_evaluation_see_what_they_see_without_impressions():
    events = shoppers_events(150)
    alone, mixed = read_history(events), read_history(with_impressions(events))
    for name in ("time_ms", "type_codes", "numeric", "items", "categories", "tokens"):
        np.testing.assert_array_equal(getattr(mixed, name), getattr(alone, name))
    assert mixed.names_of_categories(64) == alone.names_of_categories(64)
    assert (mixed.impressions, len(mixed), mixed.counts["impressions"]) == (
        2 * len(events),
        len(alone),
        2 * len(events),
    )


def test_a_history_of_impressions_alone_has_nothing_to_learn_from():
    with pytest.raises(TrainingError, match="not one event to learn from"):
        read_history([Event("s", "u", "impression", 1_700_000_000_000, items=["a"])])
