"""After partitions were added: a partition lets go of who is in another one now, and refuses who was forgotten there.

Shoppers whose key leads elsewhere begin anew (docs/operations.md). What lies here of theirs that was not dealt with
still needs their states: else repeats would be scored again, and what was claimed be claimed again. Afterwards states
and notes would never be found again, also not by who wants them to be forgotten. And a request to forget lies where
the shopper's events were: those who moved here are to be refused here.
"""

import hashlib
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import closing, suppress
from threading import Lock
from typing import Any, Final

import numpy as np

from model.core.byte_strings import ByteStrings
from service.errors import RefusedError
from service.forget import request_of
from streams.changelog import PartitionReader
from streams.identity import CLAIMED, JOINED
from streams.messages import FORGOTTEN
from streams.partition_states import PartitionStates
from streams.records.partitions import partitions_of

STALE_MS: Final = 600_000
"""How long producers may send to where a key led before: they look every five minutes how many partitions there are."""
_FRESH_SECONDS: Final = 10.0
_SEEN: Final = "partitions"
"""Kind of the note of how many partitions there were when these states were written: now, and behind those before whom
who moved has not been let go."""
_COUNT: Final = b"count"


class AskedEverywhere:
    """When each digest on the forget topic was asked for last, whatever its partition; ten seconds old at most."""

    def __init__(self, client_config: Mapping[str, Any], topic: str, partitions: int) -> None:
        self._client_config = client_config
        self._topic = topic
        self.partitions = partitions
        self._positions = dict.fromkeys(range(partitions), 0)
        self._found: Mapping[bytes, int] = {}
        self._fresh_until = 0.0
        self._lock = Lock()

    def __call__(self) -> Mapping[bytes, int]:
        """Return the same object if nothing was asked since; for any thread, raises RefusedError."""
        with self._lock:
            if time.monotonic() >= self._fresh_until:
                if found := self._read_on():
                    self._found = {**self._found, **found}
                self._fresh_until = time.monotonic() + _FRESH_SECONDS
            return self._found

    def _read_on(self) -> dict[bytes, int]:
        found = {}
        with closing(PartitionReader(self._client_config)) as reader:
            for partition, position in self._positions.items():
                low, end = reader.bounds(self._topic, partition)
                start = max(low, position)
                for message in reader.between(self._topic, partition, start, end) if start < end else ():
                    if (request := request_of(message.key(), message.value())) is not None:
                        found[bytes.fromhex(request[0].decode())] = request[1].requested_at
                self._positions[partition] = end
        return found


def settle_in(states: PartitionStates, partitions: int, asked: Callable[[], Mapping[bytes, int]]) -> None:
    """Refuse who was forgotten elsewhere, if partitions were added of late; once these states are restored.

    `asked` returns when each digest on the forget topic was asked for last, whatever its partition, as AskedEverywhere.
    """
    before = _counts(states)
    if before == [partitions]:
        return
    if before[-1:] != [partitions]:
        states.note(_SEEN, _COUNT, b" ".join(b"%d" % count for count in [*before, partitions]))
    _refuse(states, asked())


def is_moving(states: PartitionStates) -> bool:
    """Whether there may be states of shoppers whose key leads elsewhere now."""
    return len(_counts(states)) > 1


def let_go(states: PartitionStates, now_ms: int, asked: Callable[[], Mapping[bytes, int]]) -> None:
    """Keep nothing of who has moved, when what was there is dealt with and no producer can send more.

    Until then, nothing of who is forgotten where they are now. Nothing that another partitioner than Java's put here is
    let go.
    """
    if not is_moving(states):
        return
    states.moving_until_ms = states.moving_until_ms or now_ms + STALE_MS
    if now_ms < states.moving_until_ms or states.dealt_with < states.events_end:
        with suppress(RefusedError):  # the next look may find more
            _refuse(states, asked())
        return
    *before, now = _counts(states)
    states.remove(_moved(states, states.partition, before, now))
    for kind in (CLAIMED, JOINED):
        for key in _moved(states.notes(kind), states.partition, before, now):
            states.note(kind, key, None)
    states.note(_SEEN, _COUNT, b"%d" % now)


def _refuse(states: PartitionStates, elsewhere: Mapping[bytes, int]) -> None:
    """Refuse who was forgotten in any partition since the last look, and let go of what is here of theirs."""
    known, states.forgotten_elsewhere = states.forgotten_elsewhere, elsewhere
    if known is elsewhere:
        return
    fresh = {digest: requested_at for digest, requested_at in elsewhere.items() if known.get(digest) != requested_at}
    for digest, requested_at in fresh.items():
        if digest not in states.notes(FORGOTTEN):
            states.note(FORGOTTEN, digest, b"%d" % requested_at)
    if is_moving(states):
        states.remove([user for user in states if hashlib.sha256(user).digest() in fresh])


def _counts(states: PartitionStates) -> list[int]:
    return [int(count) for count in states.notes(_SEEN).get(_COUNT, b"").split()]


def _moved(ids: Iterable[bytes], partition: int, before: Iterable[int], now: int) -> list[bytes]:
    """Return those ids that were in a partition when there were so many, and lie in another one now."""
    known = list(ids)
    keys = ByteStrings.of(known)
    was_here = np.logical_or.reduce([partitions_of(keys, count) == partition for count in before])
    return [known[place] for place in np.flatnonzero(was_here & (partitions_of(keys, now) != partition)).tolist()]
