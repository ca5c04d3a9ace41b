"""The next item's logits in plain loops, one shopper at a time.

They are those of `model.items.network.NextItemNetwork`, which describes them.
"""

import math
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from model.core.compiled import compiled, compiled_sums

Floats = npt.NDArray[np.float32]
Rows = npt.NDArray[np.int64]
Items = npt.NDArray[np.int32]

_LARGEST_LOG_WEIGHT: Final = 4.0
AGAIN: Final = 2
"""The memory of the last items themselves; 0 and 1 are those of their neighbours."""
CATEGORY: Final = 3
"""The memory of the last items' categories."""
MEMORIES: Final = 4
CATEGORIES: Final = 1 << 16
_ROOT_OF_HALF: Final = 0x3F3504F3
"""The bits of sqrt(1/2) as a float."""


class Places(NamedTuple):
    """The events of a context that have an item, `(places,)` each; see `model.items.contexts.Contexts`."""

    items: Items
    types: npt.NDArray[np.uint8]
    ages: Floats
    in_session: npt.NDArray[np.bool_]


class GoalWeights(NamedTuple):
    """A network's weights for one goal."""

    latest: Floats
    mean: Floats
    anybody: Floats
    by_place: Floats
    by_type: Floats
    by_age: Floats
    by_session: Floats
    strengths: Floats
    scales: Floats
    popularity: Floats
    """What it adds `(items learnt from,)`."""
    unknown: float
    """The same for an item that is none of those."""


class Memory(NamedTuple):
    """Of each item learnt from its neighbours, as `model.items.transitions.Neighbours`."""

    starts: Rows
    neighbours: Items
    shares: Floats


Memories = tuple[Memory, Memory]
"""The first AGAIN ones."""


class Scratch(NamedTuple):
    """What the loops write on; zero before and after."""

    of_items: Floats
    """`(items,)`"""
    of_categories: Floats
    """`(CATEGORIES,)`"""


@compiled
def consider(  # noqa: PLR0913, PLR0917 - plain arrays
    places: Places,
    goal: GoalWeights,
    memories: Memories,
    vectors: Floats,
    categories: npt.NDArray[np.uint16],
    query: Floats,
    added: Floats,
    scratch: Scratch,
) -> None:
    """Fill the query `(dimension,)` of a context, and what is added to its product with each item's vector `(items,)`.

    That is the popularity and the memories.
    """
    query[:] = goal.anybody
    learned = len(goal.popularity)
    added[:learned], added[learned:] = goal.popularity, goal.unknown
    if not len(places.items):
        return
    weights = np.empty((1 + MEMORIES, len(places.items)), np.float32)
    weigh(places, goal, 0, weights)
    ask(places.items, weights[0], vectors, goal, query)
    sums = scratch.of_items
    for number in range(len(memories)):
        add_memory(
            places.items,
            weights[1 + number],
            memories[number],
            goal.strengths[number],
            goal.scales[number],
            sums,
            added,
        )
    add_again(places.items, weights[1 + AGAIN], goal.strengths[AGAIN], goal.scales[AGAIN], sums, added)
    strength, scale = goal.strengths[CATEGORY], goal.scales[CATEGORY]
    add_categories(places.items, weights[1 + CATEGORY], strength, scale, categories, scratch.of_categories, added)


@compiled
def weigh(places: Places, goal: GoalWeights, moved: int, weights: Floats) -> None:
    """Fill the weights of a context's places, of the mean and of the memories `(1 + MEMORIES, places)`.

    With `moved` 1 they are those at the place before: what they are once an earlier one is gone; the first has none.
    """
    for part in range(len(weights)):
        for place in range(moved, len(places.items)):
            weight = goal.by_place[part, place - moved] + goal.by_type[part, places.types[place]]
            weight += goal.by_age[part] * places.ages[place]
            if not places.in_session[place]:
                weight -= goal.by_session[part]
            weights[part, place] = math.exp(min(weight, np.float32(_LARGEST_LOG_WEIGHT)))


@compiled
def ask(items: Items, weights: Floats, vectors: Floats, goal: GoalWeights, query: Floats) -> None:
    """Add to `query` `(dimension,)` what a context's items say; `weights` `(places,)` are those of the mean."""
    size, summed = len(query), np.float32(1.0)  # nobody's vector, of weight 1, is 0
    average = np.zeros(size, np.float32)
    for place in range(len(items)):
        summed += weights[place]
        for number in range(size):
            average[number] += weights[place] * vectors[items[place], number]
    for row in range(size):
        of_mean, of_latest = average[row] / summed, vectors[items[0], row]
        for column in range(size):
            query[column] += of_mean * goal.mean[row, column] + of_latest * goal.latest[row, column]


@compiled
def add_memory(  # noqa: PLR0913, PLR0917 - plain arrays
    items: Items, weights: Floats, memory: Memory, strength: float, scale: float, sums: Floats, scores: Floats
) -> None:
    """Add to the scores what the neighbours of a context's items say; `sums` `(items,)` are zero before and after."""
    for place in range(len(items)):
        item = items[place]
        if item < len(memory.starts) - 1:
            for entry in range(memory.starts[item], memory.starts[item + 1]):
                sums[memory.neighbours[entry]] += weights[place] * memory.shares[entry]
    for place in range(len(items)):
        item = items[place]
        if item < len(memory.starts) - 1:
            for entry in range(memory.starts[item], memory.starts[item + 1]):
                other = memory.neighbours[entry]
                scores[other] += strength * log1p(sums[other] * scale)  # the second time it adds nothing
                sums[other] = 0


@compiled
def add_again(  # noqa: PLR0913, PLR0917 - plain arrays
    items: Items, weights: Floats, strength: float, scale: float, sums: Floats, scores: Floats
) -> None:
    """Add to the scores of a context's own items, likewise."""
    for place in range(len(items)):
        sums[items[place]] += weights[place]
    for place in range(len(items)):
        item = items[place]
        if sums[item] > 0:
            scores[item] += strength * log1p(sums[item] * scale)
            sums[item] = 0


@compiled
def add_categories(  # noqa: PLR0913, PLR0917 - plain arrays
    items: Items,
    weights: Floats,
    strength: float,
    scale: float,
    categories: npt.NDArray[np.uint16],
    sums: Floats,
    scores: Floats,
) -> None:
    """Add to the scores of the items of the categories that a context's items are of; category 0 is none.

    `sums` `(CATEGORIES,)` are zero before and after.
    """
    for place in range(len(items)):
        sums[categories[items[place]]] += weights[place]
    sums[0] = 0
    for item in items:  # of a category that is there twice the second time adds nothing
        category = categories[item]
        if sums[category] > 0:
            sums[category] = -strength * log1p(sums[category] * scale)
    for item in range(len(scores)):
        scores[item] -= sums[categories[item]]
    for item in items:
        sums[categories[item]] = 0


@compiled_sums
def add_products(query: Floats, vectors: Floats, scores: Floats) -> None:
    """Add to the scores `(items,)` the query's product with each vector."""
    for item in range(len(scores)):
        scores[item] += product(query, vectors, item)


@compiled_sums
def product(query: Floats, vectors: Floats, row: int) -> np.float32:
    """Return the product of a vector with one of others."""
    found = np.float32(0.0)
    for number in range(len(query)):
        found += query[number] * vectors[row, number]
    return found


@compiled
def log1p(x: np.float32) -> np.float32:
    """Return log(1 + x) of x >= 0 with an error of about 1e-7, in half the time of the one for 64 bits.

    1 + x = 2**n (1 + f), 1 + f from sqrt(1/2) to sqrt(2); log(1 + f) by the polynomial of the Cephes library (`logf`).
    """
    bits = np.float32(np.float32(1) + x).view(np.int32)
    n = np.int32(bits - _ROOT_OF_HALF) >> np.int32(23)
    f = np.int32(bits - (n << np.int32(23))).view(np.float32) - np.float32(1)
    series = np.float32(7.0376836292e-2)
    series = series * f - np.float32(1.1514610310e-1)
    series = series * f + np.float32(1.1676998740e-1)
    series = series * f - np.float32(1.2420140846e-1)
    series = series * f + np.float32(1.4249322787e-1)
    series = series * f - np.float32(1.6668057665e-1)
    series = series * f + np.float32(2.0000714765e-1)
    series = series * f - np.float32(2.4999993993e-1)
    series = series * f + np.float32(3.3333331174e-1)
    exponent = np.float32(n)
    small = series * f * f * f - np.float32(2.12194440e-4) * exponent - np.float32(0.5) * f * f
    return np.float32(f + small + np.float32(0.693359375) * exponent)


def new_scratch(items: int) -> Scratch:
    """Return what the loops need for so many items."""
    return Scratch(np.zeros(items, np.float32), np.zeros(CATEGORIES, np.float32))


@compiled
def collect(  # noqa: PLR0913, PLR0917 - plain arrays
    items: npt.NDArray[np.int32],
    starts: Rows,
    neighbours: Items,
    shares: Floats,
    column_of: Rows,
    columns: int,
    keys: Rows,
    index: Rows,
    places: Rows,
    found: Floats,
) -> tuple[int, int]:
    """Fill what the neighbours of contexts' items `(contexts, places)`, -1 for none, add to which logits.

    `column_of` `(items,)` are the columns of the logits, -1 for none. Returns how many `keys` there are, distinct
    positions in the flattened logits, and how many entries: of each the `index` of its key, the position among the
    flattened `places` and the share.
    """
    key_count = entries = 0
    last, slot = np.full(columns, -1, np.int64), np.empty(columns, np.int64)
    for context in range(len(items)):
        for place in range(items.shape[1]):
            item = items[context, place]
            if item < 0:
                continue
            for entry in range(starts[item], starts[item + 1]):
                column = column_of[neighbours[entry]]
                if column < 0:
                    continue
                if last[column] != context:
                    last[column], slot[column] = context, key_count
                    keys[key_count] = context * columns + column
                    key_count += 1
                index[entries], found[entries] = slot[column], shares[entry]
                places[entries] = context * items.shape[1] + place
                entries += 1
    return key_count, entries
