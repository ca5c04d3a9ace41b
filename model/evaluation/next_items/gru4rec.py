"""GRU4Rec through Cornac's implementation, which needs the extra `gru4rec`.

Hidasi et al., "Session-based recommendations with recurrent neural networks" (2016), with the losses of its authors'
later versions. It learns which item comes next in a session, whatever the goal, and is asked with the session so far.
"""

from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import Any, Final

import numpy as np
import torch

from model.evaluation.next_items.protocol import NEVER, ItemScorer, Scores
from model.items.journeys import Journeys
from model.items.targets import Queries

EXTRA: Final = "gru4rec"
_EPOCHS: Final = 10
_MOST_SESSIONS_AT_ONCE: Final = 512
"""Cornac's own batch; it must not be larger than the sessions."""


def is_installed() -> bool:
    """Whether Cornac is there."""
    return find_spec("cornac") is not None


@dataclass(slots=True)
class GRU4Rec:
    """The method with Cornac's settings, but for the seed."""

    seed: int = 1
    epochs: int = _EPOCHS
    name: str = "gru4rec"
    title: str = "GRU4Rec"
    about: str = "a GRU over the items of the session so far (Cornac's implementation and settings)"
    _training: Journeys | None = field(default=None, repr=False)
    _scorer: ItemScorer | None = field(default=None, repr=False)

    def fit(self, training: Journeys, goal: str) -> ItemScorer:  # noqa: ARG002 - it learns the same for every goal
        if self._scorer is None or self._training is not training:
            self._training, self._scorer = training, _Network.learnt(training, self.seed, self.epochs)
        return self._scorer


@dataclass(frozen=True, slots=True)
class _Network:
    recommender: Any
    places: dict[int, int]
    """Of each item that was learnt from, its number there."""

    @classmethod
    def learnt(cls, training: Journeys, seed: int, epochs: int) -> "_Network":
        from cornac.data import SequentialDataset  # noqa: PLC0415 - an extra; it takes a second
        from cornac.models import GRU4Rec as Recommender  # noqa: PLC0415

        torch.manual_seed(seed)
        rows = zip(training.sessions.tolist(), training.items.tolist(), range(len(training)), strict=True)
        dataset = SequentialDataset.from_sit(list(rows), seed=seed)
        batch = max(min(_MOST_SESSIONS_AT_ONCE, dataset.num_sessions // 2), 1)
        recommender = Recommender(n_epochs=epochs, batch_size=batch, seed=seed).fit(dataset)
        return cls(recommender, dict(dataset.iid_map))

    @torch.inference_mode()
    def scores(self, queries: Queries) -> Scores:
        items, starts = queries.journeys.items, queries.session_starts
        numbers = np.array(list(self.places.values()))
        columns = np.array(list(self.places))
        found = np.full((len(queries), len(queries.journeys.item_ids)), NEVER)
        for row, first, last in zip(found, starts, queries.rows, strict=True):
            so_far = [self.places[item] for item in items[first : last + 1].tolist() if item in self.places]
            row[columns] = self.recommender.score(None, so_far)[numbers]  # all alike if nothing is known
        return found
