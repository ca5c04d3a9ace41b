"""Training: the recipe is measured on a forward chain, then used on all data."""

import importlib.metadata
import math
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np
import torch

from model.checkpoint import Calibration, save_checkpoint
from model.comparison import verdicts
from model.events import EXPECTED_VALUE, rfc3339
from model.heads import PURCHASE_CATEGORY
from model.horizons import DAY_MS, longest_horizon_ms
from model.items.ranker import ItemModel
from model.lstm import LSTMConfig, PropensityLSTM
from model.shop import Shop
from model.training.examples import Examples, TrainingSet, hidden_users
from model.training.extra_heads import check_targets, measure_heads
from model.training.fitting import Fitting, Progress, TrainingSettings, fit
from model.training.history import History
from model.training.holdout import RIDGE, Holdout, best_strengths
from model.training.money import MoneyHoldout, joined
from model.training.order_value import FIRST, PENALTIES, OrderValues
from model.training.resume import NoStateStore, StateStore
from model.training.ridge import STRENGTHS, Ridge, Ridges
from model.training.split import TimeSplit
from model.training.warm_start import is_usable, start_from
from service.errors import TrainingError

MIN_TRAIN_BUYERS: Final = 100
MIN_HOLDOUT_BUYERS: Final = 20
MIN_PRICED_SHARE: Final = 0.5
"""Of the purchases; the value of one without a price counts as nothing."""

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
    items: ItemModel | None = None
    """What recommends items, if that was learnt, too."""

    def save(self, directory: Path, *, replaced: Path | None = None) -> str:
        """Write the checkpoint as `save_checkpoint` does; returns its version."""
        return save_checkpoint(
            directory,
            self.model,
            calibration=self.calibration,
            metrics=self.metrics,
            training=self.training,
            earlier=self.earlier,
            category_names=self.category_names,
            items=self.items,
            replaced=replaced,
        )


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
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped] # noqa: PLC0415 - as scikit-learn

    torch.set_num_threads(settings.threads)
    threadpool_limits(settings.threads)  # numpy's, which on shared cores would wait for each other
    examples, config, refused = _learnable(history, config)
    history = examples.history
    check_targets(examples.targets, config.heads)
    if start is not None and not is_usable(start, PropensityLSTM(config)):
        start = None
    trainer = _Trainer(settings, config, start, device, store)
    # Each fold chooses the strength of the next one's ridge, and the penalty of its order values.
    strengths, made, holdouts = [len(STRENGTHS) // 2] * len(config.horizons), list[_Made](), list[Holdout]()
    penalty, money = FIRST, list[MoneyHoldout]()
    for number, fold in enumerate((examples.validation_fold(), examples.test_fold())):
        made.append(trainer.make(fold.name, fold.training_set, strengths, _part_of(progress, number / 3), penalty))
        holdouts.append(Holdout.of(made[-1].model, made[-1].ridge, examples, fold))
        strengths = best_strengths(made[-1].ridges, made[-1].model, examples, fold)
        model, order_values = made[-1].model, made[-1].order_values
        if model.order_value is not None and order_values is not None:
            money.append(MoneyHoldout.of(model, fold.training_set, fold.spans, fold.amounts, settings.seed))
            penalty = order_values.best(model, model.order_value, fold)
    thresholds = holdouts[0].thresholds()
    metrics = _metrics(holdouts, config.horizons, thresholds, settings.seed) | _money_metrics(money, settings.seed)
    if config.heads:
        found = measure_heads(made[-1].model, history, examples.until(None), examples.targets, examples.unseen())
        metrics = metrics | {part: metrics[part] | {"heads": heads} for part, heads in found.items()}
    served = trainer.make("all", examples.everything(), strengths, _part_of(progress, 2 / 3), penalty)
    factor = joined(money).correction(settings.seed) if money else 1.0
    if served.model.order_value is not None:
        served.model.order_value.log_mean.add_(math.log(factor))
    progress(1.0, "done")
    description = _describe(examples, settings) | {
        "refused_horizons": refused,
        "warm_start": start is not None,
        "curves": [{"epoch": epoch, "train_loss": loss} for epoch, loss in enumerate(served.losses, 1)],
        "ridge_strengths": {name: STRENGTHS[of] for name, of in zip(config.horizons, strengths, strict=True)},
        "thresholds": dict(zip(config.horizons, thresholds, strict=True)),
        **({"expected_value": {"penalty": repr(PENALTIES[penalty]), "factor": factor}} if money else {}),
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


def _money_metrics(folds: Sequence[MoneyHoldout], seed: int) -> dict[str, Any]:
    """Return how true the expected values of both folds are, and over them together; empty without that head."""
    if not folds:
        return {}
    validation, test = folds
    return {
        "money": {
            "validation": validation.measure(seed),
            "test": test.measure(seed),
            "test_unseen_users": test.measure(seed, unseen=True),
            "chain": joined(folds).measure(seed),
        }
    }


@dataclass(frozen=True, slots=True)
class _Made:
    """A network with its ridge folded in, and what it was made of."""

    model: PropensityLSTM
    ridge: Ridge
    ridges: Ridges
    order_values: OrderValues | None
    losses: list[float]


@dataclass(frozen=True, slots=True)
class _Trainer:
    """Makes models by the same recipe; all start with the same weights."""

    settings: TrainingSettings
    config: LSTMConfig
    start: PropensityLSTM | None
    device: torch.device
    store: StateStore

    def make(
        self, stage: str, training_set: TrainingSet, strengths: Sequence[int], progress: Progress, penalty: int = FIRST
    ) -> _Made:
        """Train a network, fold the ridge of these strengths in, and freeze what is known of categories.

        `penalty` is the number of that of the order values, if the model has them.
        """
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
        order_values = None
        if model.order_value is not None:
            types = len(self.config.shop.event_types)
            order_values = OrderValues.fit(training_set, types, self.settings.seed)
            order_values.put_into(model.order_value, penalty)
        model.category_rates.copy_(torch.from_numpy(training_set.history.category_rates(training_set.spans)))
        return _Made(model, ridge, ridges, order_values, losses)


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
    config = _with_horizon_of_money(config, history.shop)
    while True:
        horizons, shop = config.horizons, history.shop
        within = dict(zip(horizons, shop.within(horizons), strict=True))
        if shop.money is not None:
            within[EXPECTED_VALUE] = shop.money.within
        split = TimeSplit.of(history.applied_ms, longest_horizon_ms(list(within.values())))
        examples = Examples.of(history, split, hidden_users(history), horizons, config.heads, config.category_buckets)
        lacks = _lacks(examples, within)
        if not lacks:
            return examples, msgspec.structs.replace(config, shop=shop), refused
        # Without the longest horizon more of the time is left for the others.
        longest = max(lacks, key=lambda name: longest_horizon_ms((within[name],)))
        refused[longest] = lacks[longest]
        if longest == EXPECTED_VALUE or (shop.money is not None and longest == shop.money.within):
            # Money needs the propensity to buy within its time.
            refused.setdefault(EXPECTED_VALUE, lacks[longest])
            history = replace(history, shop=msgspec.structs.replace(shop, money=None))
        if longest == EXPECTED_VALUE:
            continue
        if len(horizons) == 1:
            raise TrainingError(f"too little to learn from: {'; '.join(dict.fromkeys(refused.values()))}")
        config = msgspec.structs.replace(config, horizons=tuple(each for each in horizons if each != longest))


def _with_horizon_of_money(config: LSTMConfig, shop: Shop) -> LSTMConfig:
    """Return the configuration with the propensity to buy within the time of money, which its head multiplies."""
    if shop.money is None or shop.money.within in config.horizons:
        return config
    purchases = [name for name in config.horizons if name not in shop.goals]
    goals = [name for name in config.horizons if name in shop.goals]
    return msgspec.structs.replace(config, horizons=(*purchases, shop.money.within, *goals))


def _lacks(examples: Examples, within: Mapping[str, str]) -> dict[str, str]:
    """Return what the data lack, by the name of a horizon, of a goal, or of the head for money."""
    amounts, shop = examples.amounts, examples.history.shop
    parts = (
        ("training", examples.learnt, amounts.learnt, MIN_TRAIN_BUYERS),
        ("validation", examples.validation, amounts.validation, MIN_HOLDOUT_BUYERS),
        ("test", examples.test, amounts.test, MIN_HOLDOUT_BUYERS),
    )
    lacks = {}
    for part, mask, money, least in reversed(parts):
        known_and_bought = [*zip(*examples.shares(mask), strict=True)]
        known_and_bought += [*zip((~np.isnan(money)).sum(axis=0), (money > 0).sum(axis=0), strict=True)]
        for name, (known, bought) in zip(within, known_and_bought, strict=True):
            if not least <= bought <= known - least:
                followed_by = "purchases with a price" if name == EXPECTED_VALUE else shop.followed_by(name)
                lacks[name] = (
                    f"in the {part} part ({known:,} events whose label is known) {bought:,} are followed by "
                    f"{followed_by} ({_named(name, within[name])}); at least {least} must be, and {least} must not: "
                    f"{_remedy(examples, name, within[name])}"
                )
    if EXPECTED_VALUE in within and (priceless := _priceless(examples.history)) is not None:
        lacks[EXPECTED_VALUE] = priceless
    return lacks


def _named(name: str, within: str) -> str:
    return f"horizon {name}" if name == within else f"{name}, within {within}"


def _priceless(history: History) -> str | None:
    """Return what is wrong if most purchases have no price."""
    purchases = int(history.is_purchase.sum())
    priced = purchases - int(np.isnan(history.values).sum())
    if priced >= MIN_PRICED_SHARE * purchases:
        return None
    return (
        f"{priced:,} of {purchases:,} purchases have a price, and {MIN_PRICED_SHARE:.0%} must, for their value to be "
        f"expected ({EXPECTED_VALUE}): give purchases a price, or leave `money` out of the shop's file"
    )


def _remedy(examples: Examples, name: str, within: str) -> str:
    history = examples.history
    if name in history.shop.goals:
        if not history.is_positive(slice(None), (name,)).any():
            return f"no event at all meets goal {name}: are its types and conditions those of the events?"
    elif not history.is_purchase.any():
        return "no event at all is a purchase: is the files' --format right?"
    span_ms = examples.split.end_ms - int(history.applied_ms.min())
    if span_ms < 6 * longest_horizon_ms((within,)):
        days = 6 * longest_horizon_ms((within,)) / DAY_MS
        shorter = "shorter --horizons" if name == within else f"a shorter time for {name}"
        return (
            f"the history spans {span_ms / DAY_MS:.1f} days, and {_named(name, within)} wants {days:,.10g} or more: "
            f"give a longer one, or {shorter}"
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
