"""Which of a shopper's stored events moved a propensity: each is left out in turn, and the rest is scored again.

Exact leave-one-out over the ring (Li, Monroe and Jurafsky, "Understanding neural networks through representation
erasure", 2016): no gradient, no approximation, and every feature that depends on the event (counts, gaps, an earlier
view of the item) is computed again without it. Events before the ring are lost, and the words of all but the last few
that had any, so what is explained is the propensity from the ring alone; show `Explanation.from_ring` beside the
published one.
"""

import copy
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import torch

from model.arrays import Floats, Runs
from model.checkpoint import Checkpoint
from model.inference import InferenceRequest, Scorer
from model.propensities import log_odds
from model.sequence import shortened, stored_events
from model.states import replay_events


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why the propensities after one event are what they are."""

    events: npt.NDArray[np.void]
    """The stored events up to the one that is explained, which is the last: STORED_EVENT `(events,)`."""
    earlier: int
    """Number of accepted events before the first of them, of which only the carried numbers remain."""
    from_ring: Floats
    """The propensities from the stored events alone `(horizons,)`."""
    without: Floats
    """The same without event i `(events, horizons)`; NaN if no event is left."""

    @property
    def contributions(self) -> Floats:
        """How much higher event i makes the propensities `(events, horizons)`."""
        return self.from_ring - self.without

    @property
    def log_odds(self) -> Floats:
        """The same in log-odds, where a step from .01 to .02 counts as much as one from .5 to .67."""
        return log_odds(self.from_ring) - log_odds(self.without)


class Explainer:
    """Explains sequence states with a checkpoint of its own on the CPU, beside whatever device scores the stream."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        own = replace(checkpoint, model=copy.deepcopy(checkpoint.model))  # a Scorer moves its model to its device
        self._scorer = Scorer(own, torch.device("cpu"))
        self._shop = checkpoint.model.config.shop
        self._carried_floats = checkpoint.model.config.carried_floats
        self.horizons = checkpoint.model.config.horizons

    def explain(
        self, sequence: npt.NDArray[np.void], place: int = -1, own: npt.NDArray[np.void] | None = None
    ) -> Explanation:
        """Explain the propensities after a stored event; `sequence` is one SEQUENCE record `(1,)`.

        `own` is the shopper's own ring (`model.sequence.own_of`), of a model whose shop defines types or attributes.
        `place` counts the stored events from the oldest, or from the end if negative. Raises IndexError if there is no
        such event.
        """
        _, stored = stored_events(sequence, own)
        shown = stored[: range(len(stored))[place] + 1]
        # One variant with all events, then one without each: (1 + events, events).
        kept = np.ones((len(shown) + 1, len(shown)), np.bool_)
        kept[1:][np.eye(len(shown), dtype=np.bool_)] = False
        propensities = self.propensities(shown, kept)  # (1 + events, horizons)
        return Explanation(
            events=shown,
            earlier=int(sequence["events"][0]) - len(stored),
            from_ring=propensities[0],
            without=propensities[1:],
        )

    def from_ring(self, sequence: npt.NDArray[np.void], own: npt.NDArray[np.void] | None = None) -> Floats:
        """Return the propensities after the last event that the stored events alone give `(horizons,)`."""
        _, stored = stored_events(sequence, own)
        return np.asarray(self.propensities(stored, np.ones((1, len(stored)), np.bool_))[0])

    def propensities(self, stored: npt.NDArray[np.void], kept: npt.NDArray[np.bool_]) -> Floats:
        """Return the propensities after the last of the events that each row of `kept` keeps `(variants, horizons)`.

        `stored` are STORED_EVENT records `(events,)`, `kept` is `(variants, events)`; a variant without events has
        none: NaN.
        """
        variants, places = np.nonzero(kept)
        replayed = replay_events(variants, stored[places], len(kept), self._shop)  # every variant is a user of its own
        runs = Runs.of(replayed.users)
        request = InferenceRequest(
            replayed.features, replayed.users, np.zeros((len(runs.users), self._carried_floats), np.float16)
        )
        # Variants without events have no run and stay NaN.
        found = np.full((len(kept), len(self.horizons)), np.nan)
        found[runs.users] = self._scorer.score(request).propensities[runs.ends]
        return found


def place_of(sequence: npt.NDArray[np.void], event_hash: int) -> int | None:
    """Return the position among the stored events of the one whose id has this hash; None if it is not stored."""
    _, stored = stored_events(sequence)
    found = np.flatnonzero(stored["id_hash"] == shortened(event_hash))
    return int(found[-1]) if len(found) else None
