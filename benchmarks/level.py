"""What it would gain to shift each horizon's logit by what the day before says.

`.venv/bin/python -m benchmarks.level FILE FORMAT` trains on the first part of a history, as `cartcast train` does. Each
later day is then scored three times: as it is; shifted by what would have been best for the 24 hours before it, by the
labels that were known when it began, 0.3 at most; and shifted by what turns out to have been best for that day, which
nobody can know before it is over.
"""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

import numpy as np

from cartcast.commands.shared.event_files import EventFiles
from model.arrays import Booleans, Floats, Integers
from model.checkpoint import DEFAULT_CHECKPOINT, load_checkpoint
from model.events import Event, rfc3339
from model.horizons import DAY_MS, HORIZONS
from model.lstm import LSTMConfig
from model.training.fitting import TrainingSettings
from model.training.history import read_history
from model.training.labels import Labels, label_events
from model.training.predict import predict_logits
from model.training.split import data_bounds
from model.training.train import train

LEARNT_SHARE: Final = 0.45
LARGEST_SHIFT: Final = 0.3
_STEPS: Final = 30


@dataclass(frozen=True)
class Later:
    """Logits and labels `(events, horizons)` of a whole history, and from when on nothing has been learnt from it."""

    horizons: tuple[str, ...]
    time_ms: Integers
    logits: Floats
    labels: Labels
    from_ms: int
    end_ms: int

    @classmethod
    def of(cls, events: list[Event]) -> Self:
        """Train on the first part of the events, and score them all."""
        history = read_history(events)
        first_ms, end_ms = data_bounds(history.time_ms)
        from_ms = first_ms + int(LEARNT_SHARE * (end_ms - first_ms))
        early, start = (
            read_history(event for event in events if event.ts < from_ms),
            load_checkpoint(DEFAULT_CHECKPOINT),
        )
        trained = train(early, TrainingSettings(), LSTMConfig(horizons=HORIZONS), lambda *_: None, start=start.model)
        horizons = trained.model.config.horizons
        logits = predict_logits(trained.model, history, np.arange(len(history)))
        labels = label_events(history.users, history.time_ms, history.is_purchase, horizons)
        return cls(horizons, history.applied_ms, logits, labels, from_ms, end_ms)

    def known(self, column: int, since_ms: int, until_ms: int, known_by_ms: int) -> tuple[Floats, Booleans]:
        """Return the logits and labels of a time's events whose label was known at another."""
        inside = (self.time_ms >= since_ms) & (self.time_ms < until_ms)
        rows = inside & self.labels.known_by(known_by_ms)[:, column]
        return self.logits[rows, column], self.labels.bought[rows, column]

    def losses(self, column: int, day_ms: int) -> Floats:
        """Return the log losses `(3, events)` of a day's events: as they are, shifted, and shifted at best."""
        before = self.known(column, max(day_ms - DAY_MS, self.from_ms), day_ms, day_ms)
        logits, bought = self.known(column, day_ms, day_ms + DAY_MS, self.end_ms)
        shifts = (0.0, float(np.clip(best_shift(*before), -LARGEST_SHIFT, LARGEST_SHIFT)), best_shift(logits, bought))
        day, horizon = rfc3339(day_ms)[:16], self.horizons[column]
        print(f"{horizon}, day from {day}: {len(bought):,} events, shift {shifts[1]:+.3f}, best {shifts[2]:+.3f}")
        return np.array([log_losses(logits + shift, bought) for shift in shifts])


def best_shift(logits: Floats, bought: Booleans) -> float:
    """Return the shift with the least log loss, by Newton's method; 0 if all labels are alike."""
    shift = 0.0
    for _ in range(_STEPS if 0 < bought.sum() < len(bought) else 0):
        p = _probabilities(logits + shift)
        shift += float(np.clip((bought - p).sum() / (p * (1 - p)).sum(), -1, 1))
    return shift


def log_losses(logits: Floats, bought: Booleans) -> Floats:
    p = _probabilities(logits)
    return np.asarray(-np.log(np.where(bought, p, 1 - p)))


def _probabilities(logits: Floats) -> Floats:
    return np.asarray(1 / (1 + np.exp(-logits)))


def main(path: str, format_name: str) -> None:
    files = EventFiles([Path(path)], format_name, strict=False)
    later = Later.of([row for _, rows in files.each(lambda _: None) for row in rows if isinstance(row, Event)])
    for column, horizon in enumerate(later.horizons):
        days = range(later.from_ms, later.end_ms, DAY_MS)
        as_is, shifted, at_best = np.concatenate([later.losses(column, day_ms) for day_ms in days], axis=1).mean(axis=1)
        print(f"{horizon}: log loss {as_is:.5f}, shifted {shifted:.5f}, shifted at best {at_best:.5f}")


if __name__ == "__main__":
    main(*sys.argv[1:])
