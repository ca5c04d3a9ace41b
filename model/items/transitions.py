"""Which items follow which, counted over sessions: the part of a next-item model that remembers.

A learnt vector needs many events of an item; a count needs one. Both tables are of the family of sequential rules and
item-based neighbours (Kamehkhosh et al., "A comparison of frequent pattern techniques and a deep learning method for
session-based recommendation", 2017), with the weights of what they say left to learn.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Self

import numpy as np
import numpy.typing as npt

from model.arrays import Booleans, Integers

KINDS: Final = ("follows", "together")
"""What is counted: an item's share among those that follow another, at a distance of k events 1/k; and the cosine of
the sessions that two items are in together."""
_REACH: Final = 10
_PRIOR: Final = {"follows": 1.0, "together": 2.0}
"""Added to the count that is divided by: what was seen once is no rule."""


@dataclass(frozen=True, slots=True)
class Neighbours:
    """Of each item its strongest neighbours, as a sparse matrix in compressed rows."""

    starts: npt.NDArray[np.int64]
    """`(items + 1,)`"""
    items: npt.NDArray[np.int32]
    weights: npt.NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.starts) - 1

    @classmethod
    def none(cls, items: int) -> Self:
        """Return a matrix without entries."""
        return cls(np.zeros(items + 1, np.int64), np.zeros(0, np.int32), np.zeros(0, np.float32))


def count_neighbours(
    items: npt.NDArray[np.int32], sessions: Integers, counted: Booleans, size: int, most: int
) -> dict[str, Neighbours]:
    """Count both KINDS in the sessions of the events that are `counted` `(events,)`.

    `items` and `sessions` are of all events in order, sessions ascending; of `size` items, each keeps `most`
    neighbours.
    """
    rows = np.flatnonzero(counted)
    items, sessions = items[rows], sessions[rows]
    own = np.bincount(items, minlength=size).astype(np.float64)
    pairs: dict[str, list[tuple[Integers, npt.NDArray[np.float64]]]] = {kind: [] for kind in KINDS}
    for distance in range(1, min(_REACH, len(items) - 1) + 1):
        first = np.flatnonzero((sessions[distance:] == sessions[:-distance]) & (items[distance:] != items[:-distance]))
        one, other = items[first].astype(np.int64), items[first + distance].astype(np.int64)
        pairs["follows"].append((one * size + other, np.full(len(first), 1 / distance)))
        both = np.concatenate((one * size + other, other * size + one))
        pairs["together"].append((both, np.ones(len(both))))
    found = {}
    for kind, parts in pairs.items():
        keys, sums = _summed(parts)
        one, other = keys // size, keys % size
        if kind == "follows":
            weights = sums / (np.bincount(one, sums, minlength=size) + _PRIOR[kind])[one]
        else:
            weights = sums / np.sqrt((own[one] + _PRIOR[kind]) * (own[other] + _PRIOR[kind]))
        found[kind] = _strongest(one, other, weights, size, most)
    return found


def _summed(parts: Sequence[tuple[Integers, npt.NDArray[np.float64]]]) -> tuple[Integers, npt.NDArray[np.float64]]:
    if not parts:
        return np.zeros(0, np.int64), np.zeros(0)
    keys, index = np.unique(np.concatenate([each for each, _ in parts]), return_inverse=True)
    sums = np.bincount(index, np.concatenate([weights for _, weights in parts]), minlength=len(keys))
    return np.asarray(keys), np.asarray(sums, np.float64)


def _strongest(one: Integers, other: Integers, weights: npt.NDArray[np.float64], size: int, most: int) -> Neighbours:
    order = np.lexsort((other, -weights, one))
    one = one[order]
    rank = np.arange(len(one)) - np.searchsorted(one, one)
    kept = rank < most
    starts = np.searchsorted(one[kept], np.arange(size + 1))
    return Neighbours(starts, other[order][kept].astype(np.int32), weights[order][kept].astype(np.float32))
