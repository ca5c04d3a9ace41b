"""V-SKNN: the items of sessions that resemble the shopper's; the strongest of the simple methods.

Ludewig and Jannach, "Evaluation of session-based recommendation algorithms" (2018), with the formulas of their
session-rec (`VMContextKNN`): for a session so far of n events, whose item i was last at position p_i of 1..n,

- neighbours are chosen among the `sample_size` latest sessions that share an item with it;
- a session's similarity is the sum over shared items of (p_i / n) ** decay; the `neighbours` most similar count;
- each gives its items similarity * d ** -score_decay * (1 + idf_weight * idf), with d = 1 if the session's last item is
  shared, 2 if only the one before is, and so on, and idf = ln(sessions / events of the item).

A decay of 1 is their `div`, 2 their `quadratic`. Of equally similar sessions the latest count.
"""

from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt

from model.arrays import Floats, Integers
from model.core.compiled import compiled
from model.evaluation.next_items.index import SessionIndex
from model.evaluation.next_items.protocol import NEVER, ItemScorer, Scores
from model.items.journeys import Journeys
from model.items.targets import Queries


@dataclass(frozen=True, slots=True)
class VSKNN:
    """The method and its settings."""

    neighbours: int = 100
    sample_size: int = 1000
    decay: float = 1.0
    score_decay: float = 1.0
    idf_weight: float = 0.0
    name: str = "vsknn"
    title: str = "V-SKNN"
    about: str = "the items of the sessions that are most like the shopper's own so far"

    def fit(self, training: Journeys, goal: str) -> ItemScorer:
        index = SessionIndex.of(training, goal)
        idf = np.log(index.sessions / np.maximum(training.counts(), 1))
        return _Neighbourhood(self, index, 1 + self.idf_weight * idf)


SETTINGS: Final = (
    VSKNN(),
    VSKNN(neighbours=500, sample_size=2000, idf_weight=1.0),
    VSKNN(neighbours=500, sample_size=2000, decay=2.0, score_decay=2.0),
    VSKNN(neighbours=500, sample_size=2000, decay=2.0, score_decay=2.0, idf_weight=5.0),
)
"""What to choose from for a shop (`choice.Chosen`)."""


@dataclass(frozen=True, slots=True)
class _Neighbourhood:
    settings: VSKNN
    index: SessionIndex
    factors: Floats
    """What an item's score is multiplied by `(items,)`."""

    def scores(self, queries: Queries) -> Scores:
        found = np.zeros((len(queries), len(self.factors)), np.float32)
        settings, index = self.settings, self.index
        _score(
            queries.journeys.items,
            queries.session_starts,
            queries.rows,
            (index.item_starts, index.item_sessions, index.goal_starts, index.goal_items),
            index.sessions,
            self.factors,
            (settings.neighbours, settings.sample_size),
            (settings.decay, settings.score_decay),
            found,
        )
        found[found == 0] = NEVER
        return found


_Index: TypeAlias = tuple[Integers, Integers, Integers, Integers]


@compiled
def _score(  # noqa: PLR0913, PLR0917 - compiled: plain arrays
    items: npt.NDArray[np.int32],
    firsts: Integers,
    lasts: Integers,
    index: _Index,
    sessions: int,
    factors: Floats,
    limits: tuple[int, int],
    decays: tuple[float, float],
    found: Scores,
) -> None:
    """Add each query's scores; its session so far are the events firsts[q] to lasts[q]."""
    neighbours, sample_size = limits
    similarity = np.zeros(sessions)
    distance = np.zeros(sessions, np.int64)  # events back to the latest shared item; 0 without one
    met = np.empty(sessions, np.int64)
    for query in range(len(lasts)):
        so_far = items[firsts[query] : lasts[query] + 1][::-1]
        count = _meet(so_far, index, sample_size, decays[0], similarity, distance, met)
        sample = np.sort(met[:count])[:sample_size]
        nearest = sample[np.argsort(-similarity[sample], kind="mergesort")[:neighbours]]
        for session in nearest:
            given = similarity[session] / float(distance[session]) ** decays[1]
            for place in range(index[2][session], index[2][session + 1]):
                item = index[3][place]
                found[query, item] += given * factors[item]
        similarity[met[:count]] = 0.0
        distance[met[:count]] = 0


@compiled
def _meet(  # noqa: PLR0913, PLR0917 - compiled: plain arrays
    so_far: npt.NDArray[np.int32],
    index: _Index,
    sample_size: int,
    decay: float,
    similarity: Floats,
    distance: Integers,
    met: Integers,
) -> int:
    """Add up the similarity of every session with an item of `so_far`, the last first; returns how many there are."""
    length, count = len(so_far), 0
    had = set(so_far[:0])
    for back in range(length):
        item = so_far[back]
        if item in had:
            continue  # an item counts where it was last
        had.add(item)
        weight = ((length - back) / length) ** decay
        # None but the latest sessions of an item can be among the latest of all.
        for place in range(index[0][item], min(index[0][item + 1], index[0][item] + sample_size)):
            session = index[1][place]
            if distance[session] == 0:
                distance[session] = back + 1
                met[count] = session
                count += 1
            similarity[session] += weight
    return count
