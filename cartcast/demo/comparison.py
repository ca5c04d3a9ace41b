"""What was produced beside what came out: what is lost, what is doubled."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A record of the dead-letter topic."""

    source: tuple[str, str, str]
    """Topic, partition and offset of the refused record, as its headers say."""
    event_id: str


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
    """messages in the dead-letter topic"""
    scored: int
    """messages in the scores topic"""
    stored: int
    """rows in ClickHouse"""
    lost: int
    """accepted events without a score, without a row, or without both; refused records without a dead letter"""
    duplicated: int
    """scores and rows beyond the first of the same event, dead letters beyond the first of the same record"""
    unknown: int
    """scores, rows and dead letters of events that were never produced"""

    @property
    def is_exact(self) -> bool:
        return not (self.lost or self.duplicated or self.unknown)


def compare(
    produced: Iterable[str], dead_letters: Iterable[DeadLetter], scored: Iterable[str], stored: Iterable[str]
) -> Comparison:
    """Compare the event ids of every record produced, score message and row, repeats included, and the dead letters.

    An event is refused or accepted as a whole: of its records all have a dead letter, or none has.
    """
    letters = Counter(dead_letters)
    dead = Counter(letter.event_id for letter in letters)  # each refused record once
    events, scores, rows = Counter(produced), Counter(scored), Counter(stored)
    accepted, come_out = events.keys() - dead.keys(), scores.keys() & rows.keys()
    silent = sum(max(events[each] - dead[each], 0) for each in dead.keys() - come_out)
    return Comparison(
        events=events.total(),
        accepted=len(accepted),
        duplicates=events.total() - len(events),
        dead_letters=letters.total(),
        scored=scores.total(),
        stored=rows.total(),
        lost=len(accepted - come_out) + silent,
        duplicated=sum(found.total() - len(found) for found in (scores, rows, letters)),
        unknown=len((scores.keys() | rows.keys() | dead.keys()) - events.keys()),
    )
