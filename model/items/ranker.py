"""What next: ranks items for shoppers from their states, and says which events moved an item."""

from dataclasses import dataclass
from typing import Any, Final, Self

import numpy as np
import numpy.typing as npt
import torch

from model.arrays import Booleans, Floats, Integers
from model.core.rank_items import (
    AGAIN,
    add_again,
    add_category,
    add_memory,
    ask,
    highest,
    score_all,
    score_without_each,
    shares_of,
    weigh,
)
from model.items.columns import ItemColumns
from model.items.contexts import NO_ITEM, Contexts
from model.items.network import (
    GOALS,
    MEMORIES,
    ItemInputs,
    NextItemConfig,
    NextItemNetwork,
    log_popularity,
    own_shares,
)
from model.items.transitions import KINDS, Neighbours

Vectors = npt.NDArray[np.float32]
_UNKNOWN_CATEGORY: Final = 0
_SMALL: Final = 1e-6


@dataclass(frozen=True, slots=True)
class GoalWeights:
    """A network's weights for one goal, as the compiled loops read them."""

    latest: Vectors
    mean: Vectors
    anybody: Vectors
    by_place: Vectors
    by_type: Vectors
    by_age: Vectors
    by_session: Vectors
    same_category: float
    strengths: Vectors
    scales: Vectors

    @classmethod
    def of(cls, network: NextItemNetwork, goal: int) -> Self:
        """Take the weights of a goal from a network."""

        def array(name: str) -> Vectors:
            weight: Vectors = getattr(network, name)(goal).detach().cpu().numpy()
            return np.ascontiguousarray(weight)

        return cls(
            latest=array("latest"),
            mean=array("mean"),
            anybody=array("anybody"),
            by_place=array("by_place"),
            by_type=array("by_type"),
            by_age=array("by_age"),
            by_session=array("by_session"),
            same_category=float(array("same_category")[0]),
            strengths=array("strength"),
            scales=np.exp(-array("log_scale")),
        )


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
    """Ranks items; the first rows of `vectors` and `categories` are the model's own items."""

    def __init__(self, model: ItemModel) -> None:
        self._goals = {goal: GoalWeights.of(model.network, number) for number, goal in enumerate(GOALS)}
        self._popularity, self._unknown = dict[str, Vectors](), dict[str, float]()
        with torch.no_grad():
            for number, goal in enumerate(GOALS):
                logs = log_popularity(np.append(model.counts[1 + number], 0), model.exposures)
                shares = own_shares(np.append(model.counts[0], 0))
                added = model.network.popularities(number, torch.from_numpy(logs), torch.from_numpy(shares)).numpy()
                self._popularity[goal], self._unknown[goal] = added[:-1].copy(), float(added[-1])
        self._neighbours = [model.neighbours[kind] for kind in KINDS]

    def scores(
        self, goal: str, context: Contexts, vectors: Vectors, categories: npt.NDArray[np.uint16]
    ) -> npt.NDArray[np.float32]:
        """Return the logits of all items `(items,)` after one context; a context may be empty."""
        weights, size = self._goals[goal], len(vectors)
        items, query, by_part = self._asked(weights, context, vectors)
        scores = np.empty(size, np.float32)
        score_all(query, vectors, self._popularity[goal], self._unknown[goal], scores)
        if not len(items):
            return scores
        if (category := int(categories[items[0]])) != _UNKNOWN_CATEGORY:
            add_category(categories, category, weights.same_category, scores)
        sums = np.zeros(size, np.float32)
        for number, neighbours in enumerate(self._neighbours):
            add_memory(
                items,
                by_part[1 + number],
                neighbours.starts,
                neighbours.items,
                neighbours.weights,
                float(weights.strengths[number]),
                float(weights.scales[number]),
                sums,
                scores,
            )
        add_again(
            items, by_part[1 + AGAIN], float(weights.strengths[AGAIN]), float(weights.scales[AGAIN]), sums, scores
        )
        return scores

    def contributions(
        self, goal: str, context: Contexts, chosen: Integers, vectors: Vectors, categories: npt.NDArray[np.uint16]
    ) -> Floats:
        """Return how much each event of a context adds to the logits of some items `(places, chosen)`.

        It is the logit less what it would be had that event not had an item: exact, by leaving each out in turn.
        """
        weights, (items, types, ages, in_session) = self._goals[goal], _there(context)
        shares = np.zeros((len(MEMORIES), len(items), len(chosen)), np.float32)
        for number, neighbours in enumerate(self._neighbours):
            matrix = (neighbours.starts, neighbours.items, neighbours.weights)
            shares_of(items, *matrix, chosen, shares[number])
        shares[AGAIN] = items[:, None] == chosen
        scores = np.empty((1 + len(items), len(chosen)), np.float32)
        score_without_each(
            items,
            types,
            ages,
            in_session,
            weights.by_place,
            weights.by_type,
            weights.by_age,
            weights.by_session,
            vectors,
            weights.latest,
            weights.mean,
            weights.anybody,
            categories,
            weights.same_category,
            shares,
            weights.strengths,
            weights.scales,
            chosen,
            scores,
        )
        return np.asarray(scores[0] - scores[1:], np.float64)

    def similarities(self, row: int, vectors: Vectors) -> npt.NDArray[np.float32]:
        """Return how alike all items are to one `(items,)`: the cosine of their vectors and that of their sessions."""
        wanted = vectors[row] / max(float(np.linalg.norm(vectors[row])), _SMALL)
        scores = vectors @ wanted / np.maximum(np.linalg.norm(vectors, axis=1), _SMALL)
        together = self._neighbours[KINDS.index("together")]
        if row < len(together):
            entries = slice(together.starts[row], together.starts[row + 1])
            scores[together.items[entries]] += together.weights[entries]
        return np.asarray(scores, np.float32)

    def _asked(
        self, weights: GoalWeights, context: Contexts, vectors: Vectors
    ) -> tuple[npt.NDArray[np.int32], Vectors, Vectors]:
        """Return a context's items `(places,)`, the query, and the weights of its places `(1 + memories, places)`."""
        (items, types, ages, in_session), query = _there(context), weights.anybody.copy()
        by_part = np.empty((1 + len(MEMORIES), len(items)), np.float32)
        if len(items):
            logs = weights.by_place, weights.by_type, weights.by_age, weights.by_session
            weigh(types, ages, in_session, *logs, by_part)
            ask(items, by_part[0], vectors, weights.latest, weights.mean, query)
        return items, query, by_part


def _there(context: Contexts) -> tuple[npt.NDArray[Any], ...]:
    """Return the columns of a context's events that have an item, `(places,)` each."""
    there = context.items[0] != NO_ITEM
    return tuple(column[0][there] for column in (context.items, context.types, context.ages, context.in_session))


def best(scores: npt.NDArray[np.float32], is_allowed: Booleans, count: int) -> Integers:
    """Return the rows of the highest scores that are allowed, the highest first; at most `count`."""
    rows = np.empty(min(count, len(scores)), np.int64)
    return rows[: highest(scores, is_allowed, rows)]
