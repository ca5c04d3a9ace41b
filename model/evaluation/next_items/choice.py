"""A model whose settings are chosen on the end of what it may learn from."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from model.evaluation.next_items.baselines import CategoryPopularity, ItemKNN, OwnItems, Popularity, SequentialRules
from model.evaluation.next_items.metrics import METRICS, gains
from model.evaluation.next_items.protocol import ItemScorer, NextItemModel
from model.evaluation.next_items.ranked import Shelf, ranks_of
from model.evaluation.next_items.vsknn import SETTINGS
from model.items.journeys import Journeys
from model.items.targets import Transitions

_LEARNT_SHARE: Final = 0.9
_MOST_TRANSITIONS: Final = 2000
_CHOSEN_BY: Final = METRICS.index("mrr_20")


@dataclass(frozen=True, slots=True)
class Chosen:
    """The best of some models by MRR@20 on the last tenth of the training events, then fitted on all of them."""

    among: Sequence[NextItemModel]

    @property
    def name(self) -> str:
        return self.among[0].name

    @property
    def title(self) -> str:
        return self.among[0].title

    @property
    def about(self) -> str:
        return f"{self.among[0].about}; settings chosen on the end of the training part"

    def fit(self, training: Journeys, goal: str) -> ItemScorer:
        return self.best(training, goal).fit(training, goal)

    def best(self, training: Journeys, goal: str) -> NextItemModel:
        """Return the best; the first if nothing can be compared."""
        split_ms = int(np.quantile(training.time_ms, _LEARNT_SHARE))
        before, transitions = training.before(split_ms), Transitions.of(training, goal, split_ms)
        if not len(before) or not len(transitions):
            return self.among[0]
        spread = np.linspace(0, len(transitions) - 1, min(_MOST_TRANSITIONS, len(transitions))).astype(np.int64)
        some, shelf = transitions.where(spread), Shelf.of(before)
        values = [gains(ranks_of(model.fit(before, goal), some, shelf))[:, _CHOSEN_BY].mean() for model in self.among]
        return self.among[int(np.argmax(values))]


BASELINES: Final[tuple[NextItemModel, ...]] = (
    Popularity(),
    CategoryPopularity(),
    OwnItems(),
    SequentialRules(),
    ItemKNN(),
    Chosen(SETTINGS),
)
"""The simple methods that an item model is compared with."""
