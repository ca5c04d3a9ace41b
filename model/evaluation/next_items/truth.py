"""The best that any model could do on simulated shoppers, as one more model in the comparison."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from model.evaluation.next_items.protocol import NEVER, ItemScorer, Scores
from model.events import Event
from model.items.journeys import Journeys
from model.items.targets import Queries
from model.simulator import ItemOracle
from service.errors import EvaluationError


@dataclass(frozen=True, slots=True)
class TrueProbabilities:
    """Ranks by the simulator's true probabilities of the next view."""

    oracle: ItemOracle
    events: Sequence[Event]
    """The journeys' input, without bad rows."""
    name: str = "truth"
    title: str = "The truth"
    about: str = "the simulator's own probability of every next view"

    def fit(self, training: Journeys, goal: str) -> ItemScorer:  # noqa: ARG002 - there is nothing to learn
        """Return itself; raises EvaluationError for other goals than `view`."""
        if goal != "view":
            raise EvaluationError(f"the simulator knows the next view, not the next {goal}")
        return self

    def scores(self, queries: Queries) -> Scores:
        numbers = {item_id: number for number, item_id in enumerate(queries.journeys.item_ids)}
        known = [(place, numbers[item_id]) for place, item_id in enumerate(self.oracle.item_ids) if item_id in numbers]
        places, columns = np.array(known).T
        asked = [self.events[row] for row in queries.journeys.rows[queries.rows].tolist()]
        found = np.full((len(queries), len(numbers)), NEVER)
        found[:, columns] = self.oracle.probabilities(asked)[:, places]
        return np.where(found > 0, found, NEVER)
