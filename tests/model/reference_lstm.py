"""The LSTM spelled out, and networks and features to run it with."""

from dataclasses import fields

import numpy as np
import torch

from model.core.features import NUMERIC_FEATURES, Features
from model.events import EVENT_TYPES
from model.lstm import LSTMConfig, PropensityLSTM
from model.text import TOKENS


def network(hidden_size: int, seed: int = 3) -> PropensityLSTM:
    torch.manual_seed(seed)
    config = LSTMConfig(hidden_size=hidden_size, category_buckets=8, token_buckets=10)
    model = PropensityLSTM(config).eval()
    torch.nn.init.normal_(model.type_logits)
    return model


def random_features(events: int, seed: int = 5) -> Features:
    rng = np.random.default_rng(seed)
    return Features(
        numeric=rng.normal(size=(events, len(NUMERIC_FEATURES))).astype(np.float32),
        types=rng.integers(0, len(EVENT_TYPES), events),
        categories=rng.choice([0, 1, 7, 8, 65535], events),
        tokens=np.sort(rng.choice([0, 0, 1, 9, 10, 65535], (events, TOKENS)))[:, ::-1].copy(),
        labels=np.empty((events, 0), np.int64),
    )


def rows_of(features: Features, rows) -> Features:
    return Features(*(getattr(features, field.name)[rows] for field in fields(Features)))


def mean_of(vectors, size: int):
    return np.mean(vectors, axis=0) if vectors else np.zeros(size)


def bucket(code: int, buckets: int) -> int:
    return 0 if code == 0 else (code - 1) % (buckets - 1) + 1


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def assert_rounded_to_half(rounded, exact) -> None:
    """Assert that float16 numbers are the nearest to `exact`, as far as that is known."""
    np.testing.assert_array_less(np.abs(rounded - exact), np.spacing(np.abs(rounded)) / 2 + 1e-6)


def slow_reference(model: PropensityLSTM, features: Features, rows, h, c):
    """One sequence, one event at a time, from the equations of Hochreiter and Schmidhuber with a forget gate.

    Returns the logits of the rows, and (h, c) after the last.
    """
    weights = {name: weight.double().numpy() for name, weight in model.state_dict().items()}
    logits = []
    for row in rows:
        x = np.concatenate([
            features.numeric[row],
            weights["type_embedding.weight"][features.types[row]],
            weights["category_embedding.weight"][bucket(features.categories[row], model.config.category_buckets)],
            mean_of([
                weights["token_embedding.weight"][bucket(token, model.config.token_buckets)]
                for token in features.tokens[row] if token
            ], model.config.token_embedding),
        ])  # fmt: skip
        gates = (
            weights["lstm.weight_ih_l0"] @ x + weights["lstm.bias_ih_l0"]
            + weights["lstm.weight_hh_l0"] @ h + weights["lstm.bias_hh_l0"]
        )  # fmt: skip
        input_gate, forget_gate, candidate, output_gate = np.split(gates, 4)
        c = sigmoid(forget_gate) * c + sigmoid(input_gate) * np.tanh(candidate)
        h = sigmoid(output_gate) * np.tanh(c)
        seen = np.concatenate([h, features.numeric[row]])
        logits.append(
            weights["heads.weight"] @ seen + weights["heads.bias"] + weights["type_logits"][features.types[row]]
        )
    return logits, h, c
