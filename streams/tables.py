"""The sequences table: each user's sequence state, by partition, with a changelog that this module restores.

Faust's own memory store keeps users of revoked partitions and reads a changelog one event at a time (9,200 records a
second); this store is an array per partition and reads with librdkafka. The writes to the changelog are in `lanes`,
because they must be ordered with the delivery of scores.
"""

import asyncio
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import structlog
from faust.stores.base import Store
from faust.types import TP

from model.states import StateCodec
from service.kafka_settings import Topics
from streams.changelog import PartitionReader
from streams.observe.restore import Restore
from streams.published import Published, published_positions

TABLE_NAME: Final = "sequences"
_FIRST_SLOTS: Final = 1024
_RESTORED_AT_ONCE: Final = 10_000
_log: Final = structlog.get_logger()


class PartitionStates:
    """The states of one partition's users, in one array, and how far the partition has been dealt with."""

    def __init__(self, partition: int, restored: "asyncio.Future[None]", codec: StateCodec) -> None:
        self.partition = partition
        self.restored = restored
        self.changelog_end_offset = 0
        """Where the changelog ended at the last rebalance; all before is here, once the states are restored."""
        self.published = Published()
        self.next_offset = 0
        """The source offset after the last one dealt with; 0 before the first fetch."""
        self._codec = codec
        self._slots: dict[bytes, int] = {}
        self._users: list[bytes] = []
        """By slot."""
        self._records = codec.blank(_FIRST_SLOTS)
        self._is_dirty = np.zeros(_FIRST_SLOTS, np.bool_)

    def __len__(self) -> int:
        return len(self._slots)

    def __iter__(self) -> Iterator[bytes]:
        return iter(list(self._slots))

    def record(self, user: bytes) -> npt.NDArray[np.void] | None:
        """Return a copy of a user's record `(1,)`, None for a user who is new."""
        slot = self._slots.get(user)
        return None if slot is None else self._records[slot : slot + 1].copy()

    def gather(self, users: Sequence[bytes]) -> npt.NDArray[np.void]:
        """Return copies of the users' records `(users,)`, blank ones for users who are new."""
        slots = np.array([self._slots.get(user, -1) for user in users], np.int64)
        records = self._records[slots]
        records[slots < 0] = self._codec.blank(1)
        return records

    def scatter(self, users: Sequence[bytes], records: npt.NDArray[np.void], next_offset: int) -> None:
        """Store records after a fetch that ended before `next_offset`; the changelog does not have them yet."""
        slots = self._store(users, records)  # before `_is_dirty` is read: it may grow
        self._is_dirty[slots] = True
        self.next_offset = next_offset

    def restore(self, values: dict[bytes, bytes]) -> None:
        """Store the values of a changelog, and empty `values`; raises StateLayoutError."""
        while values:
            some = [values.popitem() for _ in range(min(len(values), _RESTORED_AT_ONCE))]
            self._store([user for user, _ in some], self._codec.gather([value for _, value in some]))

    def take_dirty(self) -> dict[bytes, bytes]:
        """Return the states that the changelog does not have, as they are now, and consider them written."""
        slots = np.flatnonzero(self._is_dirty)
        self._is_dirty[slots] = False
        users = [self._users[slot] for slot in slots.tolist()]
        return dict(zip(users, self._codec.scatter(self._records[slots]), strict=True))

    def mark_dirty(self, users: Iterable[bytes]) -> None:
        """Take back that these users' states were written."""
        self._is_dirty[[self._slots[user] for user in users]] = True

    def _store(self, users: Sequence[bytes], records: npt.NDArray[np.void]) -> npt.NDArray[np.int64]:
        slots = np.array([self._slots.get(user, -1) for user in users], np.int64)
        for place in np.flatnonzero(slots < 0).tolist():
            slots[place] = self._slots[users[place]] = len(self._users)
            self._users.append(users[place])
        while len(self._users) > len(self._records):
            self._records = np.concatenate([self._records, self._codec.blank(len(self._records))])
            self._is_dirty = np.concatenate([self._is_dirty, np.zeros(len(self._is_dirty), np.bool_)])
        self._records[slots] = records
        return slots


class SequenceStore(Store[bytes, bytes]):
    """Storage of the sequences table; a mapping from user id to state over all partitions that this worker owns."""

    def __init__(
        self,
        *args: Any,  # noqa: ANN401 - Faust's own arguments
        client_config: Mapping[str, Any],
        topics: Topics,
        codec: StateCodec,
        restore: Restore | None = None,
        **kwargs: Any,  # noqa: ANN401
    ) -> None:
        super().__init__(*args, **kwargs)
        self.restore = restore or Restore()
        self.partitions: dict[int, PartitionStates] = {}
        self._client_config = client_config
        self._topics = topics
        self._codec = codec
        self._generation = -1
        self._restoring: asyncio.Task[None] | None = None

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
            if partition not in owned or missed_a_generation or not states.restored.done():
                del self.partitions[partition]
        bounds = await asyncio.to_thread(self._changelog_bounds, sorted(owned))
        loop = asyncio.get_running_loop()
        new = [
            PartitionStates(partition, loop.create_future(), self._codec) for partition in owned - set(self.partitions)
        ]
        self.partitions.update((states.partition, states) for states in new)
        for partition, (_, end) in bounds.items():
            self.partitions[partition].changelog_end_offset = end
        self.restore.begin(
            {states.partition: bounds[states.partition][1] - bounds[states.partition][0] for states in new}
        )
        self._restoring = loop.create_task(self._restore(new))

    async def on_stop(self) -> None:
        self._stop_restoring()

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
            return published_positions(reader, self._topics, partition)
        finally:
            reader.close()

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
