"""The sequences table: each user's sequence state, by partition, with a changelog that this module restores.

Faust's own memory store keeps users of revoked partitions and reads a changelog one event at a time (9,200 records a
second); this store is a dict a partition and reads with librdkafka. The writes to the changelog are in `lanes`,
because they must be ordered with the delivery of scores.
"""

import asyncio
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

import structlog
from faust.stores.base import Store
from faust.types import TP

from service.kafka_settings import Topics
from streams.changelog import PartitionReader
from streams.observe.restore import Restore
from streams.published import Published, published_positions

TABLE_NAME: Final = "sequences"
_log: Final = structlog.get_logger()


class PartitionStates:
    """The states of one partition's users, and how far the partition has been dealt with."""

    def __init__(self, partition: int, restored: "asyncio.Future[None]") -> None:
        self.partition = partition
        self.restored = restored
        self.changelog_end_offset = 0
        """Where the changelog ended at the last rebalance; all before is in `values`, once they are restored."""
        self.values: dict[bytes, bytes] = {}
        self.published = Published()
        self.next_offset = 0
        """The source offset after the last one dealt with; 0 before the first fetch."""
        self._dirty: set[bytes] = set()

    def gather(self, users: Sequence[bytes]) -> list[bytes | None]:
        """Return the users' states, None for a user who is new."""
        return list(map(self.values.get, users))

    def scatter(self, users: Sequence[bytes], states: Sequence[bytes], next_offset: int) -> None:
        """Store states after a fetch that ended before `next_offset`; the changelog does not have them yet."""
        self.values.update(zip(users, states, strict=True))
        self._dirty.update(users)
        self.next_offset = next_offset

    def take_dirty(self) -> dict[bytes, bytes]:
        """Return the states that the changelog does not have, as they are now, and consider them written."""
        dirty, self._dirty = self._dirty, set()
        return {user: self.values[user] for user in dirty}

    def mark_dirty(self, users: Iterable[bytes]) -> None:
        """Take back that these users' states were written."""
        self._dirty.update(users)


class SequenceStore(Store[bytes, bytes]):
    """Storage of the sequences table; a mapping from user id to state over all partitions that this worker owns."""

    def __init__(
        self,
        *args: Any,  # noqa: ANN401 - Faust's own arguments
        client_config: Mapping[str, Any],
        topics: Topics,
        restore: Restore | None = None,
        **kwargs: Any,  # noqa: ANN401
    ) -> None:
        super().__init__(*args, **kwargs)
        self.restore = restore or Restore()
        self.partitions: dict[int, PartitionStates] = {}
        self._client_config = client_config
        self._topics = topics
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
        new = [PartitionStates(partition, loop.create_future()) for partition in owned - set(self.partitions)]
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
            for states in restoring:
                states.values, states.published = await asyncio.to_thread(self._read, states.partition)
                states.restored.set_result(None)
        except Exception as failure:  # noqa: BLE001 - without its states this worker must not go on, whatever it is
            await self.app.crash(failure)
            return
        self.restore.end()
        _log.info(
            "ready",
            partitions=sorted(self.partitions),
            users=sum(len(states.values) for states in self.partitions.values()),
            generation=self._generation,
        )

    def _changelog_bounds(self, partitions: list[int]) -> dict[int, tuple[int, int]]:
        reader = PartitionReader(self._client_config)
        try:
            return {partition: reader.bounds(self._topics.changelog, partition) for partition in partitions}
        finally:
            reader.close()

    def _read(self, partition: int) -> tuple[dict[bytes, bytes], Published]:
        reader = PartitionReader(self._client_config, self.restore.on_records)
        try:
            values = reader.restore(self._topics.changelog, partition, self.restore.progress(partition))
            return values, published_positions(reader, self._topics, partition)
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

    def _values_of(self, user: object) -> dict[bytes, bytes]:
        for states in self.partitions.values():
            if user in states.values:
                return states.values
        raise KeyError(user)

    def __getitem__(self, user: bytes) -> bytes:
        return self._values_of(user)[user]

    def __setitem__(self, user: bytes, state: bytes) -> None:
        raise TypeError("states are written by lanes, which know the partition and order the changelog")

    def __delitem__(self, user: bytes) -> None:
        raise TypeError("states are written by lanes, which know the partition and order the changelog")

    def __iter__(self) -> Iterator[bytes]:
        for states in self.partitions.values():
            yield from states.values

    def __len__(self) -> int:
        return sum(len(states.values) for states in self.partitions.values())

    def __contains__(self, user: object) -> bool:
        return any(user in states.values for states in self.partitions.values())
