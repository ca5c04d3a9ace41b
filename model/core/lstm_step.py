"""The carried step of the LSTM on the CPU: one event at a time, at the same cost whatever the size of a batch.

The embeddings are folded into the input projection: a row per code of what it adds to the gates. So an event costs one
row per code and two products of a vector with a matrix. Gates are in PyTorch's order: input, forget, cell, output.

What is carried to the next event is rounded to half precision after each, so that no result depends on where a batch
ends.
"""

from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt

from model.attributes import LABELS
from model.core.compiled import compiled_sums
from model.core.features import Features
from model.core.half import from_half, to_half
from model.lstm import PropensityLSTM

Weights = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class StepWeights:
    """A network's weights as the step reads them; `gates` is 4 * hidden."""

    types: Weights
    """`(types, gates)`, which include the biases; likewise per bucket of categories and tokens."""
    categories: Weights
    tokens: Weights
    labels: Weights
    """Of a shop's categorical attributes `(attributes * LABELS, gates)`."""
    numeric: Weights
    """`(numeric inputs, gates)`"""
    hidden: Weights
    """`(hidden, gates)`"""
    heads: Weights
    """`(horizons, hidden + numeric inputs)`, calibrated: as are the biases `(types, horizons)`."""
    head_biases: Weights
    label_biases: Weights
    """`(attributes * LABELS, horizons)`, calibrated"""

    @classmethod
    def of(cls, model: PropensityLSTM, slopes: Weights, intercepts: Weights) -> Self:
        """Fold a network's weights, and the calibration `(horizons,)` of its logits."""
        weight = {name: tensor.detach().cpu().double().numpy() for name, tensor in model.state_dict().items()}
        inputs = weight["lstm.weight_ih_l0"].T  # (inputs, gates)
        attributes = range(len(model.config.shop.categorical))
        tables = [
            *(weight[f"{name}_embedding.weight"] for name in ("type", "category", "token")),
            *(weight[f"label_embeddings.{attribute}.weight"] for attribute in attributes),
        ]
        sizes = [len(model.config.numeric_inputs), *(table.shape[1] for table in tables)]
        numeric, *embedded = np.split(inputs, np.cumsum(sizes)[:-1])
        types, categories, tokens, *labels = (table @ rows for table, rows in zip(tables, embedded, strict=True))
        types = types + weight["lstm.bias_ih_l0"] + weight["lstm.bias_hh_l0"]
        heads = weight["heads.weight"] * slopes[:, None]
        if (scales := weight.get("number_scales")) is not None:
            units = model.config.hidden_size
            numeric = _of_numbers_as_read(numeric, *scales)
            heads[:, units:] = _of_numbers_as_read(heads[:, units:].T, *scales).T
        biases = (weight["heads.bias"] + weight["type_logits"]) * slopes + intercepts
        hidden = weight["lstm.weight_hh_l0"].T
        all_labels = np.concatenate([*labels, np.empty((0, inputs.shape[1]))])
        of_labels = [weight[f"label_logits.{attribute}.weight"] * slopes for attribute in attributes]
        label_biases = np.concatenate([*of_labels, np.empty((0, len(slopes)))])
        folded = (types, categories, tokens, all_labels, numeric, hidden, heads, biases, label_biases)
        return cls(*(np.ascontiguousarray(each, np.float32) for each in folded))


def _of_numbers_as_read(weights: Weights, means: Weights, deviations: Weights) -> Weights:
    """Return `(numeric inputs, ...)` weights of standardised numeric attributes as weights of those that are not.

    An attribute that is unknown is 0, and its mean goes with the input that says whether it is known.
    """
    attributes = len(means)
    rest, numbers, known = np.split(weights, [len(weights) - 2 * attributes, len(weights) - attributes])
    return np.concatenate((rest, numbers / deviations[:, None], known - numbers * (means / deviations)[:, None]))


def run_steps(
    weights: StepWeights, features: Features, rows: npt.NDArray[np.int64], carried: npt.NDArray[np.float16]
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Advance the carried (h, c) of each event's row, in place, `(states, 2 * hidden)`; events in order.

    Returns the propensities `(events, horizons)`, and h after each event `(events, hidden)`.
    """
    propensities = np.empty((len(rows), len(weights.heads)), np.float32)
    outputs = np.empty((len(rows), len(weights.hidden)), np.float32)
    step_in_order(
        weights.types,
        weights.categories,
        weights.tokens,
        weights.labels,
        weights.numeric,
        weights.hidden,
        weights.heads,
        weights.head_biases,
        weights.label_biases,
        features.numeric,
        features.types,
        features.categories,
        features.tokens,
        features.labels,
        rows,
        carried.view(np.uint16),
        propensities,
        outputs,
    )
    return propensities, outputs


@compiled_sums
def step_in_order(  # noqa: PLR0913, PLR0917 - the weights, the inputs and the results
    type_gates: Weights,
    category_gates: Weights,
    token_gates: Weights,
    label_gates: Weights,
    numeric_weights: Weights,
    hidden_weights: Weights,
    heads: Weights,
    head_biases: Weights,
    label_biases: Weights,
    numeric: npt.NDArray[np.float32],
    types: npt.NDArray[np.int64],
    categories: npt.NDArray[np.int64],
    tokens: npt.NDArray[np.int64],
    labels: npt.NDArray[np.int64],
    rows: npt.NDArray[np.int64],
    carried: npt.NDArray[np.uint16],
    propensities: npt.NDArray[np.float32],
    outputs: npt.NDArray[np.float32],
) -> None:
    """Run one LSTM step per event, in order; see `run_steps`. `carried` are the bits of its numbers."""
    hidden = len(hidden_weights)
    gates = np.empty(4 * hidden, np.float32)
    state = np.empty(2 * hidden, np.float32)
    h, c = state[:hidden], state[hidden:]
    for event in range(len(rows)):
        x, kept = numeric[event], carried[rows[event]]
        _widen(kept, state)

        # Input projection and recurrence, (4 * hidden,).
        _add_rows(gates, type_gates[types[event]], category_gates[_bucket(categories[event], len(category_gates))])
        _add_mean_row(gates, tokens[event], token_gates)
        _add_labels(gates, labels[event], label_gates)
        _add_product(gates, x, numeric_weights)
        _add_product(gates, h, hidden_weights)

        # Hochreiter and Schmidhuber, "Long short-term memory" (1997), with forget gates (Gers et al., 2000).
        for unit in range(hidden):
            i, f = _sigmoid(gates[unit]), _sigmoid(gates[hidden + unit])
            g, o = _tanh(gates[2 * hidden + unit]), _sigmoid(gates[3 * hidden + unit])
            c[unit] = f * c[unit] + i * g
            h[unit] = o * _tanh(c[unit])
        outputs[event] = h
        _round(state, kept)

        for horizon in range(len(heads)):
            logit = _dot(heads[horizon, :hidden], h) + _dot(heads[horizon, hidden:], x)
            for attribute in range(labels.shape[1]):
                if labels[event, attribute] > 0:
                    logit += label_biases[attribute * LABELS + labels[event, attribute], horizon]
            propensities[event, horizon] = _sigmoid(logit + head_biases[types[event], horizon])


@compiled_sums
def _widen(halves: npt.NDArray[np.uint16], numbers: Weights) -> None:
    """Store in `numbers` what halves are, given as bits."""
    for place in range(len(numbers)):
        numbers[place] = from_half(halves[place])


@compiled_sums
def _round(numbers: Weights, halves: npt.NDArray[np.uint16]) -> None:
    """Store in `halves` the bits of the halves nearest to the numbers."""
    for place in range(len(numbers)):
        halves[place] = to_half(numbers[place])


@compiled_sums
def _add_rows(total: Weights, first: Weights, second: Weights) -> None:
    """Store the sum of two vectors in `total`."""
    for unit in range(len(total)):
        total[unit] = first[unit] + second[unit]


@compiled_sums
def _add_mean_row(total: Weights, tokens: npt.NDArray[np.int64], token_gates: Weights) -> None:
    """Add the mean of the rows of the words that were written, if any."""
    written = 0
    for token in tokens:
        written += token > 0
    for token in tokens:
        if token > 0:
            row = token_gates[_bucket(token, len(token_gates))]
            for unit in range(len(total)):
                total[unit] += row[unit] * (np.float32(1) / np.float32(written))


@compiled_sums
def _add_labels(total: Weights, labels: npt.NDArray[np.int64], label_gates: Weights) -> None:
    """Add the row of each attribute that is known."""
    for attribute in range(len(labels)):
        if labels[attribute] > 0:
            row = label_gates[attribute * LABELS + labels[attribute]]
            for unit in range(len(total)):
                total[unit] += row[unit]


@compiled_sums
def _add_product(total: Weights, vector: Weights, matrix: Weights) -> None:
    """Add vector @ matrix to `total`; four rows at a time, so that `total` is read and written a quarter as often."""
    whole = len(vector) // 4 * 4
    for row in range(0, whole, 4):
        first, second, third, fourth = vector[row], vector[row + 1], vector[row + 2], vector[row + 3]
        for unit in range(len(total)):
            total[unit] += (
                first * matrix[row, unit]
                + second * matrix[row + 1, unit]
                + third * matrix[row + 2, unit]
                + fourth * matrix[row + 3, unit]
            )
    for row in range(whole, len(vector)):
        factor = vector[row]
        for unit in range(len(total)):
            total[unit] += factor * matrix[row, unit]


@compiled_sums
def _dot(first: Weights, second: Weights) -> np.float32:
    total = np.float32(0)
    for place in range(len(first)):
        total += first[place] * second[place]
    return total


@compiled_sums
def _bucket(code: np.int64, buckets: int) -> np.int64:
    """Fold codes 1..65535 into buckets 1..buckets-1; 0 (none) stays 0."""
    return (code - 1) % (buckets - 1) + 1 if code > 0 else code


@compiled_sums
def _sigmoid(x: np.float32) -> np.float32:
    return np.float32(1) / (np.float32(1) + _exp(-x))


@compiled_sums
def _tanh(x: np.float32) -> np.float32:
    return np.float32(2) / (np.float32(1) + _exp(np.float32(-2) * x)) - np.float32(1)


@compiled_sums
def _exp(x: np.float32) -> np.float32:
    """Return e**x with a relative error of about 2e-7, in operations that processors do for many numbers at once.

    x = n ln 2 + f; e**f by the polynomial of the Cephes library (`expf`), 2**n by writing n into a float's exponent.
    """
    x = min(max(x, np.float32(-87)), np.float32(87))
    n = np.floor(x * np.float32(1.4426950408889634) + np.float32(0.5))
    f = x - n * np.float32(0.693359375) + n * np.float32(2.12194440e-4)
    series = np.float32(1.9875691500e-4)
    series = series * f + np.float32(1.3981999507e-3)
    series = series * f + np.float32(8.3334519073e-3)
    series = series * f + np.float32(4.1665795894e-2)
    series = series * f + np.float32(1.6666665459e-1)
    series = series * f + np.float32(5.0000001201e-1)
    power = np.int32((np.int32(n) + np.int32(127)) << np.int32(23)).view(np.float32)
    return np.float32((series * f * f + f + np.float32(1)) * power)
