"""The page of a retraining: what was compared with what serves, on which days, and what came of it."""

from typing import Any

from model.evaluation.report.formatting import difference, number
from model.evaluation.report.page import rendered

_COMPARED = ("pr_auc", "log_loss")


def challenge_page(told: dict[str, Any], compared: dict[str, Any] | None) -> str:
    """Return the HTML, one file without script and external resources.

    `told` is what `cartcast retrain --json` prints; `compared` is what `model.comparison.compare` found of the
    candidate and the current checkpoint, None if nothing was compared.
    """
    rows = (
        [] if compared is None else [_row(told, compared, horizon, word) for horizon, word in told["verdicts"].items()]
    )
    return rendered("challenge.html", told=told, rows=rows)


def _row(told: dict[str, Any], compared: dict[str, Any], horizon: str, verdict: str) -> dict[str, Any]:
    candidate, current = (compared["models"][name][horizon] for name in ("candidate", "current"))
    counts, differences = compared["counts"][horizon], compared["differences"]["current"][horizon]
    return {
        "title": told["titles"][horizon],
        **{name: f"{counts[name]:,}" for name in ("events", "users", "positives")},
        "base_rate": number("base_rate", candidate["base_rate"]),
        "metrics": [
            (number(name, candidate[name]), number(name, current[name]), _difference(differences[name]))
            for name in _COMPARED
        ],
        "verdict": verdict,
    }


def _difference(found: dict[str, Any]) -> tuple[str, str]:
    """Return a difference, and the ends of its 95 % interval."""
    ends = found["interval"]
    return difference(found["value"]), "" if ends is None else f"{difference(ends[0])} to {difference(ends[1])}"
