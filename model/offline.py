"""Scoring a history without Kafka: the worker's code, batch by batch, with every user's state in memory."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from model.batch import EventBatch, batch_of
from model.core.append import Appended, Source
from model.events import Event
from model.following import Following, anonymous_index
from model.heads import NO_HEADS, Extra, HeadNames
from model.inference import Scorer
from model.level import NO_LEVELS, Levels
from model.propensities import published
from model.scoring import finish, finish_rebuild, prepare_batch, rebuild_request, shifted
from model.states import StateCodec
from model.validate import BadRow

_FILE_SOURCE: Final = 0
"""The source code of a history's rows; no topic is expected to have the hash 0."""


@dataclass(frozen=True, slots=True)
class ScoredEvents:
    """The accepted events of some rows, in input order."""

    rows: npt.NDArray[np.int64]
    """The index of each event among the rows of the input, bad rows included."""
    user_ids: list[str]
    event_ids: list[str]
    event_time_ms: npt.NDArray[np.int64]
    propensities: npt.NDArray[np.float64]
    """`(events, horizons)`, rounded as the worker publishes them."""
    extra: list[list[Any]] = field(default_factory=list)
    """One column per field of the extra heads, then of the shifts of a level."""

    def __len__(self) -> int:
        return len(self.rows)


@dataclass
class OfflineCounts:
    """Counts of the rows read so far."""

    rows: int = 0
    scored: int = 0
    duplicates: int = 0
    late: int = 0
    impressions: int = 0
    bad_rows: int = 0

    @property
    def events(self) -> int:
        return self.rows - self.bad_rows


class OfflineScoring:
    """Scores a history whose rows arrive in order; keeps one state of about one kilobyte per user, and no events."""

    def __init__(
        self,
        scorer: Scorer,
        codec: StateCodec,
        *,
        head_names: HeadNames = NO_HEADS,
        levels: Levels = NO_LEVELS,
        rows_at_once: int = 20_000,
    ) -> None:
        """Scorer, codec, names of the extra heads' classes and levels must be of the same checkpoint."""
        self.counts = OfflineCounts()
        self._scorer = scorer
        self._codec = codec
        self._head_names = head_names
        self._levels = levels
        self._rows_at_once = rows_at_once
        self._states: dict[str, bytes] = {}
        self._following = Following()

    @property
    def users(self) -> int:
        return len(self._states)

    @property
    def extra_fields(self) -> list[tuple[str, Any]]:
        """Names and types of the columns of `ScoredEvents.extra`."""
        return [*self._head_names.fields, *((name, float) for name in self._levels.field_names)]

    @property
    def joined(self) -> int:
        """Anonymous states that were merged into a user's."""
        return self._following.joined

    def score(self, rows: Iterable[Event | BadRow]) -> Iterator[ScoredEvents]:
        """Yield the scores of each batch of rows that holds an event; reads no further than it has scored."""
        source = iter(rows)
        while chunk := list(islice(source, self._rows_at_once)):
            events = [row for row in chunk if isinstance(row, Event)]
            numbers = self.counts.rows + np.array(
                [n for n, row in enumerate(chunk) if isinstance(row, Event)], np.int64
            )
            self.counts.rows += len(chunk)
            self.counts.bad_rows += len(chunk) - len(events)
            if events:
                yield self._scored(events, batch_of(events, numbers, with_texts=False, shop=self._codec.shop))

    def _scored(self, events: Sequence[Event], batch: EventBatch) -> ScoredEvents:
        index: dict[str, int] = {}
        users = np.array([index.setdefault(event.user_id, len(index)) for event in events], np.int64)
        anonymous = anonymous_index(batch, index)
        states = self._codec.gather([self._states.get(user) for user in index])
        parts = list[_Part]()

        def step(rows: npt.NDArray[np.int64], some: EventBatch) -> Appended:
            if (rebuild := rebuild_request(self._codec, states)) is not None:  # of states that were merged
                finish_rebuild(states, rebuild, self._scorer.score(rebuild))
            prepared = prepare_batch(states, users[rows], some, Source(_FILE_SOURCE, some.positions))
            times_ms = some.event_time_ms[prepared.appended.rows]
            result = shifted(self._scorer.score(prepared.request), self._levels, times_ms)
            propensities = finish(states, prepared, result)
            parts.append(_Part(rows[prepared.appended.rows], propensities, result.extra))
            self._count(prepared.appended)
            return prepared.appended

        self._following.append(states, users, anonymous, batch, step)
        kept = zip(index, self._codec.scatter(states), states["sequence"]["offset"] >= 0, strict=True)
        self._states.update((user, state) for user, state, is_known in kept if is_known)
        found, propensities, extra = (np.concatenate(columns) for columns in zip(*parts, strict=True))
        order = np.argsort(found)
        shifts = self._levels.fields(batch.event_time_ms[found[order]])
        columns = [*self._head_names.columns(extra[order]), *shifts.values()]
        return _scored_events(events, batch, found[order], propensities[order], columns)

    def _count(self, appended: Appended) -> None:
        self.counts.duplicates += appended.duplicates
        self.counts.late += len(appended.late)
        self.counts.impressions += len(appended.impressions)
        self.counts.scored += len(appended)


class _Part(NamedTuple):
    """What came of some events of a batch."""

    rows: npt.NDArray[np.int64]
    """Indices of the accepted events into the batch."""
    propensities: npt.NDArray[np.float32]
    extra: Extra


def _scored_events(
    events: Sequence[Event],
    batch: EventBatch,
    rows: npt.NDArray[np.int64],
    propensities: npt.NDArray[np.float32],
    extra: list[list[Any]],
) -> ScoredEvents:
    indices = rows.tolist()
    return ScoredEvents(
        rows=batch.positions[rows],
        user_ids=[events[row].user_id for row in indices],
        event_ids=[events[row].event_id for row in indices],
        event_time_ms=batch.event_time_ms[rows],
        propensities=published(propensities),
        extra=extra,
    )
