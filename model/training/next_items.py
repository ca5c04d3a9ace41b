"""Training of the next-item model: contexts and what followed, all items as candidates, memories counted without them.

What a memory says of a context must not come from the context itself: shoppers are divided into folds, and the items
that follow each other are counted among the others' sessions (cross-fitting, as for stacked models; Wolpert, 1992).
What is known of an item is what was known before: the time is cut into parts, and an item that had no event before a
part is new in it, so that it is learnt how much new items are wanted. What is served counts all sessions and all of the
time.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from model.arrays import Booleans, Floats, Integers
from model.batch import id_code
from model.core.item_logits import collect
from model.events import TYPE_CODES
from model.items.columns import ItemColumns, columns_of
from model.items.contexts import NO_ITEM, Contexts
from model.items.item import Item
from model.items.journeys import NONE, Journeys
from model.items.network import (
    GOALS,
    MEMORIES,
    ContextTensors,
    ItemInputs,
    NextItemConfig,
    NextItemNetwork,
    log_popularity,
    own_shares,
)
from model.items.ranker import ItemModel
from model.items.targets import QUERY_TYPES, next_rows
from model.items.transitions import KINDS, Neighbours, count_neighbours

Progress = Callable[[float, str], None]
_CATEGORY: Final = MEMORIES.index("category")
_OF_ITEMS: Final = MEMORIES[:_CATEGORY]
_FOLDS: Final = 5
_SLICES: Final = 8
"""Parts of the time, of equally many events, between which is counted anew how often each item has been seen."""
_MOST_BATCHES: Final = 30
"""Of each group an epoch; of more targets batches grow, up to the largest."""
_LARGEST_BATCH: Final = 1024


@dataclass(frozen=True)
class NextItemSettings:
    """Hyperparameters; the names are those of checkpoint.json."""

    seed: int = 1
    epochs: int = 3
    batch: int = 256
    learning_rate: float = 5e-3
    """At its peak: a short rise, then cosine decay."""
    weight_decay: float = 0.01
    dropout: float = 0.3
    """Of the numbers of vectors."""
    forgotten_items: float = 0.1
    """Share of items that are treated as new in a batch: with nothing of their own, and in no memory."""
    most_candidates: int = 3000
    """Of more items, the targets stand beside a sample."""
    sampled: int = 2048


def learn(
    journeys: Journeys, columns: ItemColumns, config: NextItemConfig, settings: NextItemSettings, progress: Progress
) -> ItemModel:
    """Train on journeys whose items `columns` describe, row by row; what is learnt remembers all sessions."""
    learning = _Learning(journeys, columns, config, settings)
    for share in learning.epochs():
        progress(share, "next items")
    by_goal = [journeys.counts(journeys.of_type(goal)) for goal in GOALS]
    return ItemModel(
        network=learning.network.eval(),
        neighbours=learning.neighbours[_FOLDS],
        columns=columns,
        item_ids=tuple(journeys.item_ids),
        counts=np.stack([journeys.counts(), *by_goal]),
        exposures=np.append(_exposures(journeys.time_ms, columns.added_ms), 0.0 if columns.added_ms.any() else 1.0),
    )


@dataclass(frozen=True, slots=True)
class _Known:
    """What is known of items from some events."""

    own_shares: Tensor
    """`(items,)`"""
    popularity: Tensor
    """`(goals, items)`"""

    @classmethod
    def of(cls, journeys: Journeys, added_ms: Integers, chosen: Booleans | None) -> "_Known":
        exposures = _exposures(journeys.time_ms if chosen is None else journeys.time_ms[chosen], added_ms)

        def counts(goal: str) -> Integers:
            is_goal = journeys.of_type(goal)
            return journeys.counts(is_goal if chosen is None else is_goal & chosen)

        popularity = np.stack([log_popularity(counts(goal), exposures) for goal in GOALS])
        return cls(torch.from_numpy(own_shares(journeys.counts(chosen))), torch.from_numpy(popularity))


class _Learning:
    def __init__(
        self, journeys: Journeys, columns: ItemColumns, config: NextItemConfig, settings: NextItemSettings
    ) -> None:
        torch.manual_seed(settings.seed)
        self._random = np.random.default_rng(settings.seed)
        self._journeys, self._settings = journeys, settings
        size = len(journeys.item_ids)
        self.network = NextItemNetwork(config, size)
        self._inputs = ItemInputs.of(columns, config.vector_size)
        counts = journeys.counts()
        edges = np.quantile(journeys.time_ms, np.arange(1, _SLICES) / _SLICES)
        self._slice = np.searchsorted(edges, journeys.time_ms, side="right")
        self._added_ms = columns.added_ms
        self._known = [
            _Known.of(journeys, columns.added_ms, self._slice < number if number else None) for number in range(_SLICES)
        ]
        self._categories = torch.from_numpy(columns.categories.astype(np.int64))
        shares = (counts + 1.0) ** 0.75
        self._shares = shares / shares.sum()
        # The folds are of shoppers; the last memory is of all.
        self._fold = self._random.integers(0, _FOLDS, len(journeys.starts) - 1)[journeys.users]
        self.neighbours = [
            count_neighbours(journeys.items, journeys.sessions, self._fold != fold, size, config.neighbours)
            for fold in range(_FOLDS + 1)
        ]
        self._targets = np.stack([next_rows(journeys, goal) for goal in GOALS])
        self._is_asked = np.isin(journeys.type_codes, [TYPE_CODES[name] for name in QUERY_TYPES])
        tables = [self.network.own.weight, *self.network.known.parameters()]
        others = [weight for name, weight in self.network.named_parameters() if not name.startswith(("own", "known"))]
        decays = ((tables, settings.weight_decay), (others, 0.0))
        self._optimizer = torch.optim.AdamW(
            [{"params": weights, "weight_decay": decay} for weights, decay in decays], settings.learning_rate
        )

    def epochs(self) -> Iterator[float]:
        """Train, yielding the share that is done."""
        steps = self._settings.epochs * len(self._batches())
        schedule = torch.optim.lr_scheduler.OneCycleLR(
            self._optimizer, self._settings.learning_rate, total_steps=steps + 1, pct_start=0.1
        )
        done = 0
        for _ in range(self._settings.epochs):
            for goal, rows in self._batches():
                loss = self._loss(goal, rows)
                self._optimizer.zero_grad()
                loss.backward()  # type: ignore[no-untyped-call]
                self._optimizer.step()
                schedule.step()
                done += 1
                yield done / steps

    def _batches(self) -> list[tuple[int, Integers]]:
        """Return batches of rows, each of one goal, one fold and one part of the time, in random order."""
        batches = list[tuple[int, Integers]]()
        groups = self._fold * _SLICES + self._slice
        for goal in range(len(GOALS)):
            rows = np.flatnonzero(self._is_asked & (self._targets[goal] >= 0))
            for group in range(_FOLDS * _SLICES):
                some = self._random.permutation(rows[groups[rows] == group])
                batch = max(self._settings.batch, min(len(some) // _MOST_BATCHES, _LARGEST_BATCH))
                parts = np.array_split(some, -(-len(some) // batch)) if len(some) else []
                batches.extend((goal, part) for part in parts)
        return [batches[place] for place in self._random.permutation(len(batches))]

    def _loss(self, goal: int, rows: Integers) -> Tensor:
        journeys, network = self._journeys, self.network
        fold, known = self._fold[rows[0]], self._known[self._slice[rows[0]]]
        contexts, targets = contexts_of(journeys, rows), journeys.items[self._targets[goal, rows]]
        candidates, corrections = self._candidates(np.unique(targets))
        items = np.union1d(candidates, contexts.items[contexts.items != NO_ITEM])
        shares = known.own_shares * (torch.rand(len(known.own_shares)) >= self._settings.forgotten_items)
        vectors = self._vectors(items, shares)
        place_of, column_of = (np.full(len(journeys.item_ids), -1, np.int64) for _ in range(2))
        place_of[items], column_of[candidates] = np.arange(len(items)), np.arange(len(candidates))
        tensors = ContextTensors.of(contexts)
        seen = vectors[torch.from_numpy(np.maximum(place_of[tensors.items.numpy()], 0))]
        log_weights = network.weights(goal, tensors)
        column_rows = torch.from_numpy(candidates)
        logits = network.queries(goal, tensors, seen, log_weights[0]) @ vectors[
            torch.from_numpy(place_of[candidates])
        ].T + network.popularities(goal, known.popularity[goal][column_rows], known.own_shares[column_rows])
        is_known = shares.numpy() > 0
        memories = Memories.of(self.neighbours[fold], contexts, np.where(is_known, column_of, -1), len(candidates))
        logits = memories.added(network, goal, logits, log_weights)
        logits = logits + of_categories(network, goal, self._categories, tensors, column_rows, log_weights)
        columns = torch.from_numpy(column_of[targets])
        if corrections is not None:
            logits = _corrected(logits, columns, corrections)
        is_early = self._added_ms[candidates] > journeys.time_ms[rows, None]
        if is_early.any():  # nobody could have wanted it then
            is_early[np.arange(len(rows)), columns.numpy()] = False
            logits = logits.masked_fill(torch.from_numpy(is_early), -torch.inf)
        return functional.cross_entropy(logits, columns)

    def _candidates(self, wanted: Integers) -> tuple[Integers, Tensor | None]:
        """Return the items among which targets are told, and the log of how likely a sampled one is in the sample."""
        size, settings = len(self._shares), self._settings
        if size <= settings.most_candidates:
            return np.arange(size), None
        drawn = np.unique(self._random.choice(size, settings.sampled, p=self._shares))
        candidates = np.union1d(drawn, wanted)
        chance = -np.expm1(settings.sampled * np.log1p(-self._shares[candidates]))
        corrections = torch.from_numpy(np.log(chance).astype(np.float32))
        corrections[torch.from_numpy(~np.isin(candidates, drawn))] = torch.inf  # there for their own rows only
        return candidates, corrections

    def _vectors(self, items: Integers, shares: Tensor) -> Tensor:
        rows = torch.from_numpy(items)
        vectors = self.network.vectors(self._inputs.take(rows), rows, shares[rows])
        return functional.dropout(vectors, self._settings.dropout)


def _exposures(time_ms: Integers, added_ms: Integers) -> Floats:
    """Return the share of some events that came since each item was added `(items,)`; of none, all."""
    times = np.sort(time_ms)
    return np.asarray(1 - np.searchsorted(times, added_ms) / max(len(times), 1))


def contexts_of(journeys: Journeys, rows: Integers) -> Contexts:
    """Return the contexts after some events of journeys."""
    return Contexts.of_events(
        rows,
        journeys.starts[journeys.users[rows]],
        journeys.items,
        journeys.type_codes,
        journeys.time_ms,
        journeys.sessions,
    )


def _corrected(logits: Tensor, columns: Tensor, corrections: Tensor) -> Tensor:
    """Return logits less how likely each candidate was to be one (Bengio and Senecal, 2008); targets always are."""
    corrected = logits - corrections
    return corrected.scatter(1, columns[:, None], logits.gather(1, columns[:, None]))


@dataclass(frozen=True, slots=True)
class Memories:
    """Which logits of a batch a memory adds to, and from where; one entry per memory."""

    keys: list[Tensor]
    """Positions in the flattened logits, distinct."""
    index: list[Tensor]
    """For each entry, the position of its key."""
    places: list[Tensor]
    """For each entry, the position in the flattened places of the contexts."""
    shares: list[Tensor]

    @classmethod
    def of(cls, neighbours: dict[str, Neighbours], contexts: Contexts, column_of: Integers, columns: int) -> "Memories":
        """Find what the memories say of each context; `column_of` `(items,)` are -1 of those that are no candidates."""
        found = cls([], [], [], [])
        size = len(column_of)
        itself = Neighbours(np.arange(size + 1), np.arange(size, dtype=np.int32), np.ones(size, np.float32))
        rows = contexts.items[contexts.items != NO_ITEM]
        for memory in _OF_ITEMS:
            of = neighbours[memory] if memory in KINDS else itself
            most = int((of.starts[rows + 1] - of.starts[rows]).sum())
            keys, index, places = (np.empty(most, np.int64) for _ in range(3))
            shares = np.empty(most, np.float32)
            matrix = (of.starts, of.items, of.weights)
            distinct, entries = collect(contexts.items, *matrix, column_of, columns, keys, index, places, shares)
            found.keys.append(torch.from_numpy(keys[:distinct]))
            for part, values in ((found.index, index), (found.places, places), (found.shares, shares)):
                part.append(torch.from_numpy(values[:entries]))
        return found

    def added(self, network: NextItemNetwork, goal: int, logits: Tensor, log_weights: Tensor) -> Tensor:
        """Return the logits `(contexts, columns)` with what the memories add."""
        flat = logits.reshape(-1)
        for number in range(len(_OF_ITEMS)):
            weights = log_weights[1 + number].reshape(-1)[self.places[number]].exp() * self.shares[number]
            sums = torch.zeros(len(self.keys[number])).index_add(0, self.index[number], weights)
            added = network.strength(goal)[number] * torch.log1p(sums * network.log_scale(goal)[number].neg().exp())
            flat = flat.index_add(0, self.keys[number], added)
        return flat.reshape(logits.shape)


def of_categories(  # noqa: PLR0913, PLR0917 - what is summed, and the weights
    network: NextItemNetwork,
    goal: int,
    categories: Tensor,
    contexts: ContextTensors,
    rows: Tensor,
    log_weights: Tensor,
) -> Tensor:
    """Return what the memory of categories adds to the logits of some items `(contexts, rows)`; 0 is no category.

    `categories` are of all items, `log_weights` of the places `(1 + memories, contexts, PLACES)`.
    """
    seen = categories[contexts.items] * contexts.is_there.long()  # (contexts, PLACES)
    distinct, of_row = torch.unique(categories[rows], return_inverse=True)
    column = torch.full((int(categories.max()) + 1,), len(distinct), dtype=torch.long)
    column[distinct] = torch.arange(len(distinct))
    column[0] = len(distinct)
    weights = log_weights[1 + _CATEGORY].exp() * (seen > 0)
    sums = torch.zeros(len(seen), len(distinct) + 1).scatter_add(1, column[seen], weights)
    scale = network.log_scale(goal)[_CATEGORY].neg().exp()
    of_all = network.strength(goal)[_CATEGORY] * torch.log1p(sums * scale)
    of_none = torch.zeros(len(seen), 1)
    return torch.cat((of_all[:, :-1], of_none), dim=1)[:, torch.where(categories[rows] > 0, of_row, len(distinct))]


def describe(journeys: Journeys, items: Sequence[Item] = ()) -> ItemColumns:
    """Return what is known of the journeys' items, row by row: `items`, which come first, and of others the category.

    It is that of the latest event.
    """
    size = len(journeys.item_ids)
    latest = np.full(size, NONE)
    order = np.argsort(journeys.time_ms, kind="stable")
    latest[journeys.items[order]] = journeys.categories[order]
    codes = np.array([id_code(name) for name in journeys.category_names] + [0], np.uint16)  # the last one for NONE
    described = columns_of(items)
    others = columns_of([Item(item_id) for item_id in journeys.item_ids[len(items) :]], described.dimension)
    return ItemColumns.concatenated([described, replace(others, categories=codes[latest[len(items) :]])])
