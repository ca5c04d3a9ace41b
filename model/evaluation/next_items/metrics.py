"""Metrics of next-item prediction: where the target stands among all items, never among a sample of them.

Sampled metrics order models wrongly (Krichene and Rendle, "On sampled metrics for item recommendation", 2020).
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from model.arrays import Booleans, Floats, Integers
from model.core.compiled import compiled
from model.evaluation.next_items.protocol import Scores

CUTOFFS: Final = (5, 10, 20)
METRICS: Final = tuple(f"{name}_{cutoff}" for name in ("recall", "mrr", "ndcg") for cutoff in CUTOFFS)
"""One target a query: recall is the hit rate, NDCG is 1 / log2(1 + rank)."""
LISTED: Final = CUTOFFS[-1]
COLD_BELOW: Final = 5
"""An item with fewer events to learn from is cold."""


@dataclass(frozen=True, slots=True)
class Placed:
    """Where some queries' targets stand, and what would have been recommended."""

    ranks: Floats
    """`(queries,)`, from 1; infinite where the target is no candidate or never recommended."""
    listed: npt.NDArray[np.int32]
    """The first LISTED items `(queries, LISTED)`, -1 where there are fewer."""


def place(scores: Scores, targets: Integers, is_candidate: Booleans, popularity: Integers) -> Placed:
    """Rank the candidates `(items,)` of each query by score, equal scores by popularity `(items,)`.

    What is equal in both comes before the target: a model gains nothing by giving many items one score.
    """
    ranks = np.full(len(targets), np.inf)
    listed = np.full((len(targets), LISTED), -1, np.int32)
    _place(scores, targets, (is_candidate, popularity), ranks, listed)
    return Placed(ranks, listed)


def gains(ranks: Floats) -> Floats:
    """Return the value of METRICS of each query `(queries, len(METRICS))`."""
    column = ranks[:, None]
    is_hit = column <= np.array(CUTOFFS)  # (queries, cutoffs)
    return np.concatenate((is_hit, is_hit / column, is_hit / np.log2(1 + column)), axis=1)


def replicate_means(values: Floats, units: Integers, replicas: int, seed: int) -> Floats:
    """Return the means of the columns of `values` `(queries, columns)` in bootstrap resamples `(replicas, columns)`.

    Units, numbered from 0 `(queries,)`, are resampled with all their queries. A single unit cannot be: no replicas.
    """
    count = int(units.max(initial=-1)) + 1
    random = np.random.default_rng(seed)
    sums = np.stack([np.bincount(units, column, count) for column in values.T], axis=1)  # (units, columns)
    sizes = np.bincount(units, minlength=count)
    means = np.empty((replicas if count > 1 else 0, values.shape[1]))
    for replica in range(len(means)):
        drawn = np.bincount(random.integers(count, size=count), minlength=count)
        means[replica] = (drawn @ sums) / (drawn @ sizes)
    return means


@compiled
def _place(
    scores: Scores,
    targets: Integers,
    shelf: tuple[Booleans, Integers],
    ranks: Floats,
    listed: npt.NDArray[np.int32],
) -> None:
    for query in range(len(targets)):
        ranks[query] = _rank(scores[query], targets[query], shelf[0], shelf[1])
        _list(scores[query], shelf[0], shelf[1], listed[query])


@compiled
def _rank(scores: Scores, target: int, is_candidate: Booleans, popularity: Integers) -> float:
    wanted = scores[target]
    if not (is_candidate[target] and wanted > -np.inf):
        return float(np.inf)
    rank = 1
    for item in range(len(scores)):
        if is_candidate[item] and item != target and scores[item] >= wanted:
            rank += scores[item] > wanted or popularity[item] >= popularity[target]
    return float(rank)


@compiled
def _list(scores: Scores, is_candidate: Booleans, popularity: Integers, listed: npt.NDArray[np.int32]) -> None:
    """Write the first candidates into `listed`, by insertion: most items come after its last."""
    count = 0
    for item in range(len(scores)):
        score, at = scores[item], count
        if not (is_candidate[item] and score > -np.inf):
            continue
        while at > 0 and score >= scores[listed[at - 1]]:
            if score == scores[listed[at - 1]] and popularity[item] <= popularity[listed[at - 1]]:
                break
            at -= 1
        if at < len(listed):
            count = min(count + 1, len(listed))
            listed[at + 1 : count] = listed[at : count - 1].copy()
            listed[at] = item
