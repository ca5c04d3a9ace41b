"""Scoring one fetch: decode, append, infer. Runs in a thread, most of it without the interpreter lock."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from operator import attrgetter
from typing import Final, Protocol

import numpy as np
import numpy.typing as npt

from model.batch import EventBatch
from model.core.append import Source
from model.core.slots import Distinct
from model.events import MAX_EVENT_TIME_MS, MIN_EVENT_TIME_MS
from model.formats.records import Decode
from model.heads import Extra
from model.identity import claiming_rows
from model.inference import InferenceRequest, InferenceResult
from model.items.catalogue import Catalogue
from model.items.moments import NO_MOMENTS, Moments, Triggers
from model.level import NO_LEVELS, Levels
from model.scoring import finish, finish_rebuild, prepare_batch, rebuild_request, shifted
from model.sequence import REMEMBERED_IDS
from model.states import StateCodec
from model.validate import LATE, OUTSIDE_YEARS, Reject
from streams.fetch import Fetch
from streams.forgetting import without_forgotten
from streams.observe.counts import Timings
from streams.partition_states import PartitionStates
from streams.records.partitions import partitions_of

_position: Final = attrgetter("position")
_LATE_ERROR: Final = (
    f"ts lies before the shopper's last {REMEMBERED_IDS} events: whether it was scored then is not known any more"
)


class Inference(Protocol):
    """What runs the model, in the caller's thread or on a device that callers share."""

    def score(self, request: InferenceRequest) -> InferenceResult: ...


@dataclass(frozen=True, slots=True)
class ScoredFetch:
    """What came of a fetch."""

    batch: EventBatch
    rows: npt.NDArray[np.int64]
    """The accepted rows of the batch: those that were scored, then impressions."""
    propensities: npt.NDArray[np.float32]
    """`(accepted, horizons)`, NaN of impressions"""
    extra: Extra
    """What the extra heads answer `(accepted,)`; of impressions it means nothing."""
    rejects: list[Reject]
    """Records that are no events, and events that are late; by position."""
    users: Distinct
    slots: npt.NDArray[np.int64]
    """Of those users who had a state before, -1 of the others."""
    states: npt.NDArray[np.void]
    """The states of `users` after the fetch, to be stored."""
    duplicates: int
    already_applied: int
    claiming: npt.NDArray[np.int64]
    """The rows of the batch that claim the state of their anonymous id."""
    moments: Moments = NO_MOMENTS
    """The events at which items are to be recommended."""
    impressions: int = 0
    levels: Levels = NO_LEVELS
    """By which the propensities are shifted."""
    misplaced: int = 0
    """Events that lie in another partition than their key leads to."""
    clock_ahead: int = 0
    """Events that were applied as of their record's timestamp, because their own time cannot be right."""
    seconds: dict[str, float] = field(default_factory=dict)
    """How long each stage took."""


@dataclass(frozen=True, slots=True)
class Scoring:
    """Scores fetches; `source_code` is the hash by which sequence states know the events topic."""

    inference: Inference
    codec: StateCodec
    source_code: int
    partitions: int = 0
    """How many the events topic has; 0: nobody asks whether a key leads to its own."""
    clock_ahead_ms: int = 86_400_000
    """How far an event's time may lie after its record's timestamp."""
    catalogue: Catalogue | None = None
    """What learns of items that events name, for a model that recommends."""
    levels: Callable[[], Levels] = lambda: NO_LEVELS
    """The levels that are known now."""
    triggers: Triggers | None = None
    """The events at which items are recommended."""

    def score(self, fetch: Fetch, decode: Decode, states: PartitionStates, timings: Timings) -> ScoredFetch:
        """Score a fetch against its users' states, which stay as they are; raises CartcastError.

        For one thread per partition at a time.
        """
        began = timings.clock()
        batch, rejects = decode(fetch.values, fetch.keys)
        batch, undated, clock_ahead = _dated(batch, fetch.timestamps_ms, self.clock_ahead_ms)
        batch, rejects = without_forgotten(fetch, batch, sorted([*rejects, *undated], key=_position), states)
        self._learn_items(batch)
        decoded = timings.clock()
        users = Distinct.of(fetch.keys.take(batch.positions))
        slots, after = states.gather(users)
        if (rebuild := rebuild_request(self.codec, after)) is not None:
            finish_rebuild(after, rebuild, self.inference.score(rebuild))
        source = Source(self.source_code, fetch.offsets[batch.positions])
        before_ms = after["sequence"]["last_time_ms"].copy()
        before = None if self.triggers is None else self.triggers.before(after, users.index, batch)
        prepared = prepare_batch(after, users.index, batch, source)
        claiming = claiming_rows(before_ms, after, batch, prepared.appended)
        moments = NO_MOMENTS
        if self.triggers is not None and before is not None:
            moments = self.triggers.moments(before, after, batch, source, prepared.appended)
        appended = timings.clock()
        late = [Reject(position, LATE, _LATE_ERROR) for position in batch.positions[prepared.appended.late].tolist()]
        if late:
            rejects = sorted([*rejects, *late], key=_position)
        levels, rows = self.levels(), prepared.appended.rows
        result = shifted(self.inference.score(prepared.request), levels, batch.event_time_ms[rows])
        propensities = finish(after, prepared, result)
        extra = result.extra
        if shown := len(prepared.appended.impressions):
            rows = np.concatenate((rows, prepared.appended.impressions))
            propensities = np.pad(propensities, ((0, shown), (0, 0)), constant_values=np.nan)
            extra = np.concatenate((extra, np.zeros(shown, extra.dtype)))
        inferred = timings.clock()
        return ScoredFetch(
            batch=batch,
            rows=rows,
            propensities=propensities,
            extra=extra,
            rejects=rejects,
            users=users,
            slots=slots,
            states=after,
            duplicates=prepared.appended.duplicates,
            already_applied=prepared.appended.already_applied,
            claiming=claiming,
            moments=moments,
            impressions=len(prepared.appended.impressions),
            levels=levels,
            misplaced=self._misplaced(users, fetch.partition),
            clock_ahead=clock_ahead,
            seconds={"decode": decoded - began, "append": appended - decoded, "inference": inferred - appended},
        )

    def _misplaced(self, users: Distinct, partition: int) -> int:
        if not self.partitions:
            return 0
        return int((partitions_of(users.strings, self.partitions) != partition)[users.index].sum())

    def _learn_items(self, batch: EventBatch) -> None:
        if self.catalogue is None:
            return
        is_new = (batch.item_codes > 0) & (self.catalogue.view.find(batch.item_codes) < 0)
        if is_new.any():
            new = batch.take(np.flatnonzero(is_new))
            self.catalogue.learn(new.item_codes, new.item_ids, new.category_codes)


def _dated(
    batch: EventBatch, timestamps_ms: npt.NDArray[np.int64], most_ahead_ms: int
) -> tuple[EventBatch, list[Reject], int]:
    """Return the events that have a time, rejects for the others, and how many are at their records' times.

    `timestamps_ms` `(records,)` are the records' own. A time far ahead of its record's, or outside the years 2000 to
    2100, is a wrong clock's. A state's clock never goes back: an event from next year would make all that follows
    simultaneous with it. A record without a timestamp (0), or with one that is no event's (seconds in place of
    milliseconds), says nothing.
    """
    given_ms, times_ms = timestamps_ms[batch.positions], batch.event_time_ms
    is_odd = (times_ms - given_ms > most_ahead_ms) | (times_ms < MIN_EVENT_TIME_MS) | (times_ms >= MAX_EVENT_TIME_MS)
    if not is_odd.any():
        return batch, [], 0
    is_known = (given_ms >= MIN_EVENT_TIME_MS) & (given_ms < MAX_EVENT_TIME_MS)
    batch = replace(batch, event_time_ms=np.where(is_odd & is_known, given_ms, times_ms))
    has_time = (batch.event_time_ms >= MIN_EVENT_TIME_MS) & (batch.event_time_ms < MAX_EVENT_TIME_MS)
    undated = [Reject(position, "ts", OUTSIDE_YEARS) for position in batch.positions[~has_time].tolist()]
    return batch.take(np.flatnonzero(has_time)) if undated else batch, undated, int((is_odd & is_known).sum())
