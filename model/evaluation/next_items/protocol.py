"""What is compared: anything that scores every item at a query."""

from typing import Final, Protocol

import numpy as np
import numpy.typing as npt

from model.items.journeys import Journeys
from model.items.targets import Queries

Scores = npt.NDArray[np.float32]
"""`(queries, items)`, the higher the sooner recommended; NEVER of items that are not recommended at all."""

NEVER: Final = np.float32(-np.inf)


class ItemScorer(Protocol):
    """What a model has learnt for one goal."""

    def scores(self, queries: Queries) -> Scores:
        """Score all items of `queries.journeys` at each query, from what arrived up to and including its event.

        Only a few queries are given at once, so that the scores of 100,000 items fit into memory. Equal scores are
        ordered by popularity, and what is then still equal to the target comes before it (`metrics.place`).
        """
        ...


class NextItemModel(Protocol):
    """A way to predict the next item."""

    @property
    def name(self) -> str: ...

    @property
    def title(self) -> str: ...

    @property
    def about(self) -> str: ...

    def fit(self, training: Journeys, goal: str) -> ItemScorer:
        """Learn to predict a goal's next item; `training` ends before the first query, and numbers items alike."""
        ...
