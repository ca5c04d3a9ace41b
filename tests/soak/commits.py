"""What the groups had committed at some moments: never what was not yet on its topic, or in its table."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Set
from dataclasses import dataclass

from tests.harness.pipeline import Coordinates

Record = tuple[str, int, int]
"""Topic, partition and offset."""
Offsets = Mapping[int, int]
"""By partition."""


@dataclass(frozen=True)
class Snapshot:
    """What was committed at one moment, and what was there just after it."""

    committed: Mapping[str, Offsets]
    """By topic, of the group that reads it: workers the events, sinks the results."""
    ends: Mapping[str, Offsets]
    """Of the topics of results."""
    rows: Mapping[str, Set[Record]]
    """What the rows are about that are made of a topic of results."""

    def passed(self, record: Record) -> bool:
        topic, partition, offset = record
        return offset < self.committed[topic].get(partition, 0)


@dataclass(frozen=True)
class Results:
    """What a topic of results holds."""

    topic: str
    about: Mapping[Coordinates, Record]
    """The record that each is about."""
    due: Set[Record]
    """The records that may not be committed before there is a result."""
    without_row: Set[Record]
    """Those whose result need not be stored: it was deleted, or its shopper is forgotten."""

    def early(self, snapshot: Snapshot) -> Iterator[Record]:
        """Yield which records and results were committed too early."""
        ends, rows = snapshot.ends[self.topic], snapshot.rows[self.topic]
        published = {about for (partition, offset), about in self.about.items() if offset < ends.get(partition, 0)}
        results = defaultdict(list)
        for at, about in self.about.items():
            results[about].append((self.topic, *at))
        yield from (each for each in self.due & results.keys() - published if snapshot.passed(each))
        for about in results.keys() - rows - self.without_row:
            yield from (each for each in results[about] if snapshot.passed(each))


def early_commits(snapshots: Iterable[Snapshot], results: Iterable[Results]) -> set[Record]:
    """Return the records that were committed before what they became was there."""
    kinds = list(results)
    return {record for snapshot in snapshots for kind in kinds for record in kind.early(snapshot)}
