"""Training: truncated back-propagation through each user's whole history.

Sequences are cut into pieces of `piece_events`; h and c are carried from piece to piece, gradients are not (Williams
and Peng, 1990), which is also how the worker carries them from batch to batch.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from model.calibrate import fit_calibration
from model.checkpoint import Calibration
from model.errors import TrainingError
from model.history import History
from model.labels import SESSION, Booleans, Integers, Labels, horizon_ms, label_events
from model.lstm import LSTMConfig, PackedFeatures, Packing, PropensityLSTM
from model.metrics import evaluate, log_loss
from model.pieces import Piece, pieces, shuffled_batches
from model.runs import Runs
from model.sequence import SESSION_GAP_MS
from model.split import TimeSplit

MIN_TRAIN_BUYERS: Final = 100
MIN_VALIDATION_BUYERS: Final = 20

_SCORED_AT_ONCE: Final = 50_000
_LARGEST_GRADIENT: Final = 1.0
_CPU: Final = torch.device("cpu")

Progress = Callable[[float, str], None]
"""Takes the share of the longest possible training that is done, and a few words."""


@dataclass(frozen=True)
class TrainingSettings:
    """What may be varied; the rest is the network's shape."""

    seed: int = 1
    epochs: int = 15
    patience: int = 3
    """Epochs without a better validation log loss, after which training stops."""
    learning_rate: float = 3e-3
    weight_decay: float = 0.01
    batch_events: int = 4096
    piece_events: int = 64
    forgotten_items: float = 0.5
    """Share of events whose item is hidden while training: the shop will have items that it did not have then."""
    threads: int = 1
    """One thread gives the same weights whatever else the machine does, and steps this small gain little from more."""


@dataclass(frozen=True, slots=True)
class Trained:
    """What training hands to the checkpoint."""

    model: PropensityLSTM
    calibration: Calibration
    metrics: dict[str, Any]
    training: dict[str, Any]


def train(history: History, settings: TrainingSettings, config: LSTMConfig, progress: Progress) -> Trained:
    """Train, calibrate and evaluate; the same inputs give the same result on the same machine and thread count.

    Raises TrainingError if the data cannot train a model.
    """
    labels = label_events(history.users, history.time_ms, history.is_purchase, config.horizons)
    longest_ms = max(SESSION_GAP_MS if horizon == SESSION else horizon_ms(horizon) for horizon in config.horizons)
    split = TimeSplit.of(history.time_ms, longest_ms)
    _check_labels(labels, history, split, config.horizons)
    torch.manual_seed(settings.seed)
    torch.set_num_threads(settings.threads)
    model = PropensityLSTM(config)
    best_epoch, epochs = _Fitting(history, labels, split, settings, model).run(progress)
    logits = predict_logits(model, history, np.arange(len(history)))
    calibration = fit_calibration(logits, labels.bought, split.validation(history.time_ms, labels))
    metrics = _metrics(history, labels, split, calibrated(logits, calibration), config.horizons)
    description = _describe(history, split, settings) | {"epochs": epochs, "best_epoch": best_epoch}
    return Trained(model, calibration, metrics, description)


def calibrated(logits: npt.NDArray[np.float64], calibration: Calibration) -> npt.NDArray[np.float64]:
    """Return the probabilities `(events, horizons)` that the worker would publish."""
    scaled = logits * np.array(calibration.slopes) + np.array(calibration.intercepts)
    return np.asarray(1.0 / (1.0 + np.exp(-scaled)))


@torch.inference_mode()
def predict_logits(model: PropensityLSTM, history: History, rows: Integers) -> npt.NDArray[np.float64]:
    """Return the logits `(rows, horizons)` of ascending rows; every user's sequence starts with the first of them."""
    model.eval()
    logits = np.empty((len(rows), len(model.config.horizons)))
    starts = Runs.of(history.users[rows]).starts
    cuts = np.unique(starts[np.searchsorted(starts, np.arange(0, len(rows), _SCORED_AT_ONCE), side="right") - 1])
    for first, stop in zip(cuts, [*cuts[1:], len(rows)], strict=True):
        some = rows[first:stop]
        packing = Packing.of(Runs.of(history.users[some]))
        users, hidden = len(packing.sequences), model.config.hidden_size
        blank = torch.zeros(users, hidden)
        packed, _ = model(packing.pack(history.features(some), _CPU), (blank, blank))
        logits[first + packing.rows] = packed.numpy()
    return logits


class _Fitting:
    """The loop over epochs, and what it keeps from one to the next."""

    def __init__(
        self, history: History, labels: Labels, split: TimeSplit, settings: TrainingSettings, model: PropensityLSTM
    ) -> None:
        self.model = model
        self._history = history
        self._settings = settings
        self._random = np.random.default_rng(settings.seed)
        self._bought = labels.bought
        self._learnt = split.train(history.time_ms, labels)
        self._validation = split.validation(history.time_ms, labels)
        self._train_rows = np.flatnonzero(history.time_ms < split.validation_from_ms)
        self._seen_rows = np.flatnonzero(history.time_ms < split.test_from_ms)
        self._optimizer = torch.optim.AdamW(
            model.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay
        )
        self._scheduler = torch.optim.lr_scheduler.ReduceLROnPlateau(self._optimizer, factor=0.4, patience=0)

    def run(self, progress: Progress) -> tuple[int, int]:
        """Train until nothing improves; the model then is that of the best epoch. Returns that epoch and how many."""
        self._start_at_the_base_rates()
        best_loss, best_epoch, best_weights = np.inf, 0, dict[str, Tensor]()
        words = "first epoch"
        for epoch in range(1, self._settings.epochs + 1):
            for share in self._epoch():
                progress((epoch - 1 + share) / self._settings.epochs, words)
            loss = self._validation_loss()
            self._scheduler.step(loss)
            if loss < best_loss:
                best_loss, best_epoch = loss, epoch
                best_weights = {name: weight.clone() for name, weight in self.model.state_dict().items()}
            words = f"best validation log loss {best_loss:.4f} (epoch {best_epoch})"
            if epoch - best_epoch >= self._settings.patience:
                break
        self.model.load_state_dict(best_weights)
        progress(1.0, words)
        return best_epoch, epoch

    def _epoch(self) -> Iterator[float]:
        """Go once through the training events; yields the share that is done."""
        self.model.train()
        runs, done = Runs.of(self._history.users[self._train_rows]), 0
        length = self._settings.piece_events
        for batch in shuffled_batches(runs, self._settings.batch_events, length, self._random):
            h = c = torch.zeros(len(batch), self.model.config.hidden_size)
            for piece in pieces(runs, batch, length):
                h, c = self._step(piece, h, c)
                done += len(piece.rows)
            yield done / len(self._train_rows)

    def _step(self, piece: Piece, h: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
        """Learn from one piece; returns the batch's carried numbers after it."""
        rows = self._train_rows[piece.rows]
        packing = Packing.of(Runs.of(piece.sequences))
        users = torch.from_numpy(piece.users[packing.sequences])
        packed = self._with_hidden_items(packing.pack(self._history.features(rows), _CPU))
        logits, (h_after, c_after) = run_padded(self.model, packed, (h[users], c[users]))
        order = rows[packing.rows]
        loss = _masked_loss(logits, self._bought[order], self._learnt[order]) / self._settings.batch_events
        self._optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call] # torch's own stub has no types here
        nn.utils.clip_grad_norm_(self.model.parameters(), _LARGEST_GRADIENT)
        self._optimizer.step()
        return h.index_put((users,), h_after.detach()), c.index_put((users,), c_after.detach())

    def _with_hidden_items(self, inputs: PackedFeatures) -> PackedFeatures:
        hidden = torch.from_numpy(self._random.random(len(inputs.items)) < self._settings.forgotten_items)
        return replace(inputs, items=inputs.items.masked_fill(hidden, 0))

    def _validation_loss(self) -> float:
        logits = predict_logits(self.model, self._history, self._seen_rows)
        bought, known = self._bought[self._seen_rows], self._validation[self._seen_rows]
        propensities = 1.0 / (1.0 + np.exp(-logits))
        return float(
            np.mean(
                [
                    log_loss(propensities[known[:, column], column], bought[known[:, column], column])
                    for column in range(logits.shape[1])
                ]
            )
        )

    def _start_at_the_base_rates(self) -> None:
        """Purchases are rare: begin with heads that say how rare, instead of learning it."""
        rate = (self._bought & self._learnt).sum(axis=0) / np.maximum(self._learnt.sum(axis=0), 1)
        with torch.no_grad():
            self.model.heads.bias.copy_(torch.from_numpy(np.log(rate / (1 - rate))))


def run_padded(
    model: PropensityLSTM, inputs: PackedFeatures, carried: tuple[Tensor, Tensor]
) -> tuple[Tensor, tuple[Tensor, Tensor]]:
    """Do what `PropensityLSTM.forward` does, but for the carried numbers of sequences that end before the longest.

    Those are wrong, and of no use: nothing follows a sequence that has ended. On the CPU, torch's backward pass takes
    several times as long through a packed sequence as through a padded one.
    """
    h, c = carried
    embedded, sizes = model.embedded(inputs), inputs.batch_sizes
    step = torch.repeat_interleave(sizes)
    place = torch.arange(len(step)) - (torch.cumsum(sizes, 0) - sizes)[step]
    padded = embedded.new_zeros(len(sizes), len(h), embedded.shape[1]).index_put((step, place), embedded)
    output, (h, c) = model.lstm(padded, (h.unsqueeze(0), c.unsqueeze(0)))  # (steps, sequences, hidden)
    return model.logits(output[step, place], inputs), (h.squeeze(0), c.squeeze(0))


def _masked_loss(logits: Tensor, bought: Booleans, known: Booleans) -> Tensor:
    """Return the sum of the known labels' losses, averaged over the horizons."""
    losses = nn.functional.binary_cross_entropy_with_logits(
        logits, torch.from_numpy(bought).float(), weight=torch.from_numpy(known).float(), reduction="sum"
    )
    return losses / logits.shape[1]


def _check_labels(labels: Labels, history: History, split: TimeSplit, horizons: Sequence[str]) -> None:
    """Refuse data from which nothing can be learnt, and say what it lacks."""
    for part, mask, least in (
        ("training", split.train(history.time_ms, labels), MIN_TRAIN_BUYERS),
        ("validation", split.validation(history.time_ms, labels), MIN_VALIDATION_BUYERS),
    ):
        for column, horizon in enumerate(horizons):
            bought, known = labels.bought[mask[:, column], column], int(mask[:, column].sum())
            if bought.sum() < least or bought.sum() > known - least:
                raise TrainingError(
                    f"too little to learn from: in the {part} part ({known} events with a known label) {bought.sum()} "
                    f"events are followed by a purchase (horizon {horizon}), and at least {least} must be and {least} "
                    "must not: give a longer history or more shoppers"
                )


def _metrics(
    history: History, labels: Labels, split: TimeSplit, propensities: npt.NDArray[np.float64], horizons: Sequence[str]
) -> dict[str, Any]:
    """Evaluate the parts of the history, and the test part of users whom training has never seen."""
    validation, test = split.validation(history.time_ms, labels), split.test(history.time_ms, labels)
    trained_on = np.unique(history.users[history.time_ms < split.validation_from_ms])
    unseen = test & ~np.isin(history.users, trained_on)[:, None]
    parts = {"validation": validation, "test": test, "test_unseen_users": unseen}
    return {name: evaluate(propensities, labels.bought, part, horizons) for name, part in parts.items()}


def _describe(history: History, split: TimeSplit, settings: TrainingSettings) -> dict[str, Any]:
    """Return what the checkpoint says about its making; nothing in it depends on the time of day."""
    return {
        "settings": asdict(settings),
        "events": len(history),
        "users": len(history.user_ids),
        "purchases": int(history.is_purchase.sum()),
        "duplicates": history.duplicates,
        "bad_rows": history.bad_rows,
        "first_event": _rfc3339(int(history.time_ms.min())),
        "validation_from": _rfc3339(split.validation_from_ms),
        "test_from": _rfc3339(split.test_from_ms),
        "last_event": _rfc3339(split.end_ms),
        "torch": str(torch.__version__),
    }


def _rfc3339(time_ms: int) -> str:
    return datetime.fromtimestamp(time_ms / 1000, UTC).isoformat(timespec="milliseconds")
