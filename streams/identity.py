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
from collections import Counter, defaultdict
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from threading import Lock
from typing import Final

import msgspec
import numpy as np
import numpy.typing as npt
import structlog

from model.batch import EventBatch
from model.core.byte_strings import ByteStrings
from model.core.slots import Distinct
from model.events import MAX_EVENT_TIME_MS
from model.formats.records import Decode
from model.identity import NOTHING, merge, refusals, released
from model.states import StateCodec, StateLayoutError
from service.forget import digest
from service.kafka import header_text
from streams.fetch import Fetch
from streams.following import FollowedRecord, FollowedRecords
from streams.forgetting import is_forgotten
from streams.observe.counts import STRANGER, Timings, WorkerCounts
from streams.partition_states import Outgoing, PartitionStates
from streams.records.partitions import partitions_of
from streams.records.writer import OutputRecord, OutputRecords, written_headers

KIND: Final = "kind"
CLAIM, TRANSFER = "claim", "transfer"
TIME, SENT = "time", "sent"
"""Headers: when the event happened that claims, and Kafka's time of its record."""
_NUMBER: Final = 8
"""Bytes of a number in a header."""
CLAIMED, JOINED = "claimed", "joined"
"""Kinds of notes: the claims of an anonymous id that wait, and whom its state went to last."""
_NOTES_AT_ONCE: Final = 10_000
_UNDER_WAY_MS: Final = 600_000
"""How much later than a request to forget a claim may be read that was written before it; a worker that starts reads
claims first."""
_log: Final = structlog.get_logger()


class Claim(msgspec.Struct, frozen=True, array_like=True):
    """A user's claim of an anonymous id's state."""

    user_id: str
    time_ms: int
    """When the event happened that claims."""
    sent_ms: int = 0
    """Kafka's time of its record, 0 if it had none."""

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
    forget_topic: str
    partitions: int
    codec: StateCodec
    counts: WorkerCounts
    timings: Timings
    clock_ms: Callable[[], int]
    most_claims: int = 100
    at_once: int = 0
    passes_over_states: bool = False
    asked: dict[frozenset[bytes], tuple[int, bytes]] = field(default_factory=dict)
    """Whose joined ids were asked for of late, by digests: when, and what requests that they be forgotten."""
    _counting: Lock = field(default_factory=Lock)
    """Partitions are counted side by side."""

    def resume(self, states: PartitionStates) -> None:
        """Let the claims wait that waited before the states were restored."""
        if not states.due:
            waiting = ((key, claim.time_ms) for key in states.notes(CLAIMED) for claim in _waiting(states, key))
            states.due.extend((states.events_end, key, time_ms) for key, time_ms in waiting)

    def claims(self, fetch: Fetch, batch: EventBatch, rows: npt.NDArray[np.int64]) -> Outgoing | None:
        """Return the claims that rows of a fetch's batch make, None if there is no row."""
        if not len(rows):
            return None
        claiming, positions = batch.take(rows), batch.positions[rows]
        anonymous_ids = ByteStrings.of([(anonymous_id or "").encode() for anonymous_id in claiming.anonymous_ids])
        times_ms = {TIME: claiming.event_time_ms, SENT: fetch.timestamps_ms[positions]}
        with self._counting:
            self.counts.claims += len(rows)
        return self._outgoing(anonymous_ids, fetch.keys.take(positions), CLAIM, times_ms)

    def apply(self, records: FollowedRecords, states: PartitionStates) -> None:
        """Merge what is transferred; note what is claimed until it is due."""
        kinds = defaultdict[str, list[FollowedRecord]](list)
        for record in records.records:
            kinds[self._kind(record)].append(record)
        self._merge(kinds[TRANSFER], states)
        for record in kinds[CLAIM]:
            self._await_turn(record, records.partition, records.events_end, states)
        self._refuse(records, kinds[STRANGER])

    def joined(self, digests: frozenset[bytes], request: bytes, states: PartitionStates) -> list[bytes]:
        """Return the ids that were handed over, or wait to be, to users whom SHA-256 digests name.

        For a while `request` is made of what else they have claimed: the claim may have been read by nobody yet.
        """
        self.asked[digests] = self.clock_ms(), request
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
            if not for_ids:
                return
            keys = list(for_ids)
            users = Distinct.of(keys)
            slots, found = states.gather(users)
            whys = refusals(found, self.most_claims)
            self._refused(Counter(why for why in whys if why))
            self._refused({NOTHING: sum(map(len, for_ids.values())) - len(keys)})  # who comes later finds nothing left
            if places := [place for place, why in enumerate(whys) if not why]:
                firsts = {keys[place]: for_ids[keys[place]][0] for place in places}
                some = Distinct(users.strings.take(np.array(places)), users.hashes[places], np.arange(len(places)))
                self._hand_over(found[places], firsts, states)
                states.put(some, slots[places], released(found[places]))

    def first_later(self, fetch: Fetch, decode: Decode, states: PartitionStates) -> tuple[int, bytes, int] | None:
        """Return the first record of a fetch that is of a claimed id and happened later; None if there is none.

        That is its place, its id, and the time until which the id's claims precede it.
        """
        batch, _ = decode(fetch.values, fetch.keys)
        earliest_ms = min((time_ms for _, _, time_ms in states.due), default=MAX_EVENT_TIME_MS)
        rows = np.flatnonzero(batch.event_time_ms > earliest_ms)  # of a backlog few, as a rule
        places, times_ms = batch.positions[rows], batch.event_time_ms[rows]
        for place, key, time_ms in zip(places.tolist(), fetch.keys.take(places), times_ms.tolist(), strict=True):
            if key and (waiting := _waiting(states, key)) and waiting[0].time_ms < time_ms:
                return place, key, time_ms - 1
        return None

    def _await_turn(self, claim: FollowedRecord, partition: int, events_end: int, states: PartitionStates) -> None:
        """Let a claim wait until its partition has been dealt with; who is forgotten neither gives nor takes."""
        time_ms, key, user = _number(claim, TIME), claim.key or b"", claim.value or b""
        if is_forgotten(states, key):
            return  # there is nothing to hand over, and the claim would name them
        if (request := self._request_for(user)) is not None:
            states.send(Outgoing.of(self.forget_topic, [(partition, OutputRecord(digest(key), request))]))
            return
        waiting = Claim(user.decode(), time_ms, max(_number(claim, SENT), 0))
        states.note(CLAIMED, key, _encode([*_waiting(states, key), waiting]))
        states.due.append((events_end, key, time_ms))

    def _request_for(self, user: bytes) -> bytes | None:
        """Return what requests that a user's joined ids be forgotten, None unless they were asked for of late."""
        since_ms = self.clock_ms() - _UNDER_WAY_MS
        for digests, (asked_ms, request) in list(self.asked.items()):
            if asked_ms < since_ms:
                self.asked.pop(digests, None)
            elif _any_of([user], digests):
                return request
        return None

    def _hand_over(self, handed: npt.NDArray[np.void], firsts: Mapping[bytes, Claim], states: PartitionStates) -> None:
        """Send states `(ids,)` to those who claimed them first, in the same order, and note who that was."""
        users = ByteStrings.of([claim.user_id.encode() for claim in firsts.values()])
        written = ByteStrings.of_bounds(handed.view(np.uint8), handed.itemsize * np.arange(1, len(handed) + 1))
        sent_ms = np.array([claim.sent_ms for claim in firsts.values()])
        states.send(self._outgoing(users, written, TRANSFER, {SENT: sent_ms}))
        for key, claim in firsts.items():
            states.note(JOINED, key, None)  # the order of the notes is that of the claims
            states.note(JOINED, key, _encode(claim))

    def _merge(self, transfers: Sequence[FollowedRecord], states: PartitionStates) -> None:
        """Merge states into their users'; of one user's, one after the other."""
        waiting = [record for record in transfers if not is_forgotten(states, record.key)]
        if not waiting:
            return
        keys, sources = [record.key for record in waiting], self.codec.gather([record.value for record in waiting])
        left = np.arange(len(waiting))
        while len(left):
            users = Distinct.of([keys[place] for place in left])
            _, firsts = np.unique(users.index, return_index=True)  # of each user, in the users' order
            slots, targets = states.gather(users)
            merge(targets, sources[left[firsts]])
            states.put(users, slots, targets)
            left = np.delete(left, firsts)
        self._count_merges(waiting)

    def _count_merges(self, transfers: Sequence[FollowedRecord]) -> None:
        now_ms, sent_ms = self.clock_ms(), np.array([_number(record, SENT) for record in transfers])
        with self._counting:
            self.counts.merges += len(transfers)
            self.timings.log_in_to_merge.add_all(np.maximum(now_ms - sent_ms[sent_ms > 0], 0) / 1000)

    def _kind(self, record: FollowedRecord) -> str:
        """Return what a record is, STRANGER if it cannot be applied."""
        kind = header_text(record.headers, KIND)
        try:
            if not record.key or not record.value:
                return STRANGER
            record.key.decode()
            if kind == CLAIM:
                return CLAIM if record.value.decode() and _number(record, TIME) >= 0 else STRANGER
            if kind == TRANSFER:
                if not self.codec.is_current(record.value):
                    self.codec.gather([record.value])  # of another model or an earlier version, perhaps
                return TRANSFER
        except (UnicodeDecodeError, StateLayoutError):
            pass
        return STRANGER

    def _refuse(self, records: FollowedRecords, strangers: Sequence[FollowedRecord]) -> None:
        if strangers:
            self._refused({STRANGER: len(strangers)})
            _log.warning(
                "ignored records that no worker of this version wrote",
                topic=records.topic,
                partition=records.partition,
                offset=strangers[-1].offset,
                count=len(strangers),
            )

    def _refused(self, reasons: Mapping[str, int]) -> None:
        with self._counting:
            self.counts.claims_refused.update({reason: count for reason, count in reasons.items() if count})

    def _outgoing(
        self, keys: ByteStrings, values: ByteStrings, kind: str, numbers: Mapping[str, npt.NDArray[np.int64]]
    ) -> Outgoing:
        records = OutputRecords(keys, values, _header_columns(kind, numbers))
        return Outgoing(self.topic, partitions_of(keys, self.partitions), records)


def _header_columns(kind: str, numbers: Mapping[str, npt.NDArray[np.int64]]) -> ByteStrings:
    """Return headers: the kind, and numbers by name, of as many bytes each as a big-endian 64-bit integer."""
    blank = written_headers([(KIND, kind), *((name, bytes(_NUMBER)) for name in numbers)])
    rows = np.tile(np.frombuffer(blank, np.uint8), (len(next(iter(numbers.values()))), 1))  # (records, bytes)
    end = rows.shape[1]
    for name, column in reversed(list(numbers.items())):
        rows[:, end - _NUMBER : end] = column.astype(">i8")[:, None].view(np.uint8)
        end -= _NUMBER + len(written_headers([(name, b"")])) - 1  # but for the number of headers
    return ByteStrings.of_bounds(rows.reshape(-1), rows.shape[1] * np.arange(1, len(rows) + 1))


def _number(record: FollowedRecord, name: str) -> int:
    """Return the number in a header, -1 if there is none."""
    value = record.headers.get(name) or b""
    return int.from_bytes(value, "big", signed=True) if len(value) == _NUMBER else -1


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
