"""What it would gain to shift each horizon's logit by what the day before says.

`.venv/bin/python -m benchmarks.level FILE FORMAT [moving]` trains on the first part of a history, as `cartcast train`
does. Each later day is then scored three times: as it is; shifted as `cartcast level` shifts it when it runs as the day
begins; and shifted by what turns out to fit that day, which nobody can know before it is over. With `moving`, purchases
are left out before all of that, each day another share of them.
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
from model.level import Outcomes
from model.lstm import LSTMConfig
from model.training.fitting import TrainingSettings
from model.training.history import read_history
from model.training.labels import Labels, label_events
from model.training.predict import predict_logits
from model.training.split import data_bounds
from model.training.train import train
from sinks.level import SETTLED_MS

LEARNT_SHARE: Final = 0.45
MOVING_DEVIATION: Final = 0.3
"""Standard deviation of the logarithm of the share of purchases that a day keeps."""
DAY_CORRELATION: Final = 0.8
"""Its correlation from one day to the next."""


@dataclass(frozen=True)
class Later:
    """Logits and labels `(events, horizons)` of a whole history, and from when on nothing has been learnt from it."""

    horizons: tuple[str, ...]
    time_ms: Integers
    users: Integers
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
        return cls(horizons, history.applied_ms, history.users.astype(np.int64), logits, labels, from_ms, end_ms)

    def outcomes(self, column: int, since_ms: int, until_ms: int, known_by_ms: int) -> tuple[Outcomes, Integers]:
        """Return what came of a time's events whose label was known at another, and their rows."""
        inside = (self.time_ms >= since_ms) & (self.time_ms < until_ms)
        rows = np.flatnonzero(inside & self.labels.known_by(known_by_ms)[:, column])
        return Outcomes.of(self.logits[rows, column], self.labels.bought[rows, column], self.users[rows]), rows

    def losses(self, column: int, day_ms: int) -> Floats:
        """Return the log losses `(3, events)` of a day's events: as they are, shifted, and shifted at best."""
        horizon = self.horizons[column]
        settled_ms = day_ms - SETTLED_MS[horizon]
        before, _ = self.outcomes(column, max(settled_ms - DAY_MS, self.from_ms), settled_ms, day_ms)
        that_day, rows = self.outcomes(column, day_ms, day_ms + DAY_MS, self.end_ms)
        shifts = (0.0, before.shift, that_day.fitting_shift)
        day = rfc3339(day_ms)[:16]
        print(f"{horizon}, day from {day}: {len(rows):,} events, shift {shifts[1]:+.2f}, best {shifts[2]:+.2f}")
        logits, bought = self.logits[rows, column], self.labels.bought[rows, column]
        return np.array([log_losses(logits + shift, bought) for shift in shifts])


def with_moving_level(events: list[Event], seed: int = 1) -> list[Event]:
    """Leave purchases out: each day another share, whose logarithm is an AR(1) process from day to day."""
    random = np.random.default_rng(seed)
    days = [event.ts // DAY_MS for event in events]
    states = [random.normal()]
    for _ in range(min(days), max(days)):
        states.append(DAY_CORRELATION * states[-1] + random.normal(scale=np.sqrt(1 - DAY_CORRELATION**2)))
    kept = np.exp(MOVING_DEVIATION * (np.array(states) - 2))  # rarely more than all
    drawn = random.random(len(events))
    return [
        event
        for event, day, draw in zip(events, days, drawn, strict=True)
        if event.type != "purchase" or draw < kept[day - days[0]]
    ]


def log_losses(logits: Floats, bought: Booleans) -> Floats:
    p = _probabilities(logits)
    return np.asarray(-np.log(np.where(bought, p, 1 - p)))


def _probabilities(logits: Floats) -> Floats:
    return np.asarray(1 / (1 + np.exp(-logits)))


def main(path: str, format_name: str, moving: str = "") -> None:
    files = EventFiles([Path(path)], format_name, strict=False)
    events = [row for _, rows in files.each(lambda _: None) for row in rows if isinstance(row, Event)]
    later = Later.of(with_moving_level(events) if moving else events)
    for column, horizon in enumerate(later.horizons):
        days = range(later.from_ms, later.end_ms, DAY_MS)
        as_is, shifted, at_best = np.concatenate([later.losses(column, day_ms) for day_ms in days], axis=1).mean(axis=1)
        print(f"{horizon}: log loss {as_is:.5f}, shifted {shifted:.5f}, shifted at best {at_best:.5f}")


if __name__ == "__main__":
    main(*sys.argv[1:])
