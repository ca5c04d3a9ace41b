"""Training: the recipe is measured on a forward chain, then used on all data."""

import importlib.metadata
import platform
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Final

import msgspec
import numpy as np
import torch

from model.checkpoint import Calibration
from model.comparison import verdicts
from model.events import rfc3339
from model.heads import PURCHASE_CATEGORY
from model.horizons import DAY_MS, longest_horizon_ms
from model.lstm import LSTMConfig, PropensityLSTM
from model.training.examples import Examples, TrainingSet, hidden_users
from model.training.extra_heads import measure_heads
from model.training.fitting import Fitting, Progress, TrainingSettings, fit
from model.training.history import History
from model.training.holdout import RIDGE, Holdout, best_strengths
from model.training.resume import NoStateStore, StateStore
from model.training.ridge import STRENGTHS, Ridge, Ridges
from model.training.split import TimeSplit
from model.training.warm_start import is_usable, start_from
from service.errors import TrainingError

MIN_TRAIN_BUYERS: Final = 100
MIN_HOLDOUT_BUYERS: Final = 20

_CPU: Final = torch.device("cpu")
_NO_STORE: Final = NoStateStore()


@dataclass(frozen=True, slots=True)
class Trained:
    """The result of training, for a checkpoint."""

    model: PropensityLSTM
    calibration: Calibration
    metrics: dict[str, Any]
    training: dict[str, Any]
    earlier: PropensityLSTM
    """The same recipe before the test part, which it was measured on."""
    category_names: dict[int, str] = field(default_factory=dict)
    """By bucket, if a head predicts categories."""


def train(  # noqa: PLR0913 - where it runs and what it goes on from have defaults
    history: History,
    settings: TrainingSettings,
    config: LSTMConfig,
    progress: Progress,
    *,
    start: PropensityLSTM | None = None,
    device: torch.device = _CPU,
    store: StateStore = _NO_STORE,
) -> Trained:
    """Measure a recipe on a forward chain, then use it on all data; the same inputs give the same result.

    The same machine and thread count, that is. Each fold of the chain is trained on what came before it, without a
    fifth of the users; what is reported is how it does on the later events. Every training begins with the weights of
    `start`, if they are given and fit. `store` gets the state after each epoch,
    and training resumes from the state it holds. Horizons that the data are insufficient for are left out, as
    `Trained.training` says; raises TrainingError if none remains.
    """
    torch.set_num_threads(settings.threads)
    examples, config, refused = _learnable(history, config)
    examples.targets.check(config.heads)
    if start is not None and not is_usable(start, PropensityLSTM(config)):
        start = None
    trainer = _Trainer(settings, config, start, device, store)
    # Each fold chooses the strength of the next one's ridge.
    strengths, made, holdouts = [len(STRENGTHS) // 2] * len(config.horizons), list[_Made](), list[Holdout]()
    for number, fold in enumerate((examples.validation_fold(), examples.test_fold())):
        made.append(trainer.make(fold.name, fold.training_set, strengths, _part_of(progress, number / 3)))
        holdouts.append(Holdout.of(made[-1].model, made[-1].ridge, examples, fold))
        strengths = best_strengths(made[-1].ridges, made[-1].model, examples, fold)
    thresholds = holdouts[0].thresholds()
    metrics = _metrics(holdouts, config.horizons, thresholds, settings.seed)
    if config.heads:
        found = measure_heads(made[-1].model, history, examples.until(None), examples.targets, examples.unseen())
        metrics = metrics | {part: metrics[part] | {"heads": heads} for part, heads in found.items()}
    served = trainer.make("all", examples.everything(), strengths, _part_of(progress, 2 / 3))
    progress(1.0, "done")
    description = _describe(examples, settings) | {
        "refused_horizons": refused,
        "warm_start": start is not None,
        "curves": [{"epoch": epoch, "train_loss": loss} for epoch, loss in enumerate(served.losses, 1)],
        "ridge_strengths": {name: STRENGTHS[of] for name, of in zip(config.horizons, strengths, strict=True)},
        "thresholds": dict(zip(config.horizons, thresholds, strict=True)),
        "device": device.type,
    }
    names = history.names_of_categories(config.category_buckets) if PURCHASE_CATEGORY in config.heads else {}
    calibration = Calibration.identity(len(config.horizons))
    return Trained(served.model.cpu(), calibration, metrics, description, made[-1].model.cpu(), names)


def _metrics(
    holdouts: Sequence[Holdout], horizons: tuple[str, ...], thresholds: Sequence[float], seed: int
) -> dict[str, Any]:
    """Return the metrics of both folds, and over them together the comparison with the ridge and a constant."""
    validation, test = holdouts
    chain = Holdout.joined(holdouts)
    compared = chain.comparison(horizons, seed)
    return {
        "validation": validation.metrics(horizons, thresholds),
        "test": test.metrics(horizons, thresholds),
        "test_unseen_users": test.metrics(horizons, thresholds, unseen=True),
        "chain": compared,
        "chain_unseen_users": chain.comparison(horizons, seed, unseen=True),
        "verdicts": verdicts(compared, RIDGE),
    }


@dataclass(frozen=True, slots=True)
class _Made:
    """A network with its ridge folded in, and what it was made of."""

    model: PropensityLSTM
    ridge: Ridge
    ridges: Ridges
    losses: list[float]


@dataclass(frozen=True, slots=True)
class _Trainer:
    """Makes models by the same recipe; all start with the same weights."""

    settings: TrainingSettings
    config: LSTMConfig
    start: PropensityLSTM | None
    device: torch.device
    store: StateStore

    def make(self, stage: str, training_set: TrainingSet, strengths: Sequence[int], progress: Progress) -> _Made:
        """Train a network, fold the ridge of these strengths in, and freeze what is known of categories."""
        torch.manual_seed(self.settings.seed)
        model = PropensityLSTM(self.config)
        if self.start is not None:
            start_from(self.start, model)
        if model.number_scales is not None:
            scales = training_set.history.number_scales(training_set.spans)
            model.number_scales.copy_(torch.from_numpy(scales))
        fitting = Fitting(model, training_set, self.settings, self.device)
        losses = fit(fitting, stage, self.store, progress)
        ridges = Ridges.fit(training_set, self.settings.seed)
        ridge = ridges.chosen(strengths)
        ridge.fold_into(model)
        model.category_rates.copy_(torch.from_numpy(training_set.history.category_rates(training_set.spans)))
        return _Made(model, ridge, ridges, losses)


def _part_of(progress: Progress, start: float) -> Progress:
    """Return the progress of one of three trainings."""
    return lambda share, words: progress(start + share / 3, words)


def _learnable(history: History, config: LSTMConfig) -> tuple[Examples, LSTMConfig, dict[str, str]]:
    """Return the examples and the configuration of the horizons that the data suffice for, and why not for the others.

    Raises TrainingError if they suffice for none.
    """
    if len(history.user_ids) < 2:
        raise TrainingError("too little to learn from: all events are of one user; are the files' user ids right?")
    refused: dict[str, str] = {}
    while True:
        horizons = config.horizons
        split = TimeSplit.of(history.applied_ms, longest_horizon_ms(horizons))
        examples = Examples.of(history, split, hidden_users(history), horizons, config.heads, config.category_buckets)
        lacks = _lacks(examples, horizons)
        if not lacks:
            return examples, config, refused
        # Without the longest horizon more of the time is left for the others.
        longest = max(lacks, key=lambda horizon: longest_horizon_ms((horizon,)))
        refused[longest] = lacks[longest]
        if len(horizons) == 1:
            raise TrainingError(f"too little to learn from: {'; '.join(refused.values())}")
        config = msgspec.structs.replace(config, horizons=tuple(each for each in horizons if each != longest))


def _lacks(examples: Examples, horizons: Sequence[str]) -> dict[str, str]:
    """Return what the data lack, by horizon."""
    parts = (
        ("training", examples.learnt, MIN_TRAIN_BUYERS),
        ("validation", examples.validation, MIN_HOLDOUT_BUYERS),
        ("test", examples.test, MIN_HOLDOUT_BUYERS),
    )
    return {
        horizon: f"in the {part} part ({known:,} events whose label is known) {bought:,} are followed by a purchase "
        f"(horizon {horizon}); at least {least} must be, and {least} must not: {_remedy(examples, horizon)}"
        for part, mask, least in reversed(parts)
        for horizon, known, bought in zip(horizons, *examples.shares(mask), strict=True)
        if not least <= bought <= known - least
    }


def _remedy(examples: Examples, horizon: str) -> str:
    if not examples.history.is_purchase.any():
        return "no event at all is a purchase: is the files' --format right?"
    span_ms = examples.split.end_ms - int(examples.history.applied_ms.min())
    if span_ms < 6 * longest_horizon_ms((horizon,)):
        days = 6 * longest_horizon_ms((horizon,)) / DAY_MS
        return (
            f"the history spans {span_ms / DAY_MS:.1f} days, and horizon {horizon} wants {days:,.10g} or more: give a "
            "longer one, or shorter --horizons"
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
        "validation_from": rfc3339(split.validation_from_ms),
        "test_from": rfc3339(split.test_from_ms),
        "last_event": rfc3339(split.end_ms),
        "hidden_users": int(examples.hidden.sum()),
        "versions": _versions(),
    }


def _versions() -> dict[str, str]:
    return {
        "cartcast": importlib.metadata.version("cartcast"),
        "python": platform.python_version(),
        "torch": str(torch.__version__),
        "numpy": np.__version__,
    }
