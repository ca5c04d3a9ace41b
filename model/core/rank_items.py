"""The best items for shoppers out of all, and why: one compiled call, without the interpreter lock."""

import math
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from model.core.compiled import compiled, compiled_sums
from model.core.item_logits import (
    AGAIN,
    CATEGORY,
    MEMORIES,
    Floats,
    GoalWeights,
    Items,
    Memories,
    Places,
    Rows,
    Scratch,
    consider,
    log1p,
    product,
    weigh,
)

Booleans = npt.NDArray[np.bool_]

REASONS: Final = 2
"""How many events are said to raise an item, at most."""
LEAST_CONTRIBUTION: Final = 0.05
"""An event that adds less to a logit is no reason."""
_ROUNDING: Final = 1e-5
"""By how much two sums of the same products may differ, relative to the vectors' lengths; amply."""
_LARGEST_BYTE: Final = 127


class Shelf(NamedTuple):
    """The items that are ranked; every array has one entry per item."""

    vectors: Floats
    """`(items, dimension)`."""
    quantized: npt.NDArray[np.int8]
    """The vectors in bytes `(items, dimension)`: a quarter of what a pass over all items has to read."""
    steps: Floats
    """What one unit of an item's `quantized` stands for `(items,)`."""
    slack: Floats
    """How long at most the vector is that `quantized` and rounding leave out `(items,)`."""
    categories: npt.NDArray[np.uint16]
    """As in `ItemColumns` `(items,)`."""


def quantize(vectors: Floats) -> tuple[npt.NDArray[np.int8], Floats, Floats]:
    """Return what a `Shelf` has of vectors `(items, dimension)`: `quantized`, `steps` and `slack`."""
    steps = np.abs(vectors).max(axis=1, initial=0) / np.float32(_LARGEST_BYTE)
    quantized = np.rint(vectors / np.where(steps > 0, steps, 1)[:, None]).astype(np.int8)
    left_out = np.linalg.norm(vectors - quantized * steps[:, None], axis=1)
    return quantized, steps, left_out + np.float32(_ROUNDING) * np.linalg.norm(vectors, axis=1)


class Pins(NamedTuple):
    """Items that stand at their place if they may be shown."""

    places: Rows
    """From 1, ascending `(pins,)`."""
    rows: Rows
    """Distinct items `(pins,)`."""


class Wanted(NamedTuple):
    """Which items are wanted."""

    is_allowed: Booleans
    """`(items,)`; it is written on, and afterwards as it was."""
    hides: Booleans
    """Types of event of which a shopper's items are not shown `(types,)`."""
    boosts: Floats
    """What is added to the logits `(items,)`, if there is anything."""
    per_category: int
    """At most so many items of each category, all if it is 0; pins do not count."""
    pins: Pins


class Rankings(NamedTuple):
    """Items for shoppers, the best first; what lies behind a shopper's last one means nothing."""

    counts: Rows
    """How many there are `(contexts,)`."""
    rows: Rows
    """`(contexts, most)`"""
    scores: Floats
    """Their logits `(contexts, most)`."""
    is_pinned: Booleans
    """`(contexts, most)`"""
    reasons: npt.NDArray[np.int8]
    """The places of the events that raise an item most, -1 for none `(contexts, most, REASONS)`."""
    contributions: Floats
    """How much these events add to the logit `(contexts, most, REASONS)`: exactly, the logit less what it would be had
    the event not had an item."""


@compiled_sums
def rank(  # noqa: PLR0913, PLR0917 - plain arrays
    items: Items,
    types: npt.NDArray[np.uint8],
    ages: Floats,
    in_session: Booleans,
    goal: GoalWeights,
    memories: Memories,
    shelf: Shelf,
    wanted: Wanted,
    scratch: Scratch,
    found: Rankings,
) -> None:
    """Fill `found` with the best items for contexts, whose columns `(contexts, places)` are as in `Contexts`."""
    most = found.rows.shape[1]
    query, added = np.empty(len(goal.anybody), np.float32), np.empty(len(wanted.is_allowed), np.float32)
    was_allowed, pinned = np.empty(items.shape[1], np.bool_), np.empty(len(wanted.pins.rows), np.bool_)
    contributions = np.empty((items.shape[1], most), np.float32)
    for number in range(len(items)):
        held = np.sum(items[number] >= 0)
        places = Places(items[number, :held], types[number, :held], ages[number, :held], in_session[number, :held])
        rows, scores = found.rows[number], found.scores[number]
        consider(places, goal, memories, shelf.vectors, shelf.categories, query, added, scratch)
        for item in range(len(wanted.boosts)):
            added[item] += wanted.boosts[item]
        left = most - hide(places, wanted, was_allowed, pinned)
        count = 0
        if left > 0:
            count = highest(query, added, shelf, wanted.is_allowed, wanted.per_category, rows[:left], scores[:left])
        count = pin(wanted.pins, pinned, query, added, shelf.vectors, count, rows, scores, found.is_pinned[number])
        show(places, wanted, was_allowed, pinned)
        found.reasons[number] = -1
        if held > 0:
            explain(places, goal, memories, shelf, rows[:count], contributions)
            strongest(contributions[:held], count, found.reasons[number], found.contributions[number])
        found.counts[number] = count


@compiled
def hide(places: Places, wanted: Wanted, was_allowed: Booleans, pinned: Booleans) -> int:
    """Allow neither a shopper's items that are not to be shown nor those that are pinned; return how many these are.

    `was_allowed` `(places,)` and `pinned` `(pins,)` say what was allowed before.
    """
    for place in range(len(places.items)):
        item = places.items[place]
        was_allowed[place] = wanted.is_allowed[item]
        if wanted.hides[places.types[place]]:
            wanted.is_allowed[item] = False
    count = 0
    for number in range(len(pinned)):
        row = wanted.pins.rows[number]
        pinned[number] = wanted.is_allowed[row]
        wanted.is_allowed[row] = False
        count += pinned[number]
    return count


@compiled
def show(places: Places, wanted: Wanted, was_allowed: Booleans, pinned: Booleans) -> None:
    """Allow again what `hide` has hidden."""
    for number in range(len(pinned)):
        wanted.is_allowed[wanted.pins.rows[number]] = pinned[number]
    for place in range(len(places.items) - 1, -1, -1):  # an item that is there twice was allowed at first
        wanted.is_allowed[places.items[place]] = was_allowed[place]


@compiled_sums
def pin(  # noqa: PLR0913, PLR0917 - plain arrays
    pins: Pins,
    pinned: Booleans,
    query: Floats,
    added: Floats,
    vectors: Floats,
    count: int,
    rows: Rows,
    scores: Floats,
    is_pinned: Booleans,
) -> int:
    """Put the pins that are `pinned` at their places among the first `count` rows; return how many there are then."""
    is_pinned[:] = False
    for number in range(len(pinned)):
        if not pinned[number]:
            continue
        place = min(pins.places[number] - 1, count)
        for behind in range(count, place, -1):
            rows[behind], scores[behind], is_pinned[behind] = (
                rows[behind - 1],
                scores[behind - 1],
                is_pinned[behind - 1],
            )
        row = pins.rows[number]
        rows[place], scores[place], is_pinned[place] = row, product(query, vectors, row) + added[row], True
        count += 1
    return count


@compiled
def strongest(contributions: Floats, count: int, reasons: npt.NDArray[np.int8], largest: Floats) -> None:
    """Fill the places that add most to each of the first items `(items, REASONS)`, of equal ones the first, and what.

    `contributions` are `(places, items)`.
    """
    for place in range(len(contributions)):
        for item in range(count):
            by = contributions[place, item]
            if not by >= LEAST_CONTRIBUTION:
                continue
            at = REASONS
            while at > 0 and (reasons[item, at - 1] < 0 or largest[item, at - 1] < by):
                at -= 1
            for behind in range(REASONS - 1, at, -1):
                reasons[item, behind], largest[item, behind] = reasons[item, behind - 1], largest[item, behind - 1]
            if at < REASONS:
                reasons[item, at], largest[item, at] = place, by


@compiled_sums
def highest(  # noqa: C901, PLR0913, PLR0917 - plain arrays, and one loop over all items
    query: Floats,
    added: Floats,
    shelf: Shelf,
    is_allowed: npt.NDArray[np.bool_],
    per_category: int,
    rows: Rows,
    scores: Floats,
) -> int:
    """Fill `rows` and `scores` with the highest of the items that are allowed, the highest first; returns how many.

    Of equal scores the lower row comes first. The vectors in bytes say which items cannot be among them, for sure: by
    the inequality of Cauchy and Schwarz what they leave out adds at most the lengths' product. Of others the vector
    itself is read.
    """
    count, most, length = 0, len(rows), np.float32(math.sqrt((query * query).sum()))
    taken = np.zeros(1 << 16 if per_category > 0 else 1, np.int32)  # of each category; of all without a limit
    least = np.full(len(taken), -np.inf, np.float32)  # what an item of the category must exceed
    bound = least_of_all = np.float32(-np.inf)
    category = np.uint16(0)
    for item in range(len(added)):
        if not is_allowed[item]:
            continue
        if per_category > 0:
            category = shelf.categories[item]
            bound = max(least_of_all, least[category])
        if bound > -np.inf:
            about = np.float32(0.0)
            for number in range(len(query)):
                about += query[number] * np.float32(shelf.quantized[item, number])
            if not about * shelf.steps[item] + length * shelf.slack[item] + added[item] > bound:
                continue
        score = product(query, shelf.vectors, item) + added[item]
        if not score > bound:
            continue
        place = min(count, most - 1)  # of the one that goes
        if 0 < per_category == taken[category]:
            place = last_of(category, shelf.categories, rows, count)
        elif count == most and per_category > 0:
            gone = shelf.categories[rows[place]]
            taken[gone] -= 1
            least[gone] = -np.inf
        count = max(count, place + 1)
        taken[category] += taken[category] < per_category
        while place > 0 and scores[place - 1] < score:
            rows[place], scores[place] = rows[place - 1], scores[place - 1]
            place -= 1
        rows[place], scores[place] = item, score
        if 0 < per_category == taken[category]:
            least[category] = scores[last_of(category, shelf.categories, rows, count)]
        if count == most:
            bound = least_of_all = scores[most - 1]
    return count


@compiled
def last_of(category: np.uint16, categories: npt.NDArray[np.uint16], rows: Rows, count: int) -> int:
    """Return the last place of a category among the first `rows`."""
    place = count - 1
    while categories[rows[place]] != category:
        place -= 1
    return place


@compiled_sums
def explain(  # noqa: C901, PLR0913, PLR0917 - plain arrays, and a sum for each part of a logit
    places: Places, goal: GoalWeights, memories: Memories, shelf: Shelf, chosen: Rows, contributions: Floats
) -> None:
    """Fill by how much each event of a context raises the scores of some items `(places, chosen)`, by leaving it out.

    The events after the one that is left out move up. All sums over places are those of the ones before, at their
    places, and of the ones after, at the place before theirs.
    """
    items, count, size = places.items, len(places.items), len(goal.anybody)
    here, moved = np.empty((1 + MEMORIES, count), np.float32), np.empty((1 + MEMORIES, count), np.float32)
    weigh(places, goal, 0, here)
    weigh(places, goal, 1, moved)
    # What each place says of each chosen item: the mean's product and the shares in the memories.
    said = np.zeros((1 + MEMORIES, len(chosen), count), np.float32)
    find_shares(items, memories, chosen, len(shelf.vectors), said[1:])
    find_categories(items, chosen, shelf.categories, said[1 + CATEGORY])
    latest = np.zeros((2, size), np.float32)  # what the first event's item asks for, and what the second's would
    for place in range(min(count, 2)):
        for row in range(size):
            for column in range(size):
                latest[place, column] += shelf.vectors[items[place], row] * goal.latest[row, column]
    wanted = np.empty(size, np.float32)
    whole, without = np.empty(1 + MEMORIES, np.float32), np.empty((1 + MEMORIES, count), np.float32)
    left = np.empty(count, np.float32)
    total = leave_out(here[0], moved[0], np.ones(count, np.float32), left)
    for number in range(len(chosen)):
        row = chosen[number]
        for place in range(size):
            wanted[place] = product(shelf.vectors[row], goal.mean, place)
        for place in range(count):
            said[0, number, place] = product(wanted, shelf.vectors, items[place])
        for part in range(1 + MEMORIES):
            whole[part] = leave_out(here[part], moved[part], said[part, number], without[part])
        for place in range(count):
            raised = whole[0] / (1 + total) - without[0, place] / (1 + left[place])
            for memory in range(MEMORIES):
                most, less = whole[1 + memory], without[1 + memory, place]
                if most != less:
                    scale = goal.scales[memory]
                    raised += goal.strengths[memory] * (log1p(most * scale) - log1p(less * scale))
            contributions[place, number] = raised
        contributions[0, number] += product(shelf.vectors[row], latest, 0) - product(shelf.vectors[row], latest, 1)


@compiled_sums
def leave_out(here: Floats, moved: Floats, said: Floats, without: Floats) -> np.float32:
    """Fill the weighted sums of what the places say `(places,)` without each of them; returns that of all.

    A place weighs as in `here`, or as in `moved` if the one that is left out comes before it.
    """
    after = np.float32(0.0)
    for place in range(len(said) - 1, -1, -1):
        without[place] = after
        after += moved[place] * said[place] if place else np.float32(0.0)
    before = np.float32(0.0)
    for place in range(len(said)):
        without[place] += before
        before += here[place] * said[place]
    return before


@compiled
def find_shares(items: Items, memories: Memories, chosen: Rows, size: int, found: Floats) -> None:
    """Fill the shares of some of `size` items among the memories of a context's items `(MEMORIES, chosen, places)`.

    The memory of categories is left out.
    """
    column = np.full(size, -1, np.int32)
    for number in range(len(chosen)):
        column[chosen[number]] = number
    for place in range(len(items)):
        item = items[place]
        for memory in range(len(memories)):
            starts = memories[memory].starts
            if item < len(starts) - 1:
                for entry in range(starts[item], starts[item + 1]):
                    number = column[memories[memory].neighbours[entry]]
                    if number >= 0:
                        found[memory, number, place] = memories[memory].shares[entry]
        if column[item] >= 0:
            found[AGAIN, column[item], place] = 1


@compiled
def find_categories(items: Items, chosen: Rows, categories: npt.NDArray[np.uint16], found: Floats) -> None:
    """Fill whether some items are of the categories that a context's items are of `(chosen, places)`; 0 is none."""
    for place in range(len(items)):
        for number in range(len(chosen)):
            category = categories[chosen[number]]
            found[number, place] = category > 0 and category == categories[items[place]]
