"""The network behind the next item: vectors of items, and what a shopper's last events say of each.

The logit of item i after a context is q.v_i, plus what its popularity and novelty add, plus for each of four memories
a log(1 + p_i / e). v_i is the sum of what the item's words, category, brand, price and the shop's own vector say, and
of a part of its own that counts the more, the more often the item has been seen. q is a linear function of the latest
item's vector and of the last ones' mean under learnt weights (an attention by place, age and type, after Liu et al.,
"STAMP", 2018). The memories are the `Neighbours` of the last items, those items themselves and their categories; p_i
is summed over the last events, with learnt weights too. Each goal (view, cart, purchase) has weights of its own;
vectors are shared.
"""

from dataclasses import dataclass
from typing import Final, Self

import msgspec
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from model.arrays import Floats
from model.events import EVENT_TYPES
from model.items.columns import ItemColumns
from model.items.contexts import NO_ITEM, PLACES, Contexts
from model.items.transitions import KINDS

GOALS: Final = ("view", "cart", "purchase")
MEMORIES: Final = (*KINDS, "again", "category")
_OWN_PART_FROM: Final = 5.0
"""An item's own part counts n / (n + this) after n events."""
_PRIOR_EVENTS: Final = 5.0
_LEAST_PRIOR_EVENTS: Final = 0.5
_LARGEST_LOG_WEIGHT: Final = 4.0
_BUCKETS: Final = 4096


class NextItemConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The shape of the network; saved beside the weights."""

    dimension: int = 64
    vector_size: int = 0
    """Length of the vectors that the shop makes of its items, 0 for none."""
    neighbours: int = 100
    """Of each item, how many are kept that follow it, and how many that are seen together with it."""


class ItemVectors(nn.Module):
    """What is known of an item -> its vector, but for the part of its own."""

    def __init__(self, config: NextItemConfig) -> None:
        super().__init__()
        size = config.dimension
        self.levels = nn.EmbeddingBag(_BUCKETS, size, mode="sum", padding_idx=0)
        self.categories = nn.Embedding(_BUCKETS, size, padding_idx=0)
        self.brands = nn.Embedding(_BUCKETS, size, padding_idx=0)
        self.pieces = nn.EmbeddingBag(2 * _BUCKETS, size, mode="mean", padding_idx=0)
        self.prices = nn.Linear(3, size, bias=False)
        self.vectors = nn.Linear(config.vector_size, size, bias=False) if config.vector_size else None
        for embedding in (self.levels, self.categories, self.brands, self.pieces):
            nn.init.normal_(embedding.weight, std=0.05)
            with torch.no_grad():
                embedding.weight[0] = 0.0

    def forward(self, items: "ItemInputs") -> Tensor:
        """Return the vectors `(items, dimension)`."""
        made: Tensor = (
            self.levels(items.levels)
            + self.categories(items.categories)
            + self.brands(items.brands)
            + self.pieces(items.pieces)
            + self.prices(items.prices)
        )
        return made if self.vectors is None else made + self.vectors(items.vectors)


@dataclass(frozen=True, slots=True)
class ItemInputs:
    """`ItemColumns` as the network reads them, on its device; one entry per item."""

    levels: Tensor
    categories: Tensor
    brands: Tensor
    pieces: Tensor
    prices: Tensor
    vectors: Tensor

    @classmethod
    def of(cls, columns: ItemColumns, vector_size: int) -> Self:
        """Turn columns into tensors; vectors of another length than the network's are taken for none."""

        def buckets(codes: npt.NDArray[np.uint16], count: int = _BUCKETS) -> Tensor:
            return torch.from_numpy(np.where(codes > 0, codes.astype(np.int64) % (count - 1) + 1, 0))

        logs = columns.log_prices.astype(np.float32)
        known = ~np.isnan(logs)
        scaled = np.where(known, logs / 5 - 1, 0)
        vectors = np.zeros((len(columns), vector_size), np.float32)
        if columns.dimension == vector_size and vector_size:
            vectors = np.nan_to_num(columns.vectors.astype(np.float32))
            vectors /= np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-6)
        return cls(
            buckets(columns.levels),
            buckets(columns.categories),
            buckets(columns.brands),
            buckets(columns.pieces, 2 * _BUCKETS),
            torch.from_numpy(np.stack((known, scaled, scaled**2), axis=1).astype(np.float32)),
            torch.from_numpy(vectors),
        )

    def take(self, rows: Tensor) -> "ItemInputs":
        """Return some of the items."""
        return ItemInputs(*(getattr(self, name)[rows] for name in self.__slots__))


class ByGoal(nn.Module):
    """A weight of each goal: one for all, which the most frequent goal teaches, plus what is different about each."""

    def __init__(self, start: Tensor) -> None:
        super().__init__()
        self.shared = nn.Parameter(start)
        self.different = nn.Parameter(torch.zeros(len(GOALS), *start.shape))

    def forward(self, goal: int) -> Tensor:
        """Return the weight of a goal."""
        return self.shared + self.different[goal]


class NextItemNetwork(nn.Module):
    """Logits of items after contexts, for each of GOALS."""

    def __init__(self, config: NextItemConfig, items: int) -> None:
        super().__init__()
        self.config = config
        size = config.dimension
        self.known = ItemVectors(config)
        self.own = nn.Embedding(items, size)
        self.emphasis = nn.Parameter(torch.zeros(()))
        nn.init.normal_(self.own.weight, std=0.05)
        # The query of each goal: of the latest item, of the mean of the last ones, and of nobody.
        self.latest = ByGoal(torch.randn(size, size) / size**0.5)
        self.mean = ByGoal(torch.randn(size, size) / size**0.5)
        self.anybody = ByGoal(torch.zeros(size))
        self.popularity = ByGoal(torch.ones(1))
        self.novelty = ByGoal(torch.zeros(1))
        # Log-weights of a context's places: of the mean, then of each memory.
        parts = 1 + len(MEMORIES)
        self.by_place = ByGoal(torch.arange(PLACES).log1p().neg().repeat(parts, 1))
        self.by_type = ByGoal(torch.zeros(parts, len(EVENT_TYPES)))
        self.by_age = ByGoal(torch.zeros(parts))
        self.by_session = ByGoal(torch.ones(parts))
        self.strength = ByGoal(torch.full((len(MEMORIES),), 0.4))
        self.log_scale = ByGoal(torch.full((len(MEMORIES),), -4.6))  # of e

    def vectors(self, items: "ItemInputs", rows: Tensor, shares: Tensor) -> Tensor:
        """Return the vectors of items `(items, dimension)`: `own_shares` of what is their own, in `rows`.

        The less there is of that, and in the memories, the more has to be said by what is known of all.
        """
        shares = shares[:, None]
        vectors: Tensor = self.known(items) * (1 + self.emphasis * (1 - shares)) + self.own(rows) * shares
        return vectors

    def weights(self, goal: int, contexts: "ContextTensors") -> Tensor:
        """Return the log-weights of the places, of the mean and of the memories `(1 + memories, contexts, PLACES)`."""
        log_weights = (
            self.by_place(goal)[:, None]
            + self.by_type(goal)[:, contexts.types]
            + self.by_age(goal)[:, None, None] * contexts.ages
            + self.by_session(goal)[:, None, None] * (contexts.in_session - 1)
        )
        clamped: Tensor = log_weights.clamp(max=_LARGEST_LOG_WEIGHT)
        return clamped

    def popularities(self, goal: int, logs: Tensor, shares: Tensor) -> Tensor:
        """Return what popularity and novelty add to items' logits `(items,)`, of `log_popularity` and `own_shares`."""
        added: Tensor = self.popularity(goal) * logs + self.novelty(goal) * (1 - shares)
        return added

    def queries(self, goal: int, contexts: "ContextTensors", vectors: Tensor, log_weights: Tensor) -> Tensor:
        """Return q `(contexts, dimension)`; `vectors` `(contexts, PLACES, dimension)` are those of the last items."""
        # Nobody's vector, of weight 1, stands beside the items: a context may be empty.
        weights = log_weights.exp() * contexts.is_there
        mean = (weights[..., None] * vectors).sum(1) / (1 + weights.sum(1, keepdim=True))
        latest = vectors[:, 0] * contexts.is_there[:, :1]
        query: Tensor = self.anybody(goal) + latest @ self.latest(goal) + mean @ self.mean(goal)
        return query


@dataclass(frozen=True, slots=True)
class ContextTensors:
    """`Contexts` on the network's device."""

    items: Tensor
    """0 where there is none."""
    types: Tensor
    ages: Tensor
    in_session: Tensor
    is_there: Tensor

    @classmethod
    def of(cls, contexts: Contexts) -> Self:
        is_there = contexts.items != NO_ITEM
        return cls(
            torch.from_numpy(np.where(is_there, contexts.items, 0).astype(np.int64)),
            torch.from_numpy(contexts.types.astype(np.int64)),
            torch.from_numpy(contexts.ages),
            torch.from_numpy(contexts.in_session.astype(np.float32)),
            torch.from_numpy(is_there.astype(np.float32)),
        )


def own_shares(counts: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
    """Return how much the part of its own counts of an item that has been seen so often `(items,)`."""
    return (counts / (counts + _OWN_PART_FROM)).astype(np.float32)


def log_popularity(counts: npt.NDArray[np.int64], exposures: Floats) -> npt.NDArray[np.float32]:
    """Return the log of how much more often each item occurs than the average one that does `(items,)`.

    `exposures` `(items,)` say in which share of the counted events an item could have occurred: the average is taken
    for that share. Both are raised by some events, _PRIOR_EVENTS or about the average if that is less: a new item is
    none that nobody wants. (It is the mean of a rate under a gamma prior.)
    """
    mean = float(counts.sum() / max(exposures[counts > 0].sum(), 1.0)) if counts.any() else 1.0
    prior = max(min(_PRIOR_EVENTS, mean), _LEAST_PRIOR_EVENTS)
    logs: npt.NDArray[np.float32] = np.log((counts + prior) / (exposures * mean + prior)).astype(np.float32)
    return logs
