"""Scoring a batch against sequence states: what happens before and after inference.

The worker awaits the inference and offline scoring calls it; the rest is the same code.
"""

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from model.arrays import Runs
from model.batch import EventBatch
from model.core.append import Appended, Source, append_events
from model.events import EXPECTED_VALUE
from model.inference import InferenceRequest, InferenceResult
from model.level import Levels, shifted_propensities
from model.sequence import own_of
from model.states import StateCodec, remember_more, replay_rings


@dataclass(frozen=True, slots=True)
class Prepared:
    """A batch that has been appended, and the inference request for it."""

    appended: Appended
    request: InferenceRequest


def rebuild_request(codec: StateCodec, states: npt.NDArray[np.void]) -> InferenceRequest | None:
    """Return the request that rebuilds the carried numbers that another model wrote; None if there are none.

    Resets those states in place.
    """
    stale = codec.stale(states)
    states["sequence"]["model"][stale] = codec.model_code
    states["carried"][stale] = 0.0
    states["latest"][stale] = np.nan  # another model's
    stale = stale[states["sequence"]["events"][stale] > 0]
    if not len(stale):
        return None
    own = own_of(states)
    replayed = replay_rings(states["sequence"][stale], None if own is None else own[stale], codec.shop)
    return InferenceRequest(replayed.features, stale[replayed.users], states["carried"][stale])


def finish_rebuild(states: npt.NDArray[np.void], request: InferenceRequest, result: InferenceResult) -> None:
    """Store the rebuilt carried numbers in the states."""
    states["carried"][Runs.of(request.users).users] = result.carried


def prepare_batch(
    states: npt.NDArray[np.void], users: npt.NDArray[np.int64], batch: EventBatch, source: Source
) -> Prepared:
    """Append a batch to the states in place and prepare its inference; `users[i]` is the state of event i."""
    appended = append_events(states["sequence"], users, batch, source)
    remember_more(states, appended, batch)
    return prepare_appended(states, appended)


def prepare_appended(states: npt.NDArray[np.void], appended: Appended) -> Prepared:
    """Prepare the inference for events that have been appended to these states."""
    carried = states["carried"][Runs.of(appended.users).users]
    return Prepared(appended, InferenceRequest(appended.features, appended.users, carried))


def shifted(result: InferenceResult, levels: Levels, times_ms: npt.NDArray[np.int64]) -> InferenceResult:
    """Return what the model says of events `(events,)` of these times at their level; without one the same bits.

    The expected value moves with the propensity that it contains.
    """
    if not levels:
        return result
    propensities = shifted_propensities(result.propensities, levels.at(times_ms))
    money, extra = levels.shop.money, result.extra
    if money is not None:
        extra, within = extra.copy(), levels.horizons.index(money.within)
        extra[EXPECTED_VALUE] *= propensities[:, within] / result.propensities[:, within]
    return replace(result, propensities=propensities, extra=extra)


def finish(states: npt.NDArray[np.void], prepared: Prepared, result: InferenceResult) -> npt.NDArray[np.float32]:
    """Store the carried numbers and each user's latest propensities.

    Returns the propensities `(accepted, horizons)` of `prepared.appended.rows`.
    """
    runs = Runs.of(prepared.request.users)
    states["carried"][runs.users] = result.carried
    states["latest"][runs.users] = result.propensities[runs.ends]
    return result.propensities
