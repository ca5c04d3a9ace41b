"""The sink: reads a topic, such as that of scores, stores it a block at a time, commits.

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
from service.errors import CommitRefusedError, RefusedError, RowsRefusedError, TooLargeError, UnavailableError
from service.kafka import raise_if_refused, reason
from service.liveness import Liveness
from sinks.blocks import Block, Origin, Record, Rejected, insert_lacking, insert_whole
from sinks.bookmark import Bookmark
from sinks.dead_letters import DeadLetters
from sinks.judge import STRANGER
from sinks.kafka import MAX_POLL_INTERVAL_MS, commit, committed_bookmarks, first_and_end_offset, records_of
from sinks.observe.progress import Progress, SinkCounts
from sinks.partition import BlockLimits, Partition
from sinks.table import ScoresTable, TimedTable

DRAIN_SECONDS: Final = 10.0
OUTSIDE_SECONDS: Final = MAX_POLL_INTERVAL_MS / 1000 + 30
"""So long a sink waits to be let into its group: another member may hold a rebalance up for its poll interval."""

_partition_of = methodcaller("partition")
log = structlog.get_logger()


Beside = Callable[[Event], AbstractContextManager[None]]
"""Runs something while a sink consumes, until the event is set."""


def nothing_beside(_stop: Event) -> AbstractContextManager[None]:
    """Run nothing."""
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
        liveness: Liveness,
        topic_id: Callable[[], str],
        origin: Callable[[int], Origin],
        limits: BlockLimits,
        read: Callable[[Sequence[Any]], Sequence[Any]] = records_of,
        beside: Beside = nothing_beside,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Take the parts; `liveness` is that of the consumer.

        `topic_id` tells this topic from an earlier one of its name; asked for at every assignment. `origin(partition)`
        says how records are judged. `read` makes records with a partition, in order, of the consumer's messages.
        `beside(stop)` is entered while the sink consumes.
        """
        self.counts = SinkCounts()
        self.liveness = liveness
        self._consumer = consumer
        self._topic = topic
        self._table = TimedTable(table, self.counts.insert_seconds, self.liveness, clock)
        self._dead_letters = dead_letters
        self._topic_id = topic_id
        self._origin = origin
        self._limits = limits
        self._read_messages = read
        self._beside = beside
        self._clock = clock
        self._partitions: dict[int, Partition] = {}
        self._stop = Event()
        self._unopened: list[TopicPartition] = []
        self._outside_since: float | None = None
        self._backoff = Backoff(clock)
        self._progress = Progress(self.counts, clock)

    @property
    def waiting(self) -> bool:
        """Whether Kafka or ClickHouse is away, and the sink waits until it is back."""
        return self._backoff.waiting

    @property
    def outside_seconds(self) -> float:
        """Seconds since it was last in its consumer group; 0 while it is in it, also without a partition."""
        since = self._outside_since
        return 0.0 if since is None else self._clock() - since

    def run(self, stop: Event) -> None:
        """Store scores until `stop` is set, then what has been read; raises RefusedError if waiting will not help."""
        self._stop = stop
        try:
            if self._wait_for_topic():
                self._check_table()
                with self._beside(stop):
                    self._consume()
        finally:
            self._consumer.close()
            self._table.close()
        log.info("stopped", **self.counts.as_dict())

    def _consume(self) -> None:
        self._outside_since = self._clock()
        self._consumer.subscribe([self._topic], on_assign=self._assigned, on_revoke=self._revoked, on_lost=self._lost)
        while not self._stop.is_set():
            self._read(self._longest_wait())
            self._store_or_back_off()
            self._check_membership()
            self._progress.report()
        self._drain()

    def _wait_for_topic(self) -> bool:
        """Wait for a Kafka that is away; False if the end came first."""
        backoff = Backoff(self._clock)
        while not self._stop.wait(backoff.seconds_left()):
            self.liveness.turned()
            try:
                self._topic_id()
            except UnavailableError as failure:
                log.warning("waiting", reason=str(failure), pause_seconds=backoff.failed())
            else:
                return True
        return False

    def _check_membership(self) -> None:
        """Raise RefusedError if Kafka answers, but the group has not let this sink in for long."""
        if self.outside_seconds < OUTSIDE_SECONDS:
            return
        try:
            self._topic_id()
        except UnavailableError:
            self._outside_since = self._clock()
            return
        raise RefusedError(
            f"the sink was not in the consumer group of topic {self._topic} for {OUTSIDE_SECONDS:.0f} seconds, though "
            "Kafka answers: look who is (`kafka-consumer-groups --describe --members`), then start the sink again"
        )

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
        for number, run in groupby(self._read_messages(messages), _partition_of):
            if number in self._partitions:  # if not, it was read before a rebalance
                records = cast("list[Record]", list(run))
                self._count_deleted(self._partitions[number], records)
                self._partitions[number].add(records, since)
                self.liveness.taken(number, records[-1].offset() + 1)

    def _count_deleted(self, partition: Partition, records: Sequence[Record]) -> None:
        """Say which offsets are missing because retention passed the sink; a transaction leaves some out as well."""
        expected = partition.next_offset
        if expected is None:
            self._say_deleted(partition.number, records[0].offset() - partition.lacking(records), records[0].offset())
            return
        if records[-1].offset() - expected < len(records):
            return
        try:
            first, _ = first_and_end_offset(self._consumer, self._topic, partition.number)
        except UnavailableError:
            return  # what the next gap says will do
        for record in records:
            self._say_deleted(partition.number, expected, min(record.offset(), first))
            expected = record.offset() + 1

    def _say_deleted(self, number: int, since: int, until: int) -> None:
        if since < until:
            self.counts.deleted += until - since
            log.error(
                "records were deleted by the topic's retention before they were stored",
                topic=self._topic,
                partition=number,
                first_offset=since,
                last_offset=until - 1,
                records=until - since,
            )

    def _longest_wait(self) -> float:
        if self._backoff.waiting:
            return min(self._backoff.seconds_left(), self._limits.seconds)
        if any(partition.block is not None for partition in self._partitions.values()):
            return 0.0
        if self._unopened:
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
        """Store at most one block, so that Kafka hears of this member between two inserts."""
        if not stopping:
            self._open_partitions()
        now = self._clock()
        for partition in self._partitions.values():
            if partition.due(now, stopping=stopping):
                partition.freeze()
        self._commit_due()
        for number, partition in self._partitions.items():
            if partition.block_is_named:
                self._store_block(partition)
                self._partitions[number] = self._partitions.pop(number)  # others come first now
                return

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
        refused, repeats = self._insert(partition, block)
        if refused is None:
            return
        rejected = [*block.rejected, *refused]
        self._dead_letters.send(rejected, partition.number)
        partition.settle(refused)
        strangers = sum(each.reason == STRANGER for each in rejected)
        self.counts.forgotten += block.forgotten
        self.counts.settled(len(block.rows) - len(refused) - repeats, block.repeats + repeats, len(rejected), strangers)
        if rejected:
            log.warning(
                "records are no rows",
                partition=partition.number,
                dead_letters=len(rejected),
                strangers=strangers,
                first=rejected[0].error,
            )
        log.debug("block stored", partition=partition.number, rows=len(block.rows) - len(refused), repeats=repeats)

    def _insert(self, partition: Partition, block: Block) -> tuple[list[Rejected] | None, int]:
        """Return the rows that the table refuses, and how many it had; None if the block needs another name first."""
        tried_before, partition.tried = partition.tried, True
        token = partition.token()
        try:
            if partition.compared:
                return insert_lacking(self._table, block, token, partition.rows_at_once, tried_before=tried_before)
            insert_whole(self._table, block, token, tried_before=tried_before)
        except RowsRefusedError as refusal:
            log.warning("the table refuses a block", partition=partition.number, first=block.first, error=str(refusal))
            partition.compare()
            return None, 0
        except TooLargeError:
            if not partition.cut():  # sink.block_rows is not lower than when the block was named
                raise
            return None, 0
        return [], 0

    def _pause(self, failure: UnavailableError) -> None:
        """Stop fetching but stay in the group: frozen blocks wait, and Kafka keeps the rest."""
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
        """Take partitions; where to read them is asked outside of this callback, in which nobody may wait."""
        consumer.assign([])
        self._unopened = assigned
        self._outside_since = None
        self.liveness.rebalanced(assigned=True)

    def _open_partitions(self) -> None:
        """Begin with what was assigned: where Kafka's commits say, if they can be believed and the table agrees."""
        if not self._unopened:
            return
        topic_id, numbers = self._topic_id(), [each.partition for each in self._unopened]
        offsets = {number: first_and_end_offset(self._consumer, self._topic, number) for number in numbers}
        bookmarks = committed_bookmarks(self._consumer, self._unopened, topic_id, offsets)
        for number, (first, end) in offsets.items():
            if max(bookmarks[number].offset or 0, first) < end:
                self.liveness.taken(number, end)  # they wait, also while the table does not answer
        opened = {number: self._opened(number, bookmark, *offsets[number]) for number, bookmark in bookmarks.items()}
        starts = [self._start(partition) for partition in opened.values()]
        self._consumer.assign(starts)
        self._consumer.resume(starts)  # a pause from before a rebalance would go on
        self._partitions, self._unopened = opened, []
        log.info("ready", partitions=sorted(opened))

    def _opened(self, number: int, bookmark: Bookmark, first: int, end: int) -> Partition:
        origin = self._origin(number)
        highest = self._table.highest(origin.source)
        if self._table.shows_at_once and bookmark.stored > highest:
            log.warning(
                "the table lacks rows that the last commit calls stored: storing again what the topic still has",
                partition=number,
            )
            bookmark = Bookmark(None, bookmark.topic_id)
        if bookmark.offset is not None and bookmark.offset < first and (bookmark.block_last or 0) < first:
            self._say_deleted(number, bookmark.offset, first)
            bookmark = Bookmark(first, bookmark.topic_id, bookmark.stored)
        return Partition(number, bookmark, self._limits, origin, highest=highest, end=end)

    def _start(self, partition: Partition) -> TopicPartition:
        offset = partition.start
        return TopicPartition(self._topic, partition.number, OFFSET_BEGINNING if offset is None else offset)

    def _revoked(self, consumer: Consumer, revoked: list[TopicPartition]) -> None:
        self._leave()
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
        self._leave()
        for each in lost:
            self._partitions.pop(each.partition, None)
        log.warning("partitions lost", partitions=sorted(each.partition for each in lost))

    def _leave(self) -> None:
        self._unopened = []
        self._outside_since = self._clock()
        self.liveness.rebalanced(assigned=False)
