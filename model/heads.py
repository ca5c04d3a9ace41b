"""Extra heads: classifiers of what a shopper does next and of the category of the next purchase; money to expect.

Classes are numbers until a score is published; categories are hashed into buckets, and a checkpoint stores the name of
each bucket.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt

from model.batch import id_code
from model.events import EVENT_TYPES, EXPECTED_VALUE
from model.propensities import published, published_values

Head = Literal["next_type", "purchase_category"]

NEXT_TYPE: Final = "next_type"
"""The type of the user's next accepted event, built in or a shop's own."""
PURCHASE_CATEGORY: Final = "purchase_category"
"""The category of the user's next purchase within the longest horizon."""
HEADS: Final[tuple[Head, ...]] = (NEXT_TYPE, PURCHASE_CATEGORY)

TOP: Final = 3
"""How many classes of each head a score may name."""
UNKNOWN: Final = -1
"""The class of an unknown label; also the `ignore_index` of torch's cross entropy."""

CATEGORY_CODES: Final = 65_536
"""How many values the code of a category may have (`model.batch.id_code`)."""

Extra = npt.NDArray[np.void]
"""`(events,)` of `extra_dtype`: the most likely classes of each head, the likeliest first, and the expected value."""

_FIELDS: Final[dict[Head, tuple[tuple[str, Any], ...]]] = {
    NEXT_TYPE: (("next_type", str), ("next_type_propensity", float)),
    PURCHASE_CATEGORY: (("next_purchase_categories", list[str]),),
}


def bucket_of(codes: npt.NDArray[np.uint16], buckets: int) -> npt.NDArray[np.int32]:
    """Fold codes 1..65535 into buckets 1..buckets-1, as the network does; 0 (none) stays 0."""
    wide = codes.astype(np.int32)
    return np.where(wide > 0, (wide - 1) % (buckets - 1) + 1, 0).astype(np.int32)


def extra_dtype(heads: Sequence[Head], *, has_money: bool = False) -> np.dtype[np.void]:
    """Return the dtype of what the extra heads say of one event; without heads it has no fields and no bytes."""
    ranked = [("classes", "<u2", (TOP,)), ("propensities", "<f4", (TOP,))]
    money = [(EXPECTED_VALUE, "<f4")] if has_money else []
    return np.dtype([*((head, ranked) for head in heads), *money])


def may_be_named(head: Head, classes: int, category_names: Mapping[int, str]) -> npt.NDArray[np.bool_]:
    """Return which of a head's classes have a name `(classes,)`; the others are not published."""
    if head == PURCHASE_CATEGORY:
        return np.array([bucket in category_names for bucket in range(classes)])
    return np.ones(classes, np.bool_)


@dataclass(frozen=True, slots=True)
class HeadNames:
    """A model's extra heads, and the names of their classes."""

    heads: tuple[Head, ...] = ()
    category_names: Mapping[int, str] | None = None
    has_money: bool = False
    """Whether there is the head for money."""
    event_types: tuple[str, ...] = EVENT_TYPES
    """The names of the types of event, a shop's own among them."""

    @property
    def fields(self) -> list[tuple[str, Any]]:
        """Names and types of these heads' fields in a score and in a file of scores."""
        money = [(EXPECTED_VALUE, float)] if self.has_money else []
        return [*(field for head in self.heads for field in _FIELDS[head]), *money]

    def columns(self, extra: Extra) -> list[list[Any]]:
        """Return one column per field."""
        money = [published_values(extra[EXPECTED_VALUE]).tolist()] if self.has_money else []
        return [*(column for head in self.heads for column in self._columns_of(head, extra[head])), *money]

    def fields_of(self, extra: Extra) -> dict[str, list[Any]]:
        """Return the columns by the names of their fields."""
        return {name: column for (name, _), column in zip(self.fields, self.columns(extra), strict=True)}

    def _columns_of(self, head: Head, ranked: Extra) -> list[list[Any]]:
        classes, propensities = ranked["classes"], ranked["propensities"]
        if head == NEXT_TYPE:
            return [[self.event_types[code] for code in classes[:, 0].tolist()], published(propensities[:, 0]).tolist()]
        names = self.category_names or {}
        events = zip(classes.tolist(), (propensities > 0).tolist(), strict=True)
        return [[[names[code] for code, likely in zip(*event, strict=True) if likely] for event in events]]


NO_HEADS: Final = HeadNames()


class CategoryNames:
    """One name per code, in bounded memory: of the categories that share a code, the most frequent one.

    That is certain if it has the majority of the code's events (Boyer and Moore, "MJRTY: a fast majority vote
    algorithm", 1991).
    """

    def __init__(self) -> None:
        self._votes: dict[int, tuple[str, int]] = {}

    def count(self, categories: Iterable[str | None]) -> None:
        """Count the categories of some events."""
        for name, count in Counter(categories).items():
            if name:
                self._vote(id_code(name), name, count)

    def by_bucket(self, counts: npt.NDArray[np.int64], buckets: int) -> dict[int, str]:
        """Return the name of each bucket's most frequent code, by bucket in ascending order.

        `counts` are the events per code `(CATEGORY_CODES,)`.
        """
        bucket = bucket_of(np.arange(CATEGORY_CODES, dtype=np.uint16), buckets)
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
