"""One fetch of one partition: the unit that flows through the stream application."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True, slots=True)
class Fetch:
    """Consecutive records of one partition, as columns; at least one record."""

    topic: str
    partition: int
    keys: list[bytes | None]
    values: list[bytes | None]
    offsets: npt.NDArray[np.int64]

    @classmethod
    def of(cls, records: list[Any]) -> "Fetch":
        """Make a fetch of aiokafka's records."""
        return cls(
            topic=records[0].topic,
            partition=records[0].partition,
            keys=[record.key for record in records],
            values=[record.value for record in records],
            offsets=np.array([record.offset for record in records], np.int64),
        )

    @property
    def last_offset(self) -> int:
        return int(self.offsets[-1])

    @property
    def next_offset(self) -> int:
        """What to commit once this fetch is dealt with."""
        return self.last_offset + 1

    def since(self, offset: int) -> "Fetch | None":
        """Return the part at or after `offset`, None if there is none."""
        start = int(np.searchsorted(self.offsets, offset))
        if start == 0:
            return self
        if start == len(self.offsets):
            return None
        return Fetch(self.topic, self.partition, self.keys[start:], self.values[start:], self.offsets[start:])
