"""One shopper under two ids: when a user claims the state of an anonymous id, and what becomes of both.

An event belongs to its `user_id`. If it names an `anonymous_id` as well, the state of that id is merged into the
user's, and the anonymous id begins afresh. Most events of a user who is logged in name the same anonymous id again, so
an event claims only if it is of type `identify`, names another id than the user's last claim, or comes more than
CLAIM_AGAIN_MS after the user's event before it: between two events that lie closer, nobody logs out, does something
and logs in.
"""

from typing import Final

import numpy as np
import numpy.typing as npt
import xxhash

from model.arrays import Runs
from model.batch import EventBatch
from model.core.append import Appended
from model.core.merge import begin_rings_anew, merge_sequences
from model.core.texts import ANONYMOUS_ID
from model.sequence import NO_MODEL, RING_EVENTS, new_sequences, own_of

CLAIM_AGAIN_MS: Final = 60_000
MOST_CLAIMS: Final = 255
"""How many claims a state counts."""
NOTHING, IS_USER, CLAIMED_TOO_OFTEN = "nothing", "user", "claims"
"""Why a state is not handed over: there is nothing in it, it has claimed itself, or so many have claimed it that no one
person is behind it."""

_OF_RINGS: Final = ("types", "labels", "numbers")
States = npt.NDArray[np.void]


def claiming_rows(
    before_ms: npt.NDArray[np.int64],
    states: States,
    batch: EventBatch,
    appended: Appended,
) -> npt.NDArray[np.int64]:
    """Return which rows of a batch claim the state of their anonymous id, in order, and note that in the states.

    `states` `(users,)` are those after the batch has been appended, `before_ms` `(users,)` the times of their last
    events before. What was not appended, repeats among it, claims
    nothing.
    """
    named = batch.texts.spans[appended.rows, ANONYMOUS_ID, 0] >= 0
    if not named.any():
        return np.empty(0, np.int64)
    is_first = np.zeros(len(appended), np.bool_)
    is_first[Runs.of(appended.users).starts] = True
    earlier_ms = np.where(is_first, before_ms[appended.users], np.roll(appended.time_ms, 1))
    is_apart = appended.time_ms - earlier_ms > CLAIM_AGAIN_MS
    claiming, rows = list[int](), appended.rows[named]
    taken = batch.take(rows)
    ids, identifies = taken.anonymous_ids, taken.identifies
    for place, user, apart in zip(range(len(rows)), appended.users[named], is_apart[named], strict=True):
        code = id_hash(ids[place] or "")
        if apart or identifies[place] or states["sequence"]["claimed"][user] != code:
            states["sequence"]["claimed"][user] = code
            claiming.append(int(rows[place]))
    return np.sort(np.array(claiming, np.int64))


def id_hash(anonymous_id: str) -> int:
    """Return the 16 bits by which a user's state knows the anonymous id that it claimed last; never 0."""
    return xxhash.xxh32_intdigest(anonymous_id.encode()) % 65_535 + 1


def refusals(states: States, most_claims: int) -> list[str]:
    """Return why each of states `(users,)` is not handed over: NOTHING, IS_USER, CLAIMED_TOO_OFTEN; empty if it is."""
    sequences = states["sequence"]
    is_so = (
        sequences["events"] == 0,
        sequences["claimed"] != 0,
        sequences["claims"] >= min(most_claims, MOST_CLAIMS),
    )
    found: list[str] = np.select(is_so, (NOTHING, IS_USER, CLAIMED_TOO_OFTEN), "").tolist()
    return found


def released(states: States) -> States:
    """Return what is left of states `(users,)` that were handed over: they begin afresh.

    They keep what has to do with records rather than with a shopper: the source offset, the remembered event ids and
    until when events are forgotten, the time of the last event, and how often the id was claimed, this time included.
    """
    left, sequences = states.copy(), new_sequences(len(states))
    for name in ("layout", "model", "source", "offset", "last_time_ms", "forgotten_s"):
        sequences[name] = states["sequence"][name]
    begin_rings_anew(sequences, states["sequence"])
    sequences["claims"] = np.minimum(states["sequence"]["claims"].astype(np.int64) + 1, MOST_CLAIMS)
    left["sequence"] = sequences
    for name in set(states.dtype.names or ()) - {"sequence", "own"}:
        left[name] = np.nan if name == "latest" else 0
    return left


def merge(targets: States, sources: States) -> None:
    """Merge states of anonymous ids `(pairs,)` into those of the users who claimed them, in place.

    Counters add up, rings and remembered ids are joined in the order of their times, sessions that touch become one.
    The carried numbers become those of no model, so that they are rebuilt from the joined ring when they are needed.
    All states are of one codec, or of a dtype with nothing but `sequence`.
    """
    origins = np.empty((len(targets), RING_EVENTS), np.int64)
    merge_sequences(targets["sequence"], sources["sequence"], origins)
    targets["sequence"]["model"] = NO_MODEL
    names = targets.dtype.names or ()
    if "carried" in names:
        targets["carried"], targets["latest"] = 0, np.nan
    if "item_ends" in names:
        _join_rings(targets["item_ends"], sources["item_ends"], origins)
        targets["recommended_ms"] = np.maximum(targets["recommended_ms"], sources["recommended_ms"])
    own, of_sources = own_of(targets), own_of(sources)
    if own is not None and of_sources is not None:
        for name in set(_OF_RINGS) & set(own.dtype.names or ()):
            _join_rings(own[name], of_sources[name], origins)


def _join_rings(
    targets: npt.NDArray[np.generic], sources: npt.NDArray[np.generic], origins: npt.NDArray[np.int64]
) -> None:
    """Fill rings `(pairs, RING_EVENTS, ...)` from both by `origins`; slots without an event stay what they are."""
    both = np.concatenate((targets, sources), axis=1)
    pairs, slots = np.nonzero(origins >= 0)
    targets[pairs, slots] = both[pairs, origins[pairs, slots]]
