"""The curves of an evaluation, thinned for plotting."""

from typing import Any, Final

import numpy as np

from model.arrays import Floats
from model.ranking import Ranking

POINTS: Final = 150
CALIBRATION_BINS: Final = 12
HISTOGRAM_BINS: Final = 40
_FIRST_RECALL: Final = 0.005
"""The precision-recall curve starts at this recall; precision over the first few events is noise."""


def curves_of(ranking: Ranking) -> dict[str, Any]:
    """Return a horizon's curves; empty where all events are of one class."""
    events, buyers = ranking.reached()
    if not 0 < buyers[-1] < events[-1]:
        return {}
    others = events - buyers
    shown = slice(max(1, int(np.searchsorted(buyers, _FIRST_RECALL * buyers[-1]))), None)
    return {
        "roc": _line(others / others[-1], buyers / buyers[-1]),
        "pr": _line(buyers[shown] / buyers[-1], buyers[shown] / events[shown]),
        "gain": _line(events / events[-1], buyers / buyers[-1]),
        "calibration": _calibration(ranking),
        "histogram": _histogram(ranking),
    }


def _line(x: Floats, y: Floats) -> dict[str, list[float]]:
    """Thin a curve to about POINTS, evenly spaced in x."""
    places = np.unique(np.searchsorted(x, np.linspace(x[0], x[-1], POINTS)).clip(0, len(x) - 1))
    places = np.unique(np.concatenate(([0], places, [len(x) - 1])))
    return {"x": x[places].round(5).tolist(), "y": y[places].round(5).tolist()}


def _calibration(ranking: Ranking) -> dict[str, list[float]]:
    """Return mean propensity and frequency over bins of equal counts, the lowest first."""
    bins = [part for part in np.array_split(np.arange(len(ranking))[::-1], CALIBRATION_BINS) if len(part)]
    return {
        "propensity": [float(ranking.propensities[part].mean()) for part in bins],
        "frequency": [float(ranking.bought[part].mean()) for part in bins],
        "events": [len(part) for part in bins],
    }


def _histogram(ranking: Ranking) -> dict[str, list[float]]:
    """Return histograms of the propensities, by whether a purchase followed."""
    edges = np.linspace(0, max(float(ranking.propensities[0]), 1e-6), HISTOGRAM_BINS + 1)
    return {
        "edges": edges.round(6).tolist(),
        "buyers": np.histogram(ranking.propensities[ranking.bought], edges)[0].tolist(),
        "others": np.histogram(ranking.propensities[~ranking.bought], edges)[0].tolist(),
    }
