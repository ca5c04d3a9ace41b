"""The sequences table: each user's sequence state, by partition, with a changelog that this module restores.

Faust's own memory store keeps users of revoked partitions and reads a changelog one event at a time (9,200 records a
second); this store is an array per partition and reads with librdkafka. The writes to the changelog are in `lanes`,
because they must be ordered with the delivery of scores.
"""

import asyncio
import threading
from collections import defaultdict, deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final, cast

import numpy as np
import numpy.typing as npt
import structlog
from faust.stores.base import Store
from faust.types import TP

from model.core.byte_strings import ByteStrings
from model.core.slots import Distinct, Slots, grown
from model.states import StateCodec
from service.kafka_settings import Topics
from service.signatures import NO_SIGNATURES, Signatures
from streams.changelog import PartitionReader, committed_offset
from streams.fenced import ChangelogWriter
from streams.following import FollowedRecords, read_followed
from streams.observe.restore import Restore
from streams.published import Published, published_positions
from streams.records.writer import OutputRecord

TABLE_NAME: Final = "sequences"
NOTE: Final = b"\xff"
"""What the keys begin with under which a changelog keeps other things than states: never a byte of UTF-8."""
_POSITION: Final = "position"
_LEFT_OUT: Final = "left-out"
_RESTORED_AT_ONCE: Final = 10_000
_log: Final = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A record for another partition, to be written in one transaction with the states that it comes from."""

    topic: str
    partition: int
    record: OutputRecord


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
        self._swept = 0
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
        outgoing: Sequence[Outgoing] = (),
        senders: npt.NDArray[np.int64] | None = None,
    ) -> None:
        """Store records after a fetch that ended before `next_offset`; the changelog does not have them yet.

        `outgoing` records are made from the states of the users at the places `senders`.
        """
        with self.lock:
            stored = self._store(users, slots, records)  # before `_is_dirty` is read: it may grow
            self._is_dirty[stored] = True
            if senders is not None:
                self._is_urgent[stored[senders]] = True
            self._outgoing += outgoing
            self.next_offset = next_offset

    def put(self, users: Distinct, slots: npt.NDArray[np.int64], records: npt.NDArray[np.void]) -> None:
        """Store records that something else than events changed, under the lock."""
        stored = self._store(users, slots, records)
        self._is_dirty[stored] = self._is_urgent[stored] = True

    def send(self, outgoing: Iterable[Outgoing]) -> None:
        """Send records in one transaction with the states that are changed under the same hold of the lock."""
        self._outgoing += outgoing

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
        return max(self.next_offset, self.committed)

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
            begin = self._swept if self._swept < self._slots.end else 0
            self._swept = min(begin + slots_at_once, self._slots.end)
            last_ms = self._bytes[begin : self._swept].view(self._codec.dtype)["sequence"]["last_time_ms"]
            is_used = self._slots.users.spans[begin : self._swept, 0] >= 0
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


class SequenceStore(Store[bytes, bytes]):
    """Storage of the sequences table; a mapping from user id to state over all partitions that this worker owns."""

    def __init__(  # noqa: PLR0913 - beside what Faust gives
        self,
        *args: Any,  # noqa: ANN401 - Faust's own arguments
        client_config: Mapping[str, Any],
        topics: Topics,
        codec: StateCodec,
        source_code: int = 0,
        signatures: Signatures = NO_SIGNATURES,
        recommends: bool = False,
        followed: Sequence[str] = (),
        restore: Restore | None = None,
        **kwargs: Any,  # noqa: ANN401
    ) -> None:
        """`source_code` is the hash by which states know the events topic.

        With `recommends`, recommendations that are published already are looked for as well. What the `followed` topics
        hold is read with the states.
        """
        super().__init__(*args, **kwargs)
        self._source_code = source_code
        self._signatures = signatures
        self._recommends = recommends
        self._followed = followed
        self.restore = restore or Restore()
        self.partitions: dict[int, PartitionStates] = {}
        self._client_config = client_config
        self._topics = topics
        self._codec = codec
        self._generation = -1
        self._restoring: asyncio.Task[None] | None = None
        self._closing = set[asyncio.Task[None]]()

    @property
    def restored(self) -> bool:
        """Whether every state of every partition that this worker owns is here."""
        return all(states.restored.done() for states in list(self.partitions.values()))

    def persisted_offset(self, tp: TP) -> int | None:
        """Tell Faust's recovery that there is nothing left for it to read."""
        states = self.partitions.get(tp.partition)
        return None if states is None else states.changelog_end_offset - 1

    async def on_rebalance(
        self, assigned: set[TP], revoked: set[TP], newly_assigned: set[TP], generation_id: int = 0
    ) -> None:
        """Forget partitions that are gone and begin to restore new ones; does not wait until they are restored.

        If the group has gone through a generation without this worker, another one may have owned its partitions in
        between, and nothing that is in memory can be trusted.
        """
        del revoked, newly_assigned
        owned = {tp.partition for tp in assigned if tp.topic == self._topics.events}
        missed_a_generation = generation_id != self._generation + 1
        self._generation = generation_id
        self._stop_restoring()
        for partition, states in list(self.partitions.items()):
            if partition not in owned or missed_a_generation or states.is_lost or not states.restored.done():
                del self.partitions[partition]
                self._close(states)
        bounds = await asyncio.to_thread(self._changelog_bounds, sorted(owned))
        loop = asyncio.get_running_loop()
        new = [
            PartitionStates(
                partition,
                loop.create_future(),
                self._codec,
                ChangelogWriter(self._client_config, self._topics, partition),
            )
            for partition in owned - set(self.partitions)
        ]
        self.partitions.update((states.partition, states) for states in new)
        for partition, (_, end) in bounds.items():
            self.partitions[partition].changelog_end_offset = end
        self.restore.begin(
            {states.partition: bounds[states.partition][1] - bounds[states.partition][0] for states in new}
        )
        self._restoring = loop.create_task(self._restore(new))

    async def on_stop(self) -> None:
        """Stop restoring, and close what writes changelogs: the last commit is behind."""
        self._stop_restoring()
        for states in self.partitions.values():
            self._close(states)
        if self._closing:
            await asyncio.wait(self._closing)

    def _close(self, states: PartitionStates) -> None:
        closing = asyncio.get_running_loop().create_task(states.changelog.close())
        self._closing.add(closing)
        closing.add_done_callback(self._closing.discard)

    def _stop_restoring(self) -> None:
        if self._restoring is not None:
            self._restoring.cancel()
            self._restoring = None

    async def _restore(self, restoring: list[PartitionStates]) -> None:
        try:
            for reading in asyncio.as_completed([self._read_partition(states) for states in restoring]):
                states = await reading
                left = len(restoring) - sum(each.restored.done() for each in restoring)
                if left == 1:
                    self.restore.end()
                states.restored.set_result(None)
        except Exception as failure:  # noqa: BLE001 - without its states this worker must not go on, whatever it is
            await self.app.crash(failure)
            return
        _log.info(
            "ready",
            partitions=sorted(self.partitions),
            users=len(self),
            generation=self._generation,
        )

    async def _read_partition(self, states: PartitionStates) -> PartitionStates:
        await states.changelog.start()  # first: from now on nothing is written behind what is read
        states.published = await asyncio.to_thread(self._read, states)
        return states

    def _changelog_bounds(self, partitions: list[int]) -> dict[int, tuple[int, int]]:
        reader = PartitionReader(self._client_config)
        try:
            return {partition: reader.bounds(self._topics.changelog, partition) for partition in partitions}
        finally:
            reader.close()

    def _read(self, states: PartitionStates) -> Published:
        """Restore a partition's states; return how far its results are published."""
        reader, partition = PartitionReader(self._client_config, self.restore.on_records), states.partition
        try:
            states.restore(reader.restore(self._topics.changelog, partition, self.restore.progress(partition)))
            states.arrived = [
                read_followed(reader, topic, partition, states.position(topic), self._topics.events)
                for topic in self._followed
            ]
            states.events_end = reader.bounds(self._topics.events, partition)[1]
            committed = committed_offset(self._client_config, self._topics.prefix, self._topics.events, partition)
            states.committed = max(committed, 0)
            seen = max(states.last_offset(self._source_code), states.last_left_out(self._source_code))
            is_known = seen >= 0 if len(states) else None
            published = published_positions(
                reader, self._topics, partition, is_known, self._signatures, recommends=self._recommends
            )
            if is_known:
                seen = max(seen, published.last_score, published.last_dead_letter)
                self._tell_of_skipped(reader, partition, seen, committed)
            return published
        finally:
            reader.close()

    def _tell_of_skipped(self, reader: PartitionReader, partition: int, seen: int, committed: int) -> None:
        """Say which events after the offset `seen` the group's commit leaves out, as one that somebody else made does.

        This application commits nothing that is neither in a state nor a dead letter.
        """
        topic = self._topics.events
        if (first := reader.first_record(topic, partition, seen + 1, committed)) is None:
            return
        skipped = committed - (first.offset() or 0)
        cast("Any", self.app).counts.skipped += skipped
        _log.error(
            "a commit that is not this application's skips records: they are not scored",
            topic=topic,
            partition=partition,
            first_offset=first.offset(),
            last_offset=committed - 1,
            records=skipped,
        )

    def apply_changelog_batch(self, batch: Any, to_key: Any, to_value: Any) -> None:  # noqa: ANN401 - Faust's signature
        """Take changelog records that arrived after the restore began; the restore reads them as well."""

    def reset_state(self) -> None:
        self._clear()

    async def backup_partition(self, tp: Any, flush: bool = True, purge: bool = False, keep: int = 1) -> None:  # noqa: ANN401
        """Do nothing: the changelog is the backup."""

    def restore_backup(self, tp: Any, latest: bool = True, backup_id: int = 0) -> None:  # noqa: ANN401
        """Do nothing: the changelog is the backup."""

    def _clear(self) -> None:
        self.partitions.clear()

    def __getitem__(self, user: bytes) -> bytes:
        for states in self.partitions.values():
            if (record := states.record(user)) is not None:
                return record.tobytes()
        raise KeyError(user)

    def __setitem__(self, user: bytes, state: bytes) -> None:
        raise TypeError("states are written by lanes, which know the partition and order the changelog")

    def __delitem__(self, user: bytes) -> None:
        raise TypeError("states are written by lanes, which know the partition and order the changelog")

    def __iter__(self) -> Iterator[bytes]:
        for states in self.partitions.values():
            yield from states

    def __len__(self) -> int:
        return sum(map(len, self.partitions.values()))

    def __contains__(self, user: object) -> bool:
        return any(isinstance(user, bytes) and each.record(user) is not None for each in self.partitions.values())
