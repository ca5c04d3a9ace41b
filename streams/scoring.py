"""Scoring one fetch: decode, append, infer. Runs in a thread, most of it without the interpreter lock."""

from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import numpy.typing as npt

from model.batch import EventBatch
from model.core.append import Source
from model.formats.records import Decode
from model.heads import Ranked
from model.inference import InferenceRequest, InferenceResult
from model.scoring import finish, finish_rebuild, prepare_batch, rebuild_request
from model.states import StateCodec
from model.validate import Reject
from streams.fetch import Fetch
from streams.observe.counts import Timings
from streams.slots import Distinct
from streams.tables import PartitionStates


class Inference(Protocol):
    """What runs the model, in the caller's thread or on a device that callers share."""

    def score(self, request: InferenceRequest) -> InferenceResult: ...


@dataclass(frozen=True, slots=True)
class ScoredFetch:
    """What came of a fetch."""

    batch: EventBatch
    rows: npt.NDArray[np.int64]
    """The accepted rows of the batch."""
    propensities: npt.NDArray[np.float32]
    """`(accepted, horizons)`"""
    extra: Ranked
    """What the extra heads answer `(accepted,)`."""
    rejects: list[Reject]
    users: Distinct
    slots: npt.NDArray[np.int64]
    """Of those users who had a state before, -1 of the others."""
    states: npt.NDArray[np.void]
    """The states of `users` after the fetch, to be stored."""
    duplicates: int
    already_applied: int
    seconds: dict[str, float] = field(default_factory=dict)
    """How long each stage took."""


@dataclass(frozen=True, slots=True)
class Scoring:
    """Scores fetches; `source_code` is the hash by which sequence states know the events topic."""

    inference: Inference
    codec: StateCodec
    source_code: int

    def score(self, fetch: Fetch, decode: Decode, states: PartitionStates, timings: Timings) -> ScoredFetch:
        """Score a fetch against its users' states, which stay as they are; raises CartcastError.

        For one thread per partition at a time.
        """
        began = timings.clock()
        batch, rejects = decode(fetch.values, fetch.keys)
        decoded = timings.clock()
        users = Distinct.of(fetch.keys.take(batch.positions))
        slots, after = states.gather(users)
        if (rebuild := rebuild_request(self.codec, after)) is not None:
            finish_rebuild(after, rebuild, self.inference.score(rebuild))
        prepared = prepare_batch(after, users.index, batch, Source(self.source_code, fetch.offsets[batch.positions]))
        appended = timings.clock()
        result = self.inference.score(prepared.request)
        propensities = finish(after, prepared, result)
        inferred = timings.clock()
        return ScoredFetch(
            batch=batch,
            rows=prepared.appended.rows,
            propensities=propensities,
            extra=result.extra,
            rejects=rejects,
            users=users,
            slots=slots,
            states=after,
            duplicates=prepared.appended.duplicates,
            already_applied=prepared.appended.already_applied,
            seconds={"decode": decoded - began, "append": appended - decoded, "inference": inferred - appended},
        )
