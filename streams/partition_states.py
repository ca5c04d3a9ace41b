"""One partition's states and what is kept beside them, in memory as in the changelog."""

import asyncio
import threading
from collections import defaultdict, deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import numpy.typing as npt

from model.core.byte_strings import ByteStrings
from model.core.slots import Distinct, Slots, grown
from model.states import StateCodec
from streams.fenced import ChangelogWriter
from streams.following import FollowedRecords
from streams.published import Published
from streams.records.writer import OutputRecord, OutputRecords

NOTE: Final = b"\xff"
"""What the keys begin with under which a changelog keeps other things than states: never a byte of UTF-8."""
_POSITION: Final = "position"
_LEFT_OUT: Final = "left-out"
_RESTORED_AT_ONCE: Final = 10_000


@dataclass(frozen=True, slots=True)
class Outgoing:
    """Records for other partitions, to be written in one transaction with the states that they come from."""

    topic: str
    partitions: npt.NDArray[np.int64]
    """Of each record."""
    records: OutputRecords

    @classmethod
    def of(cls, topic: str, records: Sequence[tuple[int, OutputRecord]]) -> "Outgoing":
        """Make columns of records and their partitions."""
        partitions = np.array([partition for partition, _ in records], np.int64)
        return cls(topic, partitions, OutputRecords.of([record for _, record in records]))


@dataclass(frozen=True, slots=True)
class Dirty:
    """States that the changelog does not have, and what is to be written with them."""

    slots: npt.NDArray[np.int64]
    users: ByteStrings
    values: ByteStrings
    next_offset: int
    """Up to where they come."""
    notes: Mapping[bytes, bytes | None] = field(default_factory=dict)
    """Further records of the changelog, None for a tombstone; they stand before the states."""
    outgoing: Sequence[Outgoing] = ()

    @property
    def size(self) -> int:
        """Bytes of the states, of what goes to other partitions, and of the notes."""
        outgoing = sum(len(each.records.values.buffer) for each in self.outgoing)
        notes = sum(len(key) + len(value or b"") for key, value in self.notes.items())
        return len(self.values.buffer) + outgoing + notes


class PartitionStates:
    """The states of one partition's users, in one array, and how far the partition has been dealt with."""

    def __init__(
        self, partition: int, restored: "asyncio.Future[None]", codec: StateCodec, changelog: ChangelogWriter
    ) -> None:
        self.partition = partition
        self.changelog = changelog
        self.is_lost = False
        """Whether another worker has taken over the partition, as Kafka has told who writes the changelog."""
        self.restored = restored
        self.changelog_end_offset = 0
        """Where the changelog ended at the last rebalance; all before is here, once the states are restored."""
        self.published = Published()
        self.next_offset = 0
        """The source offset after the last one dealt with; 0 before the first fetch."""
        self._codec = codec
        self.arrived: list[FollowedRecords] = []
        """What the followed topics held, when the states were restored, that these have not seen."""
        self.committed = 0
        """The source offset that the group had committed when the states were restored."""
        self.events_end = 0
        """Where the events topic's partition ended when the states were restored."""
        self.passed = 0
        """The source offset before which there is nothing more to deal with, as Kafka was asked."""
        self.swept = 0
        """How far the partition had been dealt with at the last sweep."""
        self.moving_until_ms = 0
        """When what lies here of shoppers who are in another partition now is let go; 0 if that is not known yet."""
        self.forgotten_elsewhere: Mapping[bytes, int] = {}
        """The requests to forget in any partition that were seen when partitions had been added."""
        self.due: deque[tuple[int, bytes, int]] = deque()
        """Claimed ids, each with the source offset before which its events count, and a time until which they do."""
        self.lock = threading.RLock()
        """States are stored by a scoring thread, and taken and looked up by the event loop; whoever holds it changes
        several things as one."""
        self._slots = Slots()
        self._bytes = np.empty(0, np.dtype((np.void, codec.dtype.itemsize)))
        """The records by slot, as is the next; numpy copies records of a structured array field by field."""
        self._is_dirty = np.empty(0, np.bool_)
        self._is_urgent = np.empty(0, np.bool_)
        """Dirty states that outgoing records, or records of followed topics that were applied, belong to."""
        self._notes = defaultdict[str, dict[bytes, bytes]](dict)
        self._unwritten_notes: dict[bytes, bytes | None] = {}
        self._outgoing: list[Outgoing] = []
        self._looked_at = 0
        """The slot up to which it was last looked who has not been seen for long."""

    def __len__(self) -> int:
        return len(self._slots)

    def __iter__(self) -> Iterator[bytes]:
        with self.lock:
            return iter([user for user in self._slots.users if user is not None])

    def last_offset(self, source_code: int) -> int:
        """Return the highest offset of that source that a state has seen, -1 for none."""
        with self.lock:
            sequences = self._bytes[: self._slots.end].view(self._codec.dtype)["sequence"]
            return int(sequences["offset"][sequences["source"] == source_code].max(initial=-1))

    def leave_out(self, source_code: int, offset: int) -> None:
        """Note that of an event at this offset nothing comes, so that no state tells that it was dealt with."""
        self.note(_LEFT_OUT, b"%d" % source_code, b"%d" % offset)

    def last_left_out(self, source_code: int) -> int:
        """Return the offset of the last such event, -1 for none."""
        return int(self.notes(_LEFT_OUT).get(b"%d" % source_code, -1))

    def record(self, user: bytes) -> npt.NDArray[np.void] | None:
        """Return a copy of a user's record `(1,)`, None for a user who is new."""
        with self.lock:
            slot = self._slots.slot(user)
            return None if slot < 0 else self._bytes[slot : slot + 1].copy().view(self._codec.dtype)

    def find(self, users: Distinct) -> npt.NDArray[np.int64]:
        """Return the users' slots, -1 for who is new."""
        return self._slots.find(users)

    def gather(self, users: Distinct) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.void]]:
        """Return the users' slots, -1 for who is new, and copies of their records `(users,)`, blank for who is new.

        For the one who stores them again with `scatter`, before anybody else does.
        """
        slots = self._slots.find(users)
        if not len(self._bytes):
            return slots, self._codec.blank(len(slots))
        records = self._bytes[slots]  # of who is new, those of anybody
        records[slots < 0] = self._codec.blank(1).view(records.dtype)
        return slots, records.view(self._codec.dtype)

    def scatter(  # noqa: PLR0913, PLR0917 - what comes of a fetch
        self,
        users: Distinct,
        slots: npt.NDArray[np.int64],
        records: npt.NDArray[np.void],
        next_offset: int,
        outgoing: Outgoing | None = None,
        senders: npt.NDArray[np.int64] | None = None,
    ) -> None:
        """Store records after a fetch that ended before `next_offset`; the changelog does not have them yet.

        `outgoing` records are made from the states of the users at the places `senders`.
        """
        with self.lock:
            stored = self._store(users, slots, records)  # before `_is_dirty` is read: it may grow
            self._is_dirty[stored] = True
            if outgoing is not None:
                self._is_urgent[stored[senders]] = True
                self._outgoing.append(outgoing)
            self.next_offset = next_offset

    def put(self, users: Distinct, slots: npt.NDArray[np.int64], records: npt.NDArray[np.void]) -> None:
        """Store records that something else than events changed, under the lock."""
        stored = self._store(users, slots, records)
        self._is_dirty[stored] = self._is_urgent[stored] = True

    def send(self, outgoing: Outgoing) -> None:
        """Send records in one transaction with the states that are changed under the same hold of the lock."""
        self._outgoing.append(outgoing)

    def note(self, kind: str, key: bytes, value: bytes | None) -> None:
        """Keep something beside the states, or no longer if it is None; its kind is a word."""
        with self.lock:
            self._unwritten_notes[_note_key(kind, key)] = value
            if value is None:
                self._notes[kind].pop(key, None)
            else:
                self._notes[kind][key] = value

    def notes(self, kind: str) -> Mapping[bytes, bytes]:
        """Return what is kept of a kind, by key, as it is and will be."""
        return self._notes[kind]

    def position(self, topic: str) -> int:
        """Return the offset after the last record of a followed topic that these states have seen, 0 for none."""
        return int(self.notes(_POSITION).get(_name(topic), 0))

    @contextmanager
    def follow(self, records: FollowedRecords) -> Iterator[FollowedRecords | None]:
        """Let the body apply the records that these states have not seen, None if they have seen them all.

        What it changes, and that they are seen now, go to the changelog in one transaction.
        """
        with self.lock:
            yield records.since(self.position(records.topic))
            if records.next_offset > self.position(records.topic):
                self.note(_POSITION, _name(records.topic), b"%d" % records.next_offset)

    @property
    def dealt_with(self) -> int:
        """The source offset up to which this owner and those before have dealt with the partition."""
        return max(self.next_offset, self.committed, self.passed)

    def state_bytes(self, states: int) -> int:
        """Return how many bytes so many states have."""
        return states * self._codec.dtype.itemsize

    @property
    def has_outgoing(self) -> bool:
        """Whether another partition waits for something that is not written yet."""
        return bool(self._outgoing)

    def restore(self, values: dict[bytes, bytes]) -> None:
        """Store the values of a changelog, and empty `values`; raises StateLayoutError."""
        for written in [key for key in values if key.startswith(NOTE)]:
            kind, _, key = written.removeprefix(NOTE).partition(b" ")
            self._notes[kind.decode()][key] = values.pop(written)
        while values:
            some = [values.popitem() for _ in range(min(len(values), _RESTORED_AT_ONCE))]
            users = Distinct.of([user for user, _ in some])
            self._store(users, self._slots.find(users), self._codec.gather([value for _, value in some]))

    def remove(self, users: Sequence[bytes]) -> int:
        """Empty users' states, here and with the next write in the changelog; returns how many had one.

        For the one who scores this partition, between two fetches: not between a `gather` and its `scatter`.
        """
        with self.lock:
            slots = self._slots.find(Distinct.of(users))
            self._remove(slots[slots >= 0])
            self._slots.compact()
        return int((slots >= 0).sum())

    def expire(self, unseen_since_ms: int, slots_at_once: int) -> int:
        """Empty the states of those users who were last seen before, among the next slots; returns how many.

        After the last slot comes the first again. For the one who scores this partition, as `remove`.
        """
        with self.lock:
            begin = self._looked_at if self._looked_at < self._slots.end else 0
            self._looked_at = min(begin + slots_at_once, self._slots.end)
            last_ms = self._bytes[begin : self._looked_at].view(self._codec.dtype)["sequence"]["last_time_ms"]
            is_used = self._slots.users.spans[begin : self._looked_at, 0] >= 0
            unseen = begin + np.flatnonzero(is_used & (last_ms < unseen_since_ms))
            self._remove(unseen)
        return len(unseen)

    def _remove(self, slots: npt.NDArray[np.int64]) -> None:
        """Free slots, and note tombstones: should the users come back before these are written, their states follow."""
        self._unwritten_notes.update((user, None) for user in self._slots.users.take(slots) if user is not None)
        self._slots.remove(slots)
        self._is_dirty[slots] = self._is_urgent[slots] = False
        self._bytes[slots] = np.zeros(1, self._bytes.dtype)

    def take_dirty(self, *, urgent: bool = False) -> Dirty:
        """Return the states that the changelog does not have, as they are now, and consider them written.

        Only those that outgoing records or followed ones belong to, if it is `urgent`.
        """
        with self.lock:
            slots = np.flatnonzero((self._is_urgent if urgent else self._is_dirty)[: self._slots.end])
            self._is_dirty[slots] = self._is_urgent[slots] = False
            values, next_offset = self._bytes[slots], self.next_offset
            users = self._slots.users.take(slots)
            notes, self._unwritten_notes = self._unwritten_notes, {}
            outgoing, self._outgoing = self._outgoing, []
        ends = self._codec.dtype.itemsize * np.arange(1, len(slots) + 1)
        values_of = ByteStrings.of_bounds(values.view(np.uint8), ends)
        return Dirty(slots, users, values_of, next_offset, notes, outgoing)

    def mark_dirty(self, dirty: Dirty) -> None:
        """Take back that these were written; for what has certainly not been."""
        with self.lock:
            slots = dirty.slots[self._slots.users.spans[dirty.slots, 0] >= 0]  # but for users who were removed since
            self._is_dirty[slots] = True
            self._is_urgent[slots] |= bool(dirty.outgoing or dirty.notes)
            self._unwritten_notes = {**dirty.notes, **self._unwritten_notes}
            self._outgoing = [*dirty.outgoing, *self._outgoing]

    def _store(
        self, users: Distinct, slots: npt.NDArray[np.int64], records: npt.NDArray[np.void]
    ) -> npt.NDArray[np.int64]:
        """Store records; returns the slots, of which those who are new get one."""
        known = self._slots.end
        slots = self._slots.add(users, slots)
        if (end := self._slots.end) > len(self._bytes):
            self._bytes = grown(self._bytes, end)
            self._is_dirty = grown(self._is_dirty, end)
            self._is_urgent = grown(self._is_urgent, end)
        self._is_dirty[known:end] = self._is_urgent[known:end] = False
        self._bytes[slots] = records.view(self._bytes.dtype)
        return slots


def _note_key(kind: str, key: bytes) -> bytes:
    return NOTE + kind.encode() + b" " + key


def _name(topic: str) -> bytes:
    """Return a topic's name without the prefix."""
    return topic.rpartition(".")[2].encode()
