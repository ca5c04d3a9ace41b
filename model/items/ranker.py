"""What next: ranks items for shoppers from their states, and says which events moved an item."""

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import torch

from model.arrays import Booleans, Floats, Integers
from model.core.item_logits import GoalWeights, Memories, Memory, Places, add_products, consider, new_scratch
from model.core.rank_items import REASONS, Rankings, Shelf, Wanted, rank
from model.items.columns import ItemColumns
from model.items.contexts import NO_ITEM, Contexts
from model.items.network import GOALS, ItemInputs, NextItemConfig, NextItemNetwork, log_popularity, own_shares
from model.items.transitions import KINDS, Neighbours

Vectors = npt.NDArray[np.float32]
_SMALL: Final = 1e-6


@dataclass(frozen=True, slots=True)
class ItemModel:
    """A trained next-item model: the network, what it remembers, and the items that it has learnt from, by row."""

    network: NextItemNetwork
    neighbours: dict[str, Neighbours]
    """By KINDS."""
    columns: ItemColumns
    item_ids: tuple[str, ...]
    counts: Integers
    """How many events each item had, of all types, then of those of each goal `(1 + goals, items)`."""
    exposures: Floats
    """The share of all events that came since the shop has each item; the last one is that of an item not learnt from
    `(items + 1,)`."""

    @property
    def config(self) -> NextItemConfig:
        return self.network.config

    @torch.no_grad()
    def embed(self, columns: ItemColumns) -> Vectors:
        """Return items' vectors `(items, dimension)`: of what is known of them, and of those learnt from."""
        rows = self.rows_of(columns.codes)
        is_known = rows != NO_ITEM
        shares = np.zeros(len(rows), np.float32)
        shares[is_known] = own_shares(self.counts[0, rows[is_known]])
        inputs = ItemInputs.of(columns, self.config.vector_size)
        own_rows = torch.from_numpy(np.where(is_known, rows, 0).astype(np.int64))  # of which others have no share
        vectors: Vectors = self.network.vectors(inputs, own_rows, torch.from_numpy(shares)).numpy()
        return vectors

    def rows_of(self, codes: npt.NDArray[np.uint32]) -> npt.NDArray[np.int32]:
        """Return the rows of the items learnt from by their codes, NO_ITEM of others."""
        if not len(self.item_ids):
            return np.full(len(codes), NO_ITEM, np.int32)
        order = np.argsort(self.columns.codes, kind="stable")
        place = np.minimum(np.searchsorted(self.columns.codes, codes, sorter=order), len(order) - 1)
        return np.where(self.columns.codes[order[place]] == codes, order[place], NO_ITEM).astype(np.int32)


class ItemRanker:
    """Ranks items for contexts; the first rows are the model's own items. Threads may share one."""

    def __init__(self, model: ItemModel) -> None:
        self._goals = {goal: _weights(model, number) for number, goal in enumerate(GOALS)}
        follows, together = (model.neighbours[kind] for kind in KINDS)
        self._memories: Memories = _memory(follows), _memory(together)

    def rank(self, goal: str, contexts: Contexts, shelf: Shelf, wanted: Wanted, count: int) -> Rankings:
        """Return the best `count` of the items that are wanted for each context; NO_ITEM comes behind all others."""
        shape = len(contexts), min(count, len(wanted.is_allowed))
        found = Rankings(
            counts=np.empty(len(contexts), np.int64),
            rows=np.empty(shape, np.int64),
            scores=np.empty(shape, np.float32),
            is_pinned=np.empty(shape, np.bool_),
            reasons=np.empty((*shape, REASONS), np.int8),
            contributions=np.empty((*shape, REASONS), np.float32),
        )
        columns = contexts.items, contexts.types, contexts.ages, contexts.in_session
        rank(*columns, self._goals[goal], self._memories, shelf, wanted, new_scratch(len(shelf.vectors)), found)
        return found

    def scores(
        self, goal: str, context: Contexts, vectors: Vectors, categories: npt.NDArray[np.uint16]
    ) -> npt.NDArray[np.float32]:
        """Return the logits of all items `(items,)` after one context, whose items may be NO_ITEM."""
        weights, there = self._goals[goal], context.items[0] != NO_ITEM
        query, scores = np.empty(len(weights.anybody), np.float32), np.empty(len(vectors), np.float32)
        columns = context.items, context.types, context.ages, context.in_session
        places = Places(*(column[0, there] for column in columns))
        consider(places, weights, self._memories, vectors, categories, query, scores, new_scratch(len(vectors)))
        add_products(query, vectors, scores)
        return scores

    def similarities(self, row: int, vectors: Vectors) -> npt.NDArray[np.float32]:
        """Return how alike all items are to one `(items,)`: the cosine of their vectors and that of their sessions."""
        wanted = vectors[row] / max(float(np.linalg.norm(vectors[row])), _SMALL)
        scores = vectors @ wanted / np.maximum(np.linalg.norm(vectors, axis=1), _SMALL)
        together = self._memories[KINDS.index("together")]
        if row < len(together.starts) - 1:
            entries = slice(together.starts[row], together.starts[row + 1])
            scores[together.neighbours[entries]] += together.shares[entries]
        return np.asarray(scores, np.float32)


def best(scores: npt.NDArray[np.float32], is_allowed: Booleans, count: int) -> Integers:
    """Return the rows of the highest scores that are allowed, the highest first; at most `count`."""
    allowed = np.flatnonzero(is_allowed)
    return allowed[np.argsort(-scores[allowed], kind="stable")[:count]]


@torch.no_grad()
def _weights(model: ItemModel, goal: int) -> GoalWeights:
    """Take what a goal needs from a model."""
    network = model.network

    def array(name: str) -> Vectors:
        weight: Vectors = getattr(network, name)(goal).detach().cpu().numpy()
        return np.ascontiguousarray(weight)

    logs = log_popularity(
        np.append(model.counts[1 + goal], 0), model.exposures
    )  # the last one of an item not learnt from
    shares = own_shares(np.append(model.counts[0], 0))
    popularity: Vectors = network.popularities(goal, torch.from_numpy(logs), torch.from_numpy(shares)).numpy()
    return GoalWeights(
        latest=array("latest"),
        mean=array("mean"),
        anybody=array("anybody"),
        by_place=array("by_place"),
        by_type=array("by_type"),
        by_age=array("by_age"),
        by_session=array("by_session"),
        strengths=array("strength"),
        scales=np.exp(-array("log_scale")),
        popularity=popularity[:-1].copy(),
        unknown=float(popularity[-1]),
    )


def _memory(neighbours: Neighbours) -> Memory:
    return Memory(neighbours.starts, neighbours.items, neighbours.weights)
