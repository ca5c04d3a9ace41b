"""Which rows are trained together: users of like length in a batch, their histories cut into pieces in order."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from model.labels import Integers
from model.runs import Runs


@dataclass(frozen=True, slots=True)
class Piece:
    """The next events of those users of a batch whose history goes on."""

    rows: Integers
    """Sorted by user, each user's in order."""
    sequences: Integers
    """The user of each row, as a number from 0 within the piece; ascending."""
    users: Integers
    """The users of the piece, as numbers within the batch."""


def shuffled_batches(runs: Runs, batch_events: int, piece_events: int, random: np.random.Generator) -> list[Integers]:
    """Return batches of runs, in random order; a batch's first pieces have about `batch_events` rows together."""
    jittered = runs.lengths * random.uniform(0.8, 1.25, len(runs.lengths))  # so that batches differ between epochs
    order = np.argsort(jittered, kind="stable")
    filled = np.cumsum(np.minimum(runs.lengths[order], piece_events)) // batch_events
    batches = np.split(order, np.flatnonzero(np.diff(filled)) + 1)
    return [np.sort(batches[position]) for position in random.permutation(len(batches))]


def pieces(runs: Runs, batch: Integers, piece_events: int) -> Iterator[Piece]:
    """Cut the histories of a batch's runs into pieces, the earliest first."""
    starts, lengths = runs.starts[batch], runs.lengths[batch]
    for done in range(0, int(lengths.max(initial=0)), piece_events):
        users = np.flatnonzero(lengths > done)
        counts = np.minimum(lengths[users] - done, piece_events)
        sequences = np.repeat(np.arange(len(users)), counts)
        within = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
        yield Piece(rows=(starts[users] + done)[sequences] + within, sequences=sequences, users=users)
