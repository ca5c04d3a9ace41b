"""Truncated BPTT: users with histories of similar length form a batch, whose histories are cut into chunks."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from model.arrays import Booleans, Integers


@dataclass(frozen=True, slots=True)
class Spans:
    """The first events of some users' histories: one non-empty span of rows per user."""

    starts: Integers
    """The first row of each span `(spans,)`."""
    lengths: Integers
    """`(spans,)`"""

    @property
    def events(self) -> int:
        return int(self.lengths.sum())

    def where(self, chosen: Booleans) -> "Spans":
        """Return the spans that `chosen` `(spans,)` selects."""
        return Spans(self.starts[chosen], self.lengths[chosen])

    def cut(self, events: int) -> Iterator["Spans"]:
        """Yield groups of whole spans, each of about `events` rows."""
        filled = (np.cumsum(self.lengths) - self.lengths) // events
        cuts = [0, *np.flatnonzero(np.diff(filled)) + 1, len(self.starts)]
        for first, stop in pairwise(cuts):
            if first < stop:
                yield Spans(self.starts[first:stop], self.lengths[first:stop])

    def rows(self) -> tuple[Integers, Integers]:
        """Return all rows `(events,)`, and the span of each."""
        return _rows_of(self.starts, self.lengths)


@dataclass(frozen=True, slots=True)
class Chunk:
    """The next events of those users of a batch whose history continues."""

    rows: Integers
    """`(events,)` sorted by user, each user's in order."""
    sequences: Integers
    """The sequence of each row `(events,)`: its user, counted from 0 within the chunk; ascending."""
    users: Integers
    """The user of each sequence `(sequences,)`, as an index into the batch."""


def shuffled_batches(
    lengths: Integers, batch_events: int, chunk_events: int, random: np.random.Generator
) -> list[Integers]:
    """Return batches of spans in random order, as indices; the first chunk of a batch has about `batch_events` rows."""
    jittered = lengths * random.uniform(0.8, 1.25, len(lengths))  # so that batches differ between epochs
    order = np.argsort(jittered, kind="stable")
    filled = np.cumsum(np.minimum(lengths[order], chunk_events)) // batch_events
    batches = np.split(order, np.flatnonzero(np.diff(filled)) + 1)
    return [np.sort(batches[position]) for position in random.permutation(len(batches))]


def chunks(spans: Spans, batch: Integers, chunk_events: int) -> Iterator[Chunk]:
    """Yield the chunks of a batch of spans in order: each holds up to `chunk_events` events of each user."""
    starts, lengths = spans.starts[batch], spans.lengths[batch]
    for done in range(0, int(lengths.max(initial=0)), chunk_events):
        users = np.flatnonzero(lengths > done)  # (sequences,)
        counts = np.minimum(lengths[users] - done, chunk_events)
        rows, sequences = _rows_of(starts[users] + done, counts)  # (events,)
        yield Chunk(rows=rows, sequences=sequences, users=users)


def _rows_of(starts: Integers, lengths: Integers) -> tuple[Integers, Integers]:
    sequences = np.repeat(np.arange(len(starts)), lengths)  # (rows,)
    within = np.arange(len(sequences)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    return starts[sequences] + within, sequences
