"""What was produced beside what came out: what is lost, what is doubled."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Comparison:
    """Counts by event id. Nothing here comes from counters of the parts under test."""

    events: int
    """records produced"""
    accepted: int
    """different event ids among them, less those in the dead letters"""
    duplicates: int
    """records that repeat an event id on purpose; they must be neither scored nor stored"""
    dead_letters: int
    scored: int
    """messages in the scores topic"""
    stored: int
    """rows in ClickHouse"""
    lost: int
    """accepted events without a score, without a row, or without both"""
    duplicated: int
    """scores and rows beyond the first of the same event"""
    unknown: int
    """scores and rows of events that were never produced"""

    @property
    def is_exact(self) -> bool:
        return not (self.lost or self.duplicated or self.unknown)


def compare(
    produced: Iterable[str], dead_lettered: Iterable[str], scored: Iterable[str], stored: Iterable[str]
) -> Comparison:
    """Compare the event ids of every record produced, dead letter, score message and row, repeats included."""
    events, dead = Counter(produced), Counter(dead_lettered)
    scores, rows = Counter(scored), Counter(stored)
    accepted = events.keys() - dead.keys()
    return Comparison(
        events=events.total(),
        accepted=len(accepted),
        duplicates=events.total() - len(events),
        dead_letters=dead.total(),
        scored=scores.total(),
        stored=rows.total(),
        lost=len(accepted - (scores.keys() & rows.keys())),
        duplicated=scores.total() - len(scores) + rows.total() - len(rows),
        unknown=len((scores.keys() | rows.keys()) - events.keys()),
    )
