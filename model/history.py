"""Whole histories as columns, made by the same append-and-features code that the worker runs."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import numpy as np
import numpy.typing as npt

from model.append import Source, append_events
from model.batch import EventBatch, batch_of
from model.errors import TrainingError
from model.events import PURCHASE, Event
from model.features import Features, features_of
from model.formats import BadRow
from model.runs import Runs
from model.sequence import new_sequences

_EVENTS_AT_ONCE = 20_000
_COLUMNS = ("users", "rows", "time_ms", "type_codes", "numeric", "items", "categories")


@dataclass(frozen=True, slots=True)
class History:
    """Every accepted event, sorted by user and within a user in order of arrival."""

    users: npt.NDArray[np.int64]
    """Numbers of users, ascending."""
    rows: npt.NDArray[np.int64]
    """Which event of the input it was, from 0; bad rows are not counted."""
    time_ms: npt.NDArray[np.int64]
    """The event's own timestamp."""
    type_codes: npt.NDArray[np.uint8]
    numeric: npt.NDArray[np.float32]
    items: npt.NDArray[np.uint16]
    categories: npt.NDArray[np.uint16]
    user_ids: list[str] = field(repr=False)
    """By number of user."""
    duplicates: int
    bad_rows: int

    def __len__(self) -> int:
        return len(self.users)

    @property
    def is_purchase(self) -> npt.NDArray[np.bool_]:
        return np.asarray(self.type_codes == PURCHASE)

    @property
    def runs(self) -> Runs:
        """One run of rows a user."""
        return Runs.of(self.users)

    def features(self, rows: npt.NDArray[np.int64]) -> Features:
        """Return the model's inputs for some rows."""
        return Features(
            numeric=self.numeric[rows],
            types=self.type_codes[rows].astype(np.int64),
            items=self.items[rows].astype(np.int64),
            categories=self.categories[rows].astype(np.int64),
        )


class _Appending:
    """Users' states while a history is read, and the columns read so far."""

    def __init__(self) -> None:
        self.numbers: dict[str, int] = {}
        self.duplicates = 0
        self.read = 0
        self.chunks: list[dict[str, npt.NDArray[Any]]] = []
        self._states = new_sequences(1024)

    def append(self, batch: EventBatch) -> None:
        users = np.array([self.numbers.setdefault(user, len(self.numbers)) for user in batch.user_ids], np.int64)
        while len(self.numbers) > len(self._states):
            self._states = np.concatenate((self._states, new_sequences(len(self._states))))
        rows = self.read + np.arange(len(batch))
        appended = append_events(self._states, users, batch, Source(0, rows))
        features = features_of(appended)
        self.chunks.append(
            {
                "users": appended.users,
                "rows": rows[appended.rows],
                "time_ms": batch.event_time_ms[appended.rows],
                "type_codes": appended.type_codes,
                "numeric": features.numeric,
                "items": appended.item_codes,
                "categories": appended.category_codes,
            }
        )
        self.read += len(batch)
        self.duplicates += appended.duplicates


def read_history(rows: Iterable[Event | BadRow]) -> History:
    """Read events in order of arrival. Raises TrainingError if there is none."""
    appending, bad_rows = _Appending(), 0
    source = iter(rows)
    while chunk := list(islice(source, _EVENTS_AT_ONCE)):
        events = [row for row in chunk if isinstance(row, Event)]
        bad_rows += len(chunk) - len(events)
        if events:
            appending.append(batch_of(events))
    if not appending.read:
        raise TrainingError("there is not one event to learn from: check the files and their --format")
    return _sorted_by_user(appending, bad_rows)


def _sorted_by_user(appending: _Appending, bad_rows: int) -> History:
    users = np.concatenate([chunk["users"] for chunk in appending.chunks])
    order = np.argsort(users, kind="stable")  # chunks are in order of arrival, and so are a user's rows in each
    columns = {name: np.concatenate([chunk.pop(name) for chunk in appending.chunks])[order] for name in _COLUMNS}
    return History(**columns, user_ids=list(appending.numbers), duplicates=appending.duplicates, bad_rows=bad_rows)
