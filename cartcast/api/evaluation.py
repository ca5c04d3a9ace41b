"""Judging models on a history: several side by side, beside simpler ones, with intervals."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pyarrow as pa  # type: ignore[import-untyped]

from cartcast.api.events import events_of
from cartcast.api.model import Model, load
from model.comparison import COMPARED
from model.consent import DEFAULT_CONSENT
from model.evaluation.evaluate import EvaluationSettings, evaluate_checkpoint
from model.evaluation.test_set import ALL_USERS
from model.training.history import History, read_history

_METRICS: Final = ("pr_auc", "roc_auc", "log_loss", "brier", "ece")


@dataclass(frozen=True)
class Evaluation:
    """What was measured."""

    report: dict[str, Any]
    """As report.json holds it (docs/evaluation.md)."""

    def to_arrow(self) -> Any:  # noqa: ANN401 - pyarrow has no types
        """Return a row a model and horizon, over all users: metrics, and how much the first model is better.

        `<metric>_low` and `<metric>_high` bound the 95 % interval of the first model's value less this one's, paired by
        resampling users; they are null for the first itself.
        """
        found, rows = self.report["slices"][ALL_USERS], []
        for model in [each for each in self.report["models"] if each["name"] in found["models"]]:
            for horizon in self.report["horizons"]:
                measured = found["models"][model["name"]][horizon]
                row = {"model": model["name"], "title": model["title"], "horizon": horizon}
                row |= {name: measured[name] for name in _METRICS}
                difference = found["differences"].get(model["name"], {}).get(horizon, {})
                for name in COMPARED:
                    low, high = (difference.get(name) or {}).get("interval") or (None, None)
                    row |= {f"{name}_low": low, f"{name}_high": high}
                rows.append(row)
        return pa.Table.from_pylist(rows)

    def to_pandas(self) -> Any:  # noqa: ANN401
        """Return the same as a pandas DataFrame."""
        return self.to_arrow().to_pandas()

    def write(self, directory: str | os.PathLike[str]) -> Path:
        """Write report.html and report.json, and return the page's path."""
        from model.evaluation.report import write_report  # noqa: PLC0415 - loads matplotlib

        write_report(self.report, Path(directory))
        return Path(directory) / "report.html"


def evaluate(  # noqa: PLR0913 - what is measured, and how
    events: Any,  # noqa: ANN401 - any history
    models: Model | str | os.PathLike[str] | Sequence[Model | str | os.PathLike[str]],
    *,
    after: int | None = None,
    baselines: bool = True,
    replicas: int = 200,
    seed: int = 1,
    threads: int = 1,
) -> Evaluation:
    """Measure models, or checkpoint directories, on the time of a history that the first one was not trained on.

    That is its test part, or from `after` on, in epoch milliseconds. The others are measured on the same events with
    the same horizons; which of them have learnt from those is for you to know, unless they were trained with the same
    split. Raises EvaluationError if there is nothing to measure, or models that cannot be compared.
    """
    given = [models] if isinstance(models, Model | str | os.PathLike) else list(models)
    first, *others = [each if isinstance(each, Model) else load(each) for each in given]
    shop = first.checkpoint.model.config.shop
    rows = events_of(events)
    history = read_history(DEFAULT_CONSENT.allowed(rows.rows(shop)), shop=shop)
    history.require_order()
    settings = EvaluationSettings(after_ms=after, baselines=baselines, replicas=replicas, seed=seed, threads=threads)
    beside = [other.checkpoint for other in others]

    def apart() -> History:
        return read_history(DEFAULT_CONSENT.allowed(rows.rows(shop)), shop=shop, follows_identities=False)

    report = evaluate_checkpoint(history, first.checkpoint, settings, lambda *_: None, others=beside, apart=apart)
    return Evaluation(report)
