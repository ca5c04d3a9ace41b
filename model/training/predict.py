"""Predictions of a model for a history, with what the model knows of categories: as the worker would score it."""

from collections.abc import Iterator
from typing import Final

import numpy as np
import numpy.typing as npt
import torch

from model.arrays import Integers, Runs
from model.checkpoint import Calibration
from model.core.features import Features, write_category_rates
from model.lstm import PackedFeatures, Packing, PropensityLSTM
from model.training.chunks import Spans
from model.training.history import History

_SCORED_AT_ONCE: Final = 50_000
_HEADS_AT_ONCE: Final = 10_000
"""A head may have hundreds of classes."""


def calibrated(logits: npt.NDArray[np.float64], calibration: Calibration) -> npt.NDArray[np.float64]:
    """Return the probabilities `(events, horizons)` that the worker would publish."""
    scaled = logits * np.array(calibration.slopes) + np.array(calibration.intercepts)
    return np.asarray(1.0 / (1.0 + np.exp(-scaled)))


def predict_logits(model: PropensityLSTM, history: History, rows: Integers) -> npt.NDArray[np.float64]:
    """Return the logits `(rows, horizons)` of ascending rows; every user's sequence starts with the first of them."""
    logits = np.empty((len(rows), len(model.config.horizons)))
    runs = Runs.of(history.users[rows])
    for group in Spans(runs.starts, runs.lengths).cut(_SCORED_AT_ONCE):
        places, sequences = group.rows()
        logits[places] = _run(model, history, rows[places], sequences)
    return logits


def predicted(
    model: PropensityLSTM, history: History, spans: Spans
) -> Iterator[tuple[Integers, npt.NDArray[np.float64]]]:
    """Yield rows and their logits `(rows, horizons)`, a group of spans at a time."""
    for group in spans.cut(_SCORED_AT_ONCE):
        rows, sequences = group.rows()
        yield rows, _run(model, history, rows, sequences)


def extra_outputs(
    model: PropensityLSTM, history: History, spans: Spans
) -> Iterator[tuple[Integers, list[npt.NDArray[np.float32]]]]:
    """Yield rows and each extra head's logits `(rows, classes)`, a group of spans at a time."""
    for group in spans.cut(_HEADS_AT_ONCE):
        rows, sequences = group.rows()
        packing, inputs, output = _outputs(model, history, rows, sequences)
        place = np.argsort(packing.rows)
        with torch.inference_mode():
            yield rows, [found.cpu().numpy()[place] for found in model.extra_logits(output, inputs).values()]


@torch.inference_mode()
def expected_values(
    model: PropensityLSTM, history: History, spans: Spans
) -> Iterator[tuple[Integers, npt.NDArray[np.float64]]]:
    """Yield rows and their expected values `(rows,)` in money, a group of spans at a time; the model has that head."""
    for group in spans.cut(_SCORED_AT_ONCE):
        rows, sequences = group.rows()
        packing, inputs, output = _outputs(model, history, rows, sequences)
        propensities, values = model.logits(output, inputs).sigmoid(), np.empty(len(rows))
        values[packing.rows] = model.expected_values(propensities, inputs)[:, 0].cpu().numpy()
        yield rows, values


def features_as_served(model: PropensityLSTM, history: History, rows: Integers) -> Features:
    """Return the inputs of some rows with what the model knows of categories, not what was known when they arrived."""
    features = history.features(rows)
    write_category_rates(features.numeric, features.categories, model.category_rates.cpu().numpy())
    return features


@torch.inference_mode()
def _run(model: PropensityLSTM, history: History, rows: Integers, sequences: Integers) -> npt.NDArray[np.float64]:
    """Return the logits of rows that belong to whole sequences, numbered in ascending order."""
    packing, inputs, output = _outputs(model, history, rows, sequences)
    packed = model.logits(output, inputs)
    logits = np.empty((len(rows), packed.shape[1]))
    logits[packing.rows] = packed.cpu().numpy()
    return logits


@torch.inference_mode()
def _outputs(
    model: PropensityLSTM, history: History, rows: Integers, sequences: Integers
) -> tuple[Packing, PackedFeatures, torch.Tensor]:
    """Return the LSTM's output `(rows, hidden)` in packed order, for rows that belong to whole sequences."""
    model.eval()
    device = next(model.parameters()).device
    packing = Packing.of(Runs.of(sequences))
    blank = torch.zeros(len(packing.sequences), model.config.hidden_size, device=device)
    inputs = packing.pack(features_as_served(model, history, rows), device)
    return packing, inputs, model.outputs(inputs, (blank, blank))[0]
