"""The sequences table: each user's sequence state, by partition, with a changelog that this module restores.

Faust's own memory store keeps users of revoked partitions and reads a changelog one event at a time (9,200 records a
second); this store is an array per partition and reads with librdkafka. The writes to the changelog are in `lanes`,
because they must be ordered with the delivery of scores.
"""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from threading import Lock
from typing import Any, Final, cast

import structlog
from faust.stores.base import Store
from faust.types import TP

from model.states import StateCodec
from service.forget import request_of
from service.kafka_settings import Topics
from service.signatures import NO_SIGNATURES, Signatures
from streams.changelog import PartitionReader, committed_offset
from streams.fenced import ChangelogWriter
from streams.following import read_followed
from streams.growth import settle_in
from streams.observe.restore import Restore
from streams.partition_states import PartitionStates
from streams.published import Published, published_positions

TABLE_NAME: Final = "sequences"
_PATIENCE_SECONDS: Final = 15.0
_log: Final = structlog.get_logger()


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
        partitions: int = 0,
        restore: Restore | None = None,
        **kwargs: Any,  # noqa: ANN401
    ) -> None:
        """`source_code` is the hash by which states know the events topic.

        With `recommends`, recommendations that are published already are looked for as well. What the `followed` topics
        hold is read with the states, to be applied in this order. `partitions` is how many there are now; 0: nobody
        asks.
        """
        super().__init__(*args, **kwargs)
        self._source_code = source_code
        self._signatures = signatures
        self._recommends = recommends
        self._followed = followed
        self._partitions = partitions
        self._asked: dict[bytes, int] | None = None
        self._asking = Lock()
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
        self._asked = None
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
        waiting = asyncio.get_running_loop().create_task(_tell_of_waiting(restoring))
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
        finally:
            waiting.cancel()
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
            # The last is read first, so that it holds nothing that came of what the ones before do not hold yet.
            arrived = [
                read_followed(reader, topic, partition, states.position(topic), self._topics.events)
                for topic in reversed(self._followed)
            ]
            states.arrived = arrived[::-1]
            if self._partitions:
                settle_in(states, self._partitions, lambda: self._asked_everywhere(reader))
            states.events_end = reader.bounds(self._topics.events, partition)[1]
            committed = committed_offset(self._client_config, self._topics.prefix, self._topics.events, partition)
            states.committed = max(committed, 0)
            seen = max(states.last_offset(self._source_code), states.last_left_out(self._source_code))
            is_known = seen >= 0 if len(states) else None
            published = published_positions(
                reader, self._topics, partition, is_known, self._signatures, recommends=self._recommends
            )
            if is_known is not False:  # else the states, and perhaps the commit, are of a topic that is no more
                seen = max(seen, published.last_score, published.last_dead_letter)
                self._tell_of_skipped(reader, partition, seen, committed)
            return published
        finally:
            reader.close()

    def _asked_everywhere(self, reader: PartitionReader) -> Mapping[bytes, int]:
        """Return when each digest on the forget topic was asked for last; read once for all that is restored now."""
        with self._asking:
            if self._asked is None:
                self._asked = {}
                for partition in range(self._partitions):
                    for message in reader.records(self._topics.forget, partition):
                        if (request := request_of(message.key(), message.value())) is not None:
                            self._asked[bytes.fromhex(request[0].decode())] = request[1].requested_at
            return self._asked

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


async def _tell_of_waiting(restoring: list[PartitionStates]) -> None:
    """Say so if Kafka, which may answer everything else, lets nobody write states; the wait goes on."""
    await asyncio.sleep(_PATIENCE_SECONDS)
    if waiting := [states.partition for states in restoring if not states.changelog.is_started]:
        _log.warning(
            "waiting for Kafka to begin transactions: `cartcast doctor` says what they need",
            partitions=sorted(waiting),
            seconds=_PATIENCE_SECONDS,
        )
