"""A textbook LSTM as a baseline, to show what the rest of the model is worth.

Ten numbers per event, 50 units, one linear layer on the last step, `BCEWithLogitsLoss`, Adam at 0.001. Each event is
scored from a window of its user's last events, which is run through the network from a zero state.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from model.arrays import Floats, Integers
from model.core.features import NUMERIC_FEATURES
from model.evaluation.baselines import LogitsOf, Sample
from model.events import TYPE_CODES
from model.training.history import History

WINDOW_EVENTS: Final = 20
TYPE_INPUTS: Final = ("view", "search", "cart", "purchase")
NUMERIC_INPUTS: Final = ("log_gap", "log_session_events", "log_price", "hour_sin", "hour_cos")
UNITS: Final = 50

_SCORED_AT_ONCE: Final = 20_000


class _Network(nn.Module):
    def __init__(self, outputs: int) -> None:
        super().__init__()
        self.lstm = nn.LSTM(len(TYPE_INPUTS) + len(NUMERIC_INPUTS) + 1, UNITS, batch_first=True)
        self.linear = nn.Linear(UNITS, outputs)

    def forward(self, windows: Tensor) -> Tensor:
        """Turn windows `(events, steps, inputs)` into logits `(events, horizons)`."""
        output, _ = self.lstm(windows)
        logits: Tensor = self.linear(output[:, -1])
        return logits


@dataclass(frozen=True)
class TextbookLSTM:
    """One network with one output per horizon; trained for as many epochs as are best on validation."""

    name = "textbook_lstm"
    title = "Textbook LSTM"
    about = (
        f"ten numbers an event, the last {WINDOW_EVENTS} events, {UNITS} units, one linear layer on the last step with "
        "an output a horizon, BCEWithLogitsLoss, Adam at 0.001; number of epochs chosen on validation"
    )

    seed: int
    epochs: int = 6
    batch_events: int = 256
    learning_rate: float = 0.001

    def choose(self, history: History, train: Sample, validation: Sample) -> int:
        """Return the best number of epochs, of `epochs` at most."""
        losses = [
            _loss(torch.from_numpy(_logits(network, history, validation.rows)), validation).item()
            for network in self._trained(history, train, self.epochs)
        ]
        return int(np.argmin(losses)) + 1

    def fit(self, history: History, sample: Sample, choices: int) -> LogitsOf:
        """Train for so many epochs; the same seed gives the same network."""
        *_, network = self._trained(history, sample, choices)
        return lambda rows: _logits(network, history, rows)

    def _trained(self, history: History, sample: Sample, epochs: int) -> Iterator[_Network]:
        """Yield one network after each of its epochs."""
        torch.manual_seed(self.seed)
        network, random = _Network(sample.bought.shape[1]), np.random.default_rng(self.seed)
        optimizer = torch.optim.Adam(network.parameters(), lr=self.learning_rate)
        for _ in range(epochs):
            self._epoch(network, optimizer, history, sample, random)
            yield network

    def _epoch(
        self,
        network: _Network,
        optimizer: torch.optim.Optimizer,
        history: History,
        train: Sample,
        random: np.random.Generator,
    ) -> None:
        shuffled = random.permutation(len(train.rows))
        for first in range(0, len(shuffled), self.batch_events):
            some = np.sort(shuffled[first : first + self.batch_events])
            sample = Sample(train.rows[some], train.bought[some], train.known[some])
            optimizer.zero_grad()
            loss = _loss(network(torch.from_numpy(windows(history, sample.rows))), sample)
            loss.backward()  # type: ignore[no-untyped-call] # torch's own stub has no types here
            optimizer.step()


def windows(history: History, rows: Integers) -> npt.NDArray[np.float32]:
    """Return the inputs of each row and the events before it `(rows, WINDOW_EVENTS, 10)`; 0 before the first event."""
    steps = rows[:, None] + np.arange(-WINDOW_EVENTS + 1, 1)  # (rows, steps)
    # Each needed row is computed once: (needed, 10), then gathered.
    inside = (steps >= 0) & (history.users[np.maximum(steps, 0)] == history.users[rows, None])
    needed, place = np.unique(np.where(inside, steps, rows[:, None]), return_inverse=True)
    return np.where(inside[:, :, None], _inputs(history, needed)[place.reshape(steps.shape)], np.float32(0))


def _inputs(history: History, rows: Integers) -> npt.NDArray[np.float32]:
    types = history.type_codes[rows, None] == np.array([TYPE_CODES[name] for name in TYPE_INPUTS])
    numbers = history.numeric[rows][:, [NUMERIC_FEATURES.index(name) for name in NUMERIC_INPUTS]]
    events = np.log1p(rows - history.starts[history.users[rows]] + 1) / 3  # of the user so far
    return np.concatenate((types, numbers, events[:, None]), axis=1).astype(np.float32)


@torch.inference_mode()
def _logits(network: _Network, history: History, rows: Integers) -> Floats:
    parts = [rows[first : first + _SCORED_AT_ONCE] for first in range(0, len(rows), _SCORED_AT_ONCE)]
    scored = [network(torch.from_numpy(windows(history, part))).double().numpy() for part in parts]
    return np.concatenate(scored) if scored else np.empty((0, network.linear.out_features))


def _loss(logits: Tensor, sample: Sample) -> Tensor:
    """Return the mean loss over the known labels."""
    known = torch.from_numpy(sample.known).to(logits.dtype)
    losses = nn.BCEWithLogitsLoss(weight=known, reduction="sum")
    total: Tensor = losses(logits, torch.from_numpy(sample.bought).to(logits.dtype))
    return total / known.sum().clamp(min=1)
