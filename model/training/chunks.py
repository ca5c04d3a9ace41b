"""Which rows are trained together: users of like length in a batch, their histories cut into pieces in order."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from model.arrays import Booleans, Integers


@dataclass(frozen=True, slots=True)
class Spans:
    """The first events of some users' histories: one stretch of rows a user, none of them empty."""

    starts: Integers
    """The first row of each stretch."""
    lengths: Integers

    @property
    def events(self) -> int:
        return int(self.lengths.sum())

    def where(self, chosen: Booleans) -> "Spans":
        """Return some of the stretches."""
        return Spans(self.starts[chosen], self.lengths[chosen])

    def cut(self, events: int) -> Iterator["Spans"]:
        """Yield groups of whole stretches of about `events` rows together."""
        filled = (np.cumsum(self.lengths) - self.lengths) // events
        cuts = [0, *np.flatnonzero(np.diff(filled)) + 1, len(self.starts)]
        for first, stop in pairwise(cuts):
            if first < stop:
                yield Spans(self.starts[first:stop], self.lengths[first:stop])

    def rows(self) -> tuple[Integers, Integers]:
        """Return all rows, and for each the number of its stretch."""
        return _rows_of(self.starts, self.lengths)


@dataclass(frozen=True, slots=True)
class Chunk:
    """The next events of those users of a batch whose history goes on."""

    rows: Integers
    """Sorted by user, each user's in order."""
    sequences: Integers
    """The user of each row, as a number from 0 within the piece; ascending."""
    users: Integers
    """The users of the piece, as numbers within the batch."""


def shuffled_batches(
    lengths: Integers, batch_events: int, chunk_events: int, random: np.random.Generator
) -> list[Integers]:
    """Return batches of stretches, in random order; a batch's first pieces have about `batch_events` rows together."""
    jittered = lengths * random.uniform(0.8, 1.25, len(lengths))  # so that batches differ between epochs
    order = np.argsort(jittered, kind="stable")
    filled = np.cumsum(np.minimum(lengths[order], chunk_events)) // batch_events
    batches = np.split(order, np.flatnonzero(np.diff(filled)) + 1)
    return [np.sort(batches[position]) for position in random.permutation(len(batches))]


def chunks(spans: Spans, batch: Integers, chunk_events: int) -> Iterator[Chunk]:
    """Cut the histories of a batch of stretches into pieces, the earliest first."""
    starts, lengths = spans.starts[batch], spans.lengths[batch]
    for done in range(0, int(lengths.max(initial=0)), chunk_events):
        users = np.flatnonzero(lengths > done)
        counts = np.minimum(lengths[users] - done, chunk_events)
        rows, sequences = _rows_of(starts[users] + done, counts)
        yield Chunk(rows=rows, sequences=sequences, users=users)


def _rows_of(starts: Integers, lengths: Integers) -> tuple[Integers, Integers]:
    sequences = np.repeat(np.arange(len(starts)), lengths)
    within = np.arange(len(sequences)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    return starts[sequences] + within, sequences
