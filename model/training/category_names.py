"""Names for what is only a hash everywhere else: the categories of a history, in bounded memory."""

from collections import Counter
from collections.abc import Iterable
from typing import Final

import numpy as np
import numpy.typing as npt

from model.batch import id_code
from model.heads import bucket_of

CODES: Final = 65_536


class CategoryNames:
    """One name a code, whatever the number of categories: where several share a code, the one that has most of it.

    That is sure if it has more than all others of the code together (Boyer and Moore, "MJRTY: a fast majority vote
    algorithm", 1991).
    """

    def __init__(self) -> None:
        self._votes: dict[int, tuple[str, int]] = {}

    def count(self, categories: Iterable[str | None]) -> None:
        """Take note of the categories of some events."""
        for name, count in Counter(categories).items():
            if name:
                self._vote(id_code(name), name, count)

    def by_bucket(self, counts: npt.NDArray[np.int64], buckets: int) -> dict[int, str]:
        """Return the name of each bucket's most frequent code, of `counts` `(CODES,)` by code, in order of buckets."""
        bucket = bucket_of(np.arange(CODES, dtype=np.uint16), buckets)
        best: dict[int, str] = {}
        for code in np.argsort(-counts, kind="stable")[: np.count_nonzero(counts)].tolist():
            if code in self._votes:
                best.setdefault(int(bucket[code]), self._votes[code][0])
        return dict(sorted(best.items()))

    def _vote(self, code: int, name: str, count: int) -> None:
        held, votes = self._votes.get(code, (name, 0))
        if held == name:
            self._votes[code] = name, votes + count
        else:
            self._votes[code] = (held, votes - count) if votes >= count else (name, count - votes)
