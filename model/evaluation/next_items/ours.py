"""Cartcast's own next-item model, as one of those compared: learnt and served as it is for shoppers."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from model.evaluation.next_items.protocol import ItemScorer, Scores
from model.items.item import Item
from model.items.journeys import Journeys
from model.items.network import NextItemConfig
from model.items.ranker import ItemModel, ItemRanker
from model.items.targets import Queries
from model.training.next_items import NextItemSettings, contexts_of, describe, learn

_ROW: Final = np.arange(1)


@dataclass(frozen=True, slots=True)
class _Scorer:
    model: ItemModel
    goal: str

    def scores(self, queries: Queries) -> Scores:
        ranker, vectors = ItemRanker(self.model), self.model.embed(self.model.columns)
        contexts = contexts_of(queries.journeys, queries.rows)
        categories = self.model.columns.categories
        return np.stack(
            [
                ranker.scores(self.goal, contexts.take(_ROW + query), vectors, categories)
                for query in range(len(contexts))
            ]
        )


@dataclass
class NextItems:
    """The next-item model, which learns all goals at once."""

    config: NextItemConfig
    settings: NextItemSettings
    items: Sequence[Item] = ()
    """The catalogue: the journeys' first items."""
    name: str = "cartcast"
    title: str = "Cartcast"
    about: str = "Learnt vectors of items, and weighted memories of what follows what"
    _learnt: tuple[Journeys, ItemModel] | None = field(default=None, repr=False)

    def fit(self, training: Journeys, goal: str) -> ItemScorer:
        """Learn at the first goal; the others are learnt with it."""
        if self._learnt is None or self._learnt[0] is not training:
            columns = describe(training, self.items)
            model = learn(training, columns, self.config, self.settings, lambda _share, _text: None)
            self._learnt = training, model
        return _Scorer(self._learnt[1], goal)
