"""The model that ships with Cartcast, on shoppers that it has never seen."""

import numpy as np
import pytest

from model.checkpoint import DEFAULT_CHECKPOINT, load_checkpoint
from model.horizons import HORIZONS
from model.metrics import evaluate
from model.simulator import SimulationSettings, simulate
from model.training.history import read_history
from model.training.labels import label_events
from model.training.predict import calibrated, predict_logits


@pytest.fixture(scope="module")
def measured():
    """Metrics of the checkpoint and of the oracle on the same events."""
    events = list(simulate(SimulationSettings(events=100_000, users=2000, seed=4321, with_truth=True)))
    history, checkpoint = read_history(events), load_checkpoint(DEFAULT_CHECKPOINT)
    labels = label_events(history.users, history.time_ms, history.is_purchase, HORIZONS)
    known = labels.known_by(int(history.time_ms.max()))
    truth = np.array([(event.true_session, event.true_1h, event.true_24h) for event in events])[history.rows]
    logits = predict_logits(checkpoint.model, history, np.arange(len(history)))
    propensities = calibrated(logits, checkpoint.calibration)
    return evaluate(propensities, labels.bought, known, HORIZONS), evaluate(truth, labels.bought, known, HORIZONS)


def test_it_is_small_enough_to_ship():
    assert sum(file.stat().st_size for file in DEFAULT_CHECKPOINT.iterdir()) < 1_000_000


@pytest.mark.parametrize("horizon", HORIZONS)
def test_it_ranks_new_shoppers_nearly_as_well_as_the_oracle(measured, horizon):
    model, oracle = measured
    assert 0.94 * oracle[horizon]["roc_auc"] < model[horizon]["roc_auc"] < oracle[horizon]["roc_auc"]


@pytest.mark.parametrize("horizon", HORIZONS)
def test_its_probabilities_can_be_taken_at_their_word(measured, horizon):
    """In a shop's first days too, where it is at its worst: it was calibrated on shoppers with weeks of history."""
    model, _ = measured
    assert model[horizon]["ece"] < 0.04
