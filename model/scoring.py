"""Scoring a batch against sequence states, in two halves with the inference between them.

The worker awaits the inference and offline scoring calls it; what comes before and after is the same code.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from model.append import Appended, Source, append_events
from model.arrays import Runs
from model.batch import EventBatch
from model.features import features_of
from model.inference import InferenceRequest, InferenceResult
from model.states import StateCodec, replay_rings


@dataclass(frozen=True, slots=True)
class Prepared:
    """A batch that has been appended and waits for its numbers."""

    appended: Appended
    request: InferenceRequest


def rebuild_request(codec: StateCodec, states: npt.NDArray[np.void]) -> InferenceRequest | None:
    """Return what to run to rebuild the carried numbers that another model wrote; None if there are none."""
    stale = codec.stale(states)
    states["sequence"]["model"][stale] = codec.model_code
    states["carried"][stale] = 0.0
    states["latest"][stale] = np.nan  # another model's
    stale = stale[states["sequence"]["events"][stale] > 0]
    if not len(stale):
        return None
    replayed = replay_rings(states["sequence"][stale])
    return InferenceRequest(features_of(replayed), stale[replayed.users], states["carried"][stale])


def finish_rebuild(states: npt.NDArray[np.void], request: InferenceRequest, result: InferenceResult) -> None:
    """Store rebuilt numbers."""
    states["carried"][Runs.of(request.users).users] = result.carried


def prepare_batch(
    states: npt.NDArray[np.void], users: npt.NDArray[np.int64], batch: EventBatch, source: Source
) -> Prepared:
    """Append a batch to the states in place and prepare what the model is asked; `users[i]` is event i's state."""
    return prepare_appended(states, append_events(states["sequence"], users, batch, source))


def prepare_appended(states: npt.NDArray[np.void], appended: Appended) -> Prepared:
    """Compute what the model is asked about events that have been appended to these states."""
    carried = states["carried"][Runs.of(appended.users).users]
    return Prepared(appended, InferenceRequest(features_of(appended), appended.users, carried))


def finish(states: npt.NDArray[np.void], prepared: Prepared, result: InferenceResult) -> npt.NDArray[np.float32]:
    """Store the carried numbers and each user's latest propensities.

    Returns the propensities `(accepted, horizons)` of `prepared.appended.rows`.
    """
    runs = Runs.of(prepared.request.users)
    states["carried"][runs.users] = result.carried
    states["latest"][runs.users] = result.propensities[runs.ends]
    return result.propensities
