"""The next item's logits in plain loops: one shopper at a time, over all items or over a few.

They are those of `model.items.network.NextItemNetwork`, which describes them.
"""

import math
from typing import Final

import numpy as np
import numpy.typing as npt

from model.core.compiled import compiled, compiled_sums

Floats = npt.NDArray[np.float32]
Rows = npt.NDArray[np.int64]
Items = npt.NDArray[np.int32]

_LARGEST_LOG_WEIGHT: Final = 4.0
AGAIN: Final = 2
"""The memory of the last items themselves; 0 and 1 are those of their neighbours."""
MEMORIES: Final = 3


@compiled
def weigh(  # noqa: PLR0913, PLR0917 - plain arrays
    types: npt.NDArray[np.uint8],
    ages: Floats,
    in_session: npt.NDArray[np.bool_],
    by_place: Floats,
    by_type: Floats,
    by_age: Floats,
    by_session: Floats,
    weights: Floats,
) -> None:
    """Fill the weights of a context's places, of the mean and of the memories `(1 + MEMORIES, places)`."""
    for part in range(len(weights)):
        for place in range(len(types)):
            weight = by_place[part, place] + by_type[part, types[place]] + by_age[part] * ages[place]
            if not in_session[place]:
                weight -= by_session[part]
            weights[part, place] = math.exp(min(weight, np.float32(_LARGEST_LOG_WEIGHT)))


@compiled
def ask(  # noqa: PLR0913, PLR0917 - plain arrays
    items: Items,
    weights: Floats,
    vectors: Floats,
    latest: Floats,
    mean: Floats,
    query: Floats,
) -> None:
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
            query[column] += of_mean * mean[row, column] + of_latest * latest[row, column]


@compiled_sums
def score_all(
    query: Floats,
    vectors: Floats,
    popularity: Floats,
    unknown: float,
    scores: Floats,
) -> None:
    """Fill the scores `(items,)`: the query's product with each vector, and what its popularity adds.

    `popularity` may be of fewer items: to those of the others it adds `unknown`.
    """
    size = len(query)
    for item in range(len(scores)):
        score = np.float32(0.0)
        for number in range(size):
            score += query[number] * vectors[item, number]
        scores[item] = score + (popularity[item] if item < len(popularity) else unknown)


@compiled
def add_category(categories: npt.NDArray[np.uint16], category: int, added: float, scores: Floats) -> None:
    """Add to the scores of the items of a category."""
    for item in range(len(scores)):
        if categories[item] == category:
            scores[item] += added


@compiled
def add_memory(  # noqa: PLR0913, PLR0917 - plain arrays
    items: Items,
    weights: Floats,
    starts: Rows,
    neighbours: Items,
    shares: Floats,
    strength: float,
    scale: float,
    sums: Floats,
    scores: Floats,
) -> None:
    """Add to the scores what the neighbours of a context's items say; `sums` `(items,)` are zero before and after."""
    for place in range(len(items)):
        item = items[place]
        if item < len(starts) - 1:
            for entry in range(starts[item], starts[item + 1]):
                sums[neighbours[entry]] += weights[place] * shares[entry]
    for place in range(len(items)):
        item = items[place]
        if item < len(starts) - 1:
            for entry in range(starts[item], starts[item + 1]):
                other = neighbours[entry]
                if sums[other] > 0:
                    scores[other] += strength * math.log1p(sums[other] * scale)
                    sums[other] = 0


@compiled
def add_again(  # noqa: PLR0913, PLR0917 - plain arrays
    items: Items,
    weights: Floats,
    strength: float,
    scale: float,
    sums: Floats,
    scores: Floats,
) -> None:
    """Add to the scores of a context's own items, likewise."""
    for place in range(len(items)):
        sums[items[place]] += weights[place]
    for place in range(len(items)):
        item = items[place]
        if sums[item] > 0:
            scores[item] += strength * math.log1p(sums[item] * scale)
            sums[item] = 0


@compiled
def shares_of(  # noqa: PLR0913, PLR0917 - plain arrays
    items: Items,
    starts: Rows,
    neighbours: Items,
    shares: Floats,
    chosen: Rows,
    found: Floats,
) -> None:
    """Fill the shares of a few items among the neighbours of a context's items `(places, chosen)`; others stay."""
    for place in range(len(items)):
        item = items[place]
        if item < len(starts) - 1:
            for entry in range(starts[item], starts[item + 1]):
                for number in range(len(chosen)):
                    if chosen[number] == neighbours[entry]:
                        found[place, number] = shares[entry]


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


@compiled
def highest(scores: Floats, is_allowed: npt.NDArray[np.bool_], rows: Rows) -> int:
    """Fill `rows` with those of the highest scores that are allowed, the highest first; returns how many there are.

    Of equal scores the lower row comes first.
    """
    count = 0
    for item in range(len(scores)):
        if not is_allowed[item]:
            continue
        score = scores[item]
        if count == len(rows) and not score > scores[rows[count - 1]]:
            continue
        place = count if count < len(rows) else count - 1
        count = min(count + 1, len(rows))
        while place > 0 and scores[rows[place - 1]] < score:
            rows[place] = rows[place - 1]
            place -= 1
        rows[place] = item
    return count
