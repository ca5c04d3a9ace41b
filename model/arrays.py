"""Types of arrays, and arrays whose rows are sorted by user."""

from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
Booleans = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Runs:
    """Rows sorted by user, as one run of neighbouring rows per user."""

    users: Integers
    """The user of each run `(runs,)`, ascending."""
    starts: Integers
    ends: Integers
    """First and last row of each run `(runs,)`."""
    index: Integers
    """The run of each row `(rows,)`."""
    rank: Integers
    """The position of each row in its run `(rows,)`, from 0."""

    @classmethod
    def of(cls, users: Integers) -> Self:
        """Find the runs of `users` `(rows,)`, which must be ascending."""
        is_start = np.ones(len(users), np.bool_)
        is_start[1:] = users[1:] != users[:-1]
        starts = np.flatnonzero(is_start)
        index = np.cumsum(is_start) - 1
        return cls(
            users=users[starts],
            starts=starts,
            ends=np.append(starts[1:], len(users))[: len(starts)] - 1,
            index=index,
            rank=np.arange(len(users)) - starts[index] if len(users) else index,
        )

    @property
    def lengths(self) -> Integers:
        return self.ends - self.starts + 1

    @property
    def longest(self) -> int:
        return int(self.lengths.max(initial=0))
