"""Training: fit, calibrate, evaluate, and refit on all data."""

import importlib.metadata
import platform
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Final

import msgspec
import numpy as np
import torch

from model.checkpoint import Calibration
from model.events import rfc3339
from model.heads import PURCHASE_CATEGORY
from model.horizons import DAY_MS, HOUR_MS, longest_horizon_ms
from model.lstm import LSTMConfig, PropensityLSTM
from model.training.examples import Examples
from model.training.extra_heads import measure_heads
from model.training.fitting import Fitting, LossCurve, Progress, TrainingSettings, fit, repeat
from model.training.history import History
from model.training.holdout import Holdout, validation_loss
from model.training.resume import NoStateStore, StateStore
from model.training.split import TimeSplit
from service.errors import TrainingError

MIN_TRAIN_BUYERS: Final = 100
MIN_VALIDATION_BUYERS: Final = 20

_CPU: Final = torch.device("cpu")
_NO_STORE: Final = NoStateStore()


@dataclass(frozen=True, slots=True)
class Trained:
    """The result of training, for a checkpoint."""

    model: PropensityLSTM
    calibration: Calibration
    metrics: dict[str, Any]
    training: dict[str, Any]
    before_refit: PropensityLSTM | None = None
    """The model that thresholds and metrics were measured with, if it is another one."""
    category_names: dict[int, str] = field(default_factory=dict)
    """By bucket, if a head predicts categories."""


def train(  # noqa: PLR0913 - where it runs and what it goes on from have defaults
    history: History,
    settings: TrainingSettings,
    config: LSTMConfig,
    progress: Progress,
    *,
    device: torch.device = _CPU,
    store: StateStore = _NO_STORE,
) -> Trained:
    """Train, calibrate and evaluate; the same inputs give the same result on the same machine and thread count.

    With `settings.refit` the model is then trained once more, on all data; thresholds, metrics and the slopes of the
    calibration stay those of the first model, which had not seen the data they were measured on. `store` gets the state
    after each epoch, and training resumes from the state it holds. Raises TrainingError if the data are insufficient.
    """
    torch.set_num_threads(settings.threads)
    split = TimeSplit.of(history.applied_ms, longest_horizon_ms(config.horizons))
    examples = Examples.of(history, split, config.horizons, config.heads, config.category_buckets)
    _check(examples, config.horizons)
    examples.targets.check(config.heads)
    trainer = _Trainer(examples, settings, config, device, store)
    model, curve = trainer.fit(_part_of(progress, 0.0, 0.5 if settings.refit else 1.0))
    holdout = Holdout.of(model, examples, examples.until(None), examples.validation | examples.test)
    calibration = holdout.calibration()
    thresholds = holdout.thresholds(calibration)
    metrics = holdout.metrics(calibration, thresholds, config.horizons)
    if config.heads:
        found = measure_heads(model, history, examples.until(None), examples.targets, examples.unseen())
        metrics = {part: measured | {"heads": found[part]} for part, measured in metrics.items()}
    before_refit, served = None, calibration
    if settings.refit:
        before_refit, served = model.cpu(), holdout.calibration_of_successor(calibration)
        model = trainer.refit(curve.best_epoch, _part_of(progress, 0.5, 1.0))
    description = _describe(examples, settings) | {
        "calibration": msgspec.structs.asdict(calibration),
        "epochs": curve.epochs,
        "best_epoch": curve.best_epoch,
        "curves": curve.curves,
        "thresholds": dict(zip(config.horizons, thresholds, strict=True)),
        "device": device.type,
    }
    names = history.names_of_categories(config.category_buckets) if PURCHASE_CATEGORY in config.heads else {}
    return Trained(model.cpu(), served, metrics, description, before_refit, names)


@dataclass(frozen=True, slots=True)
class _Trainer:
    """Makes models of the same settings; both fits start with the same weights."""

    examples: Examples
    settings: TrainingSettings
    config: LSTMConfig
    device: torch.device
    store: StateStore

    def fit(self, progress: Progress) -> tuple[PropensityLSTM, LossCurve]:
        """Train on the training part, with early stopping on the validation part."""
        model = self._new_model()
        fitting = Fitting(model, self.examples.training_set(), self.settings, self.device)
        return model, fit(fitting, lambda: validation_loss(model, self.examples), self.store, progress)

    def refit(self, best_epoch: int, progress: Progress) -> PropensityLSTM:
        """Train on all data, including the latest days, which are nearest to those that the model will serve.

        It takes as many epochs as were best in the fit; or all, if that fit had less than half of the time, because a
        short history is overfitted sooner.
        """
        model = self._new_model()
        epochs = best_epoch if 2 * self._learnt_ms() >= self._span_ms() else self.settings.epochs
        fitting = Fitting(model, self.examples.refit_set(), self.settings, self.device, epochs)
        repeat(fitting, self.store, progress)
        return model

    def _learnt_ms(self) -> int:
        return self.examples.split.train_until_ms - int(self.examples.history.applied_ms.min())

    def _span_ms(self) -> int:
        return self.examples.split.end_ms - int(self.examples.history.applied_ms.min())

    def _new_model(self) -> PropensityLSTM:
        torch.manual_seed(self.settings.seed)
        return PropensityLSTM(self.config)


def _part_of(progress: Progress, start: float, end: float) -> Progress:
    return lambda share, words: progress(start + share * (end - start), words)


def _check(examples: Examples, horizons: Sequence[str]) -> None:
    """Raise TrainingError if the data are insufficient, with what they lack."""
    if len(examples.history.user_ids) < 2:
        raise TrainingError("too little to learn from: all events are of one user; are the files' user ids right?")
    parts = (
        ("training", examples.learnt, MIN_TRAIN_BUYERS),
        ("validation", examples.validation, MIN_VALIDATION_BUYERS),
    )
    for part, mask, least in parts:
        for horizon, known, bought in zip(horizons, *examples.shares(mask), strict=True):
            if not least <= bought <= known - least:
                raise TrainingError(
                    f"too little to learn from: in the {part} part ({known:,} events whose label is known) {bought:,} "
                    f"are followed by a purchase (horizon {horizon}); at least {least} must be, and {least} must not: "
                    f"{_remedy(examples, horizons)}"
                )


def _remedy(examples: Examples, horizons: Sequence[str]) -> str:
    if not examples.history.is_purchase.any():
        return "no event at all is a purchase: is the files' --format right?"
    split = examples.split
    span_ms = split.end_ms - int(examples.history.applied_ms.min())
    if span_ms < 6 * split.purge_ms:
        days = 6 * split.purge_ms / DAY_MS
        return (
            f"the history spans {span_ms / DAY_MS:.1f} days, and horizons {','.join(horizons)} want {days:,.10g} "
            "or more: give a longer one, or shorter --horizons"
        )
    return "give a longer history or more shoppers"


def _describe(examples: Examples, settings: TrainingSettings) -> dict[str, Any]:
    """Return the description of the training for the checkpoint; nothing in it depends on the current time."""
    history, split = examples.history, examples.split
    return {
        "settings": asdict(settings),
        **history.counts,
        "out_of_order": history.out_of_order,
        "first_event": rfc3339(int(history.time_ms.min())),
        "train_until": rfc3339(split.train_until_ms),
        "validation_from": rfc3339(split.validation_from_ms),
        "test_from": rfc3339(split.test_from_ms),
        "last_event": rfc3339(split.end_ms),
        "learnt_until": rfc3339(split.end_ms if settings.refit else split.train_until_ms),
        "purge_gap_hours": split.purge_ms / HOUR_MS,
        "versions": _versions(),
    }


def _versions() -> dict[str, str]:
    return {
        "cartcast": importlib.metadata.version("cartcast"),
        "python": platform.python_version(),
        "torch": str(torch.__version__),
        "numpy": np.__version__,
    }
