"""The sink: reads the scores topic, stores it a block at a time, commits.

Around every insert there are two commits, and each does two jobs: the commit before it names the block and confirms
the one before. A commit is checked against the consumer group's generation, so nobody inserts a block of a partition
that has gone to another sink, and whoever gets the partition makes the same block under the same token.
"""

import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from itertools import groupby
from operator import methodcaller
from threading import Event
from typing import Any, Final, cast

import structlog
from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaException, TopicPartition

from service.backoff import Backoff
from service.errors import CommitRefusedError, RowsRefusedError, UnavailableError
from service.kafka import raise_if_refused, reason
from service.liveness import Liveness
from sinks.blocks import Record, insert_in_halves, insert_whole
from sinks.dead_letters import DeadLetters
from sinks.kafka import commit, committed_bookmarks, records_of
from sinks.observe.progress import Progress, SinkCounts
from sinks.partition import BlockLimits, Partition
from sinks.table import ScoresTable, TimedTable

DRAIN_SECONDS: Final = 10.0

_partition_of = methodcaller("partition")
log = structlog.get_logger()


def _nothing_beside(_stop: Event) -> AbstractContextManager[None]:
    return nullcontext()


class Sink:
    """One consumer and one table; everything happens in the thread that calls `run`."""

    def __init__(  # noqa: PLR0913 - everything it works with is given to it
        self,
        consumer: Consumer,
        topic: str,
        table: ScoresTable,
        dead_letters: DeadLetters,
        *,
        topic_id: Callable[[], str],
        limits: BlockLimits,
        read: Callable[[Sequence[Any]], Sequence[Any]] = records_of,
        beside: Callable[[Event], AbstractContextManager[None]] = _nothing_beside,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Take the parts.

        `topic_id` tells this topic from an earlier one of its name; asked for at every assignment. `read` makes records
        with a partition, in order, of the consumer's messages. `beside(stop)` is entered while the sink consumes.
        """
        self.counts = SinkCounts()
        self.liveness = Liveness(clock)
        self._consumer = consumer
        self._topic = topic
        self._table = TimedTable(table, self.counts.insert_seconds, self.liveness, clock)
        self._dead_letters = dead_letters
        self._topic_id = topic_id
        self._limits = limits
        self._read_messages = read
        self._beside = beside
        self._clock = clock
        self._partitions: dict[int, Partition] = {}
        self._stop = Event()
        self._fresh: list[TopicPartition] = []
        self._backoff = Backoff(clock)
        self._progress = Progress(self.counts, clock)

    @property
    def waiting(self) -> bool:
        """Whether Kafka or ClickHouse is away, and the sink waits until it is back."""
        return self._backoff.waiting

    def run(self, stop: Event) -> None:
        """Store scores until `stop` is set, then what has been read; raises RefusedError if waiting will not help."""
        self._stop = stop
        try:
            if self._wait_for_topic_id() is not None:
                self._check_table()
                with self._beside(stop):
                    self._consume()
        finally:
            self._consumer.close()
            self._table.close()
        log.info("stopped", **self.counts.as_dict())

    def _consume(self) -> None:
        self._consumer.subscribe([self._topic], on_assign=self._assigned, on_revoke=self._revoked, on_lost=self._lost)
        while not self._stop.is_set():
            self._read(self._longest_wait())
            self.liveness.turned()  # before an insert that may take long, and after it
            self._store_or_back_off()
            self.liveness.turned()
            self._progress.report()
        self._drain()

    def _wait_for_topic_id(self) -> str | None:
        """Wait for a Kafka that is away; None if the end came first."""
        backoff = Backoff(self._clock)
        while not self._stop.wait(backoff.seconds_left()):
            self.liveness.turned()
            try:
                return self._topic_id()
            except UnavailableError as failure:
                log.warning("waiting", reason=str(failure), pause_seconds=backoff.failed())
        return None

    def _check_table(self) -> None:
        """Fail at once with what would fail at the first block; a ClickHouse that is away may come back."""
        try:
            self._table.check()
        except UnavailableError as failure:
            log.warning("ClickHouse is not available yet", reason=str(failure))

    def _read(self, timeout_seconds: float) -> None:
        since = self._clock()
        try:
            messages = self._consumer.consume(self._limits.fetch_records, timeout_seconds)
        except KafkaException as failure:
            raise_if_refused(failure.args[0])
            log.warning("Kafka reports an error", reason=reason(failure))
            return
        fresh = self._let_fresh_partitions_flow()
        for number, run in groupby(self._read_messages(messages), _partition_of):
            if number in self._partitions and number not in fresh:
                records = cast("list[Record]", list(run))
                self._partitions[number].add(records, since)
                self.liveness.taken(number, records[-1].offset() + 1)

    def _let_fresh_partitions_flow(self) -> set[int]:
        """Return the partitions that came during the last read: what it read of them is from an earlier assignment."""
        fresh, self._fresh = self._fresh, []
        if fresh and not self._backoff.waiting:
            self._consumer.resume(fresh)
        return {each.partition for each in fresh}

    def _longest_wait(self) -> float:
        if self._backoff.waiting:
            return min(self._backoff.seconds_left(), self._limits.seconds)
        if any(partition.block is not None for partition in self._partitions.values()):
            return 0.0
        now = self._clock()
        deadlines = [partition.deadline() for partition in self._partitions.values()]
        waits = [max(deadline - now, 0.0) for deadline in deadlines if deadline is not None]
        return min([self._limits.seconds, *waits])

    def _store_or_back_off(self) -> None:
        """Store what is due; while Kafka or ClickHouse is away, back off and try the same again."""
        if self._backoff.seconds_left() > 0:
            return
        try:
            self._store_due()
        except UnavailableError as failure:
            self._pause(failure)
        else:
            self._resume()

    def _store_due(self, *, stopping: bool = False) -> None:
        now = self._clock()
        for partition in self._partitions.values():
            if partition.due(now, stopping=stopping):
                partition.freeze()
        self._commit_due()
        for partition in self._partitions.values():
            if partition.block_is_named:
                self._store_block(partition)

    def _commit_due(self) -> None:
        due = {
            number: bookmark
            for number, partition in self._partitions.items()
            if (bookmark := partition.to_commit()) is not None
        }
        commit(self._consumer, self._topic, due)
        if due:
            self.liveness.progressed()  # also by a commit that moves no offset, but names a block
            self.liveness.committed({number: bookmark.offset or 0 for number, bookmark in due.items()})
        for number, bookmark in due.items():
            self._partitions[number].committed(bookmark)

    def _store_block(self, partition: Partition) -> None:
        block = partition.block
        if block is None:
            return
        rejected = list(block.rejected)
        tried_before, partition.tried = partition.tried, True
        try:
            if partition.halved:
                rejected += insert_in_halves(self._table, block, partition.token(), tried_before=tried_before)
            else:
                insert_whole(self._table, block, partition.token(), tried_before=tried_before)
        except RowsRefusedError as refusal:
            log.warning("the table refuses a block", partition=partition.number, first=block.first, error=str(refusal))
            partition.halve()
            return
        self._dead_letters.send(rejected, partition.number)
        partition.settle()
        self._count(partition, len(block.rows) + len(block.rejected) - len(rejected), block.repeats, len(rejected))

    def _count(self, partition: Partition, stored: int, repeats: int, dead_letters: int) -> None:
        self.counts.settled(stored, repeats, dead_letters)
        if dead_letters:
            log.warning("records are no rows", partition=partition.number, dead_letters=dead_letters)
        log.debug("block stored", partition=partition.number, rows=stored, repeats=repeats)

    def _pause(self, failure: UnavailableError) -> None:
        """Stop fetching but stay in the group: frozen blocks wait, and Kafka keeps the rest."""
        if not self._backoff.waiting:
            self._consumer.pause(self._consumer.assignment())
        self.counts.retries += 1
        log.warning("waiting", reason=str(failure), pause_seconds=self._backoff.failed())

    def _resume(self) -> None:
        if self._backoff.waiting:
            self._backoff.succeeded()
            self._consumer.resume(self._consumer.assignment())
            log.info("resumed")

    def _drain(self) -> None:
        """Store what was read and confirm it; what does not go now is made again by the next sink."""
        give_up = self._clock() + DRAIN_SECONDS
        try:
            while self._clock() < give_up and any(partition.unfinished for partition in self._partitions.values()):
                self._store_due(stopping=True)
        except UnavailableError as failure:
            log.warning("leaving records to the next sink", reason=str(failure))

    def _assigned(self, consumer: Consumer, assigned: list[TopicPartition]) -> None:
        topic_id = self._wait_for_topic_id()
        if topic_id is None:
            return
        for number, bookmark in committed_bookmarks(consumer, assigned, topic_id).items():
            self._partitions[number] = Partition(number, bookmark, self._limits)
        starts = [self._start(each.partition) for each in assigned]
        consumer.assign(starts)
        consumer.pause(starts)
        self._fresh += starts
        self.liveness.rebalanced(assigned=True)
        log.info("ready", partitions=sorted(self._partitions))

    def _start(self, number: int) -> TopicPartition:
        offset = self._partitions[number].start
        return TopicPartition(self._topic, number, OFFSET_BEGINNING if offset is None else offset)

    def _revoked(self, consumer: Consumer, revoked: list[TopicPartition]) -> None:
        self.liveness.rebalanced(assigned=False)
        gone = {each.partition: self._partitions.pop(each.partition, None) for each in revoked}
        final_commit = {
            number: bookmark
            for number, partition in gone.items()
            if partition is not None and (bookmark := partition.final_commit()) is not None
        }
        try:
            commit(consumer, self._topic, final_commit)
        except CommitRefusedError as failure:  # the bookmark that Kafka has leads the next sink to the same end
            log.warning("the last commit was not taken", reason=str(failure))
        log.info("partitions given back", partitions=sorted(gone))

    def _lost(self, _consumer: Consumer, lost: list[TopicPartition]) -> None:
        self.liveness.rebalanced(assigned=False)
        for each in lost:
            self._partitions.pop(each.partition, None)
        log.warning("partitions lost", partitions=sorted(each.partition for each in lost))
