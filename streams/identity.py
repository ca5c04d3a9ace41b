"""One person from the first anonymous event: how the state of an anonymous id gets to the user who claims it.

Two ids lie in two partitions. The owner of the user's partition writes a *claim* to the identity topic, in one
transaction with the state after the event that claims. The owner of the anonymous id reads it and empties that id's
state, in one transaction with a *transfer*, which holds it. The owner of the user reads that and merges it. Both read
from positions that they keep in the changelog (`streams.following`), so that each is applied once.

A claim takes effect between the events of the anonymous id that happened until then and those after it, as far as its
partition has been dealt with: it waits until everything has been that the partition held when the claim was read, or
until a later event of the id comes. So a worker that restarts, or that lags behind, hands over what one that never
stopped does.
"""

import hashlib
from collections import defaultdict
from collections.abc import Container, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import islice
from threading import Lock
from typing import Final

import msgspec
import numpy as np
import numpy.typing as npt
import structlog

from model.batch import EventBatch
from model.core.slots import Distinct
from model.formats.records import Decode
from model.identity import has_events, merge, refusal, released
from model.states import StateCodec, StateLayoutError
from service.kafka import header_text
from streams.fetch import Fetch
from streams.following import FollowedRecord, FollowedRecords
from streams.forgetting import is_forgotten
from streams.observe.counts import NOTHING, STRANGER, WorkerCounts
from streams.partition_states import Outgoing, PartitionStates
from streams.records.writer import OutputRecord
from streams.transport import key_partition

KIND: Final = "kind"
CLAIM, TRANSFER = "claim", "transfer"
_TIME, _ANONYMOUS_ID = "time", "anonymous_id"
CLAIMED, JOINED = "claimed", "joined"
"""Kinds of notes: the claims of an anonymous id that wait, and whom its state went to last."""
_NOTES_AT_ONCE: Final = 10_000
_log: Final = structlog.get_logger()


class Claim(msgspec.Struct, frozen=True, array_like=True):
    """A user's claim of an anonymous id's state."""

    user_id: str
    time_ms: int
    """When the event happened that claims."""

    def __repr__(self) -> str:
        return "Claim()"  # what a log may hold ends here


_encode: Final = msgspec.json.Encoder().encode
_claims: Final = msgspec.json.Decoder(list[Claim])
_joined: Final = msgspec.json.Decoder(Claim)


def joined_to(states: PartitionStates, anonymous_id: bytes) -> Claim | None:
    """Return whom an anonymous id's state went to last, and as of when; None if it never did."""
    written = states.notes(JOINED).get(anonymous_id)
    return None if written is None else _joined.decode(written)


@dataclass(frozen=True, slots=True)
class Identity:
    """What the records of the identity topic do, and which ones a fetch's events make; for a lane's thread."""

    topic: str
    partitions: int
    codec: StateCodec
    counts: WorkerCounts
    most_claims: int = 100
    at_once: int = 0
    _counting: Lock = field(default_factory=Lock)
    """Partitions are counted side by side."""

    def resume(self, states: PartitionStates) -> None:
        """Let the claims wait that waited before the states were restored."""
        if not states.due:
            waiting = ((key, claim.time_ms) for key in states.notes(CLAIMED) for claim in _waiting(states, key))
            states.due.extend((states.events_end, key, time_ms) for key, time_ms in waiting)

    def claims(self, batch: EventBatch, rows: npt.NDArray[np.int64]) -> list[Outgoing]:
        """Return the claims that rows of a batch make."""
        claiming = batch.take(rows)
        columns = zip(claiming.user_ids, claiming.anonymous_ids, claiming.event_time_ms.tolist(), strict=True)
        with self._counting:
            self.counts.claims += len(rows)
        return [
            self._outgoing((anonymous_id or "").encode(), user_id.encode(), CLAIM, (_TIME, str(time_ms)))
            for user_id, anonymous_id, time_ms in columns
        ]

    def apply(self, records: FollowedRecords, states: PartitionStates) -> None:
        """Merge what is transferred; note what is claimed until it is due."""
        kinds = defaultdict[str, list[FollowedRecord]](list)
        for record in records.records:
            kinds[self._kind(record)].append(record)
        self._merge(kinds[TRANSFER], states)
        for record in kinds[CLAIM]:
            key, claim = (
                record.key or b"",
                Claim((record.value or b"").decode(), int(header_text(record.headers, _TIME))),
            )
            if is_forgotten(states, key):
                continue  # there is nothing to hand over, and the claim would name them
            states.note(CLAIMED, key, _encode([*_waiting(states, key), claim]))
            states.due.append((records.events_end, key, claim.time_ms))
        self._refuse(records, kinds[STRANGER])

    def joined(self, digests: Container[bytes], states: PartitionStates) -> list[bytes]:
        """Return the ids that were handed over, or wait to be, to users whom SHA-256 digests name."""
        return [key for kind, key, users in _noted(states) if _any_of(users, digests)]

    def forget(self, digests: Container[bytes], states: PartitionStates) -> None:
        """Note no longer what waits for forgotten ids, or was handed over by them or to them, by SHA-256 digests."""
        for kind, key, users in _noted(states):
            if _any_of([key, *users], digests):
                states.note(kind, key, None)

    def expire(self, states: PartitionStates, before_ms: int) -> None:
        """Note no longer whom ids were joined to before; looks at a bounded number, which were joined first."""
        for key, written in list(islice(states.notes(JOINED).items(), _NOTES_AT_ONCE)):
            if _joined.decode(written).time_ms < before_ms:
                states.note(JOINED, key, None)

    def release_due(self, states: PartitionStates) -> None:
        """Hand over what is claimed, as far as the partition has been dealt with by now."""
        with states.lock:
            due = list[tuple[bytes, int]]()
            while states.due and states.due[0][0] <= states.dealt_with:
                due.append(states.due.popleft()[1:])
            if due:
                self.release(due, states)

    def release(self, due: Iterable[tuple[bytes, int]], states: PartitionStates) -> None:
        """Hand over the states of anonymous ids to those who claimed them until a time each."""
        with states.lock:
            for_ids = {key: claims for key, until_ms in due if (claims := _take_claims(states, key, until_ms))}
            users = Distinct.of(list(for_ids))
            slots, found = states.gather(users)
            handed_over = [
                place
                for place, (key, (first, *others)) in enumerate(for_ids.items())
                if self._hands_over(found[place : place + 1], key, first, states, others)
            ]
            if handed_over:
                places = np.array(handed_over)
                some = Distinct(users.strings.take(places), users.hashes[places], np.arange(len(places)))
                states.put(some, slots[places], released(found[places]))

    def first_later(self, fetch: Fetch, decode: Decode, states: PartitionStates) -> tuple[int, bytes, int] | None:
        """Return the first record of a fetch that is of a claimed id and happened later; None if there is none.

        That is its place, its id, and the time until which the id's claims precede it.
        """
        claimed = states.notes(CLAIMED)
        places = np.array([place for place, key in enumerate(fetch.keys) if key in claimed], np.int64)
        if not len(places):
            return None
        batch, _ = decode(fetch.values.take(places), fetch.keys.take(places))
        for place, time_ms in zip(places[batch.positions].tolist(), batch.event_time_ms.tolist(), strict=True):
            key = fetch.keys[place] or b""
            if _waiting(states, key)[0].time_ms < time_ms:
                return place, key, time_ms - 1
        return None

    def _hands_over(
        self, state: npt.NDArray[np.void], key: bytes, claim: Claim, states: PartitionStates, others: Sequence[Claim]
    ) -> bool:
        """Whether a state `(1,)` may be handed over: if so, sends it; `others` claim what is then empty."""
        self._refused(NOTHING, len(others))
        why = refusal(state, self.most_claims) if has_events(state) else NOTHING
        if why is not None:
            self._refused(why)
            return False
        states.send([self._outgoing(claim.user_id.encode(), state.tobytes(), TRANSFER, (_ANONYMOUS_ID, key))])
        states.note(JOINED, key, None)  # the order of the notes is that of the claims
        states.note(JOINED, key, _encode(claim))
        return True

    def _merge(self, transfers: Sequence[FollowedRecord], states: PartitionStates) -> None:
        """Merge states into their users'; of one user's, one after the other."""
        waiting = [record for record in transfers if not is_forgotten(states, record.key)]
        while waiting:
            of_users = {record.key: record for record in reversed(waiting)}  # the first of each user
            users = Distinct.of(list(of_users))
            slots, targets = states.gather(users)
            merge(targets, self.codec.gather([record.value for record in of_users.values()]))
            states.put(users, slots, targets)
            with self._counting:
                self.counts.merges += len(of_users)
            done = {record.offset for record in of_users.values()}
            waiting = [record for record in waiting if record.offset not in done]

    def _kind(self, record: FollowedRecord) -> str:
        """Return what a record is, STRANGER if it cannot be applied."""
        kind = header_text(record.headers, KIND)
        try:
            if not record.key or not record.value:
                return STRANGER
            record.key.decode()
            if kind == CLAIM:
                return CLAIM if record.value.decode() and header_text(record.headers, _TIME).isdigit() else STRANGER
            if kind == TRANSFER:
                self.codec.gather([record.value])
                return TRANSFER
        except (UnicodeDecodeError, StateLayoutError):
            pass
        return STRANGER

    def _refuse(self, records: FollowedRecords, strangers: Sequence[FollowedRecord]) -> None:
        if strangers:
            self._refused(STRANGER, len(strangers))
            _log.warning(
                "ignored records that no worker of this version wrote",
                topic=records.topic,
                partition=records.partition,
                offset=strangers[-1].offset,
                count=len(strangers),
            )

    def _refused(self, reason: str, count: int = 1) -> None:
        if not count:
            return
        with self._counting:
            self.counts.claims_refused[reason] += count

    def _outgoing(self, key: bytes, value: bytes, kind: str, header: tuple[str, str | bytes]) -> Outgoing:
        record = OutputRecord(key, value, [(KIND, kind), header])
        return Outgoing(self.topic, key_partition(key, self.partitions), record)


def _noted(states: PartitionStates) -> list[tuple[str, bytes, list[bytes]]]:
    """Return what is noted of anonymous ids: the kind, the id, and the users."""
    claimed = [(CLAIMED, key, _claims.decode(written)) for key, written in states.notes(CLAIMED).items()]
    joined = [(JOINED, key, [_joined.decode(written)]) for key, written in states.notes(JOINED).items()]
    return [(kind, key, [claim.user_id.encode() for claim in claims]) for kind, key, claims in claimed + joined]


def _any_of(ids: Iterable[bytes], digests: Container[bytes]) -> bool:
    return any(hashlib.sha256(each).digest() in digests for each in ids)


def _waiting(states: PartitionStates, key: bytes) -> list[Claim]:
    """Return the claims of an id that wait, in order."""
    written = states.notes(CLAIMED).get(key)
    return [] if written is None else _claims.decode(written)


def _take_claims(states: PartitionStates, key: bytes, until_ms: int) -> list[Claim]:
    """Return the first claims of an id that wait, until a time, and let them wait no more."""
    waiting = _waiting(states, key)
    count = next((place for place, claim in enumerate(waiting) if claim.time_ms > until_ms), len(waiting))
    if count:
        states.note(CLAIMED, key, _encode(waiting[count:]) if waiting[count:] else None)
    return waiting[:count]
