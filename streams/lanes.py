"""A lane per partition: its fetches go through in order, beside the other partitions' fetches.

The order of writing makes every crash harmless (ARCHITECTURE, "Delivery"): the scores and dead letters of a fetch are
published and confirmed; then the states that they came from go to the changelog; then the source offset is committed.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Iterable
from typing import Final, Literal, TypeVar, TypeVarTuple

import structlog

from service.errors import CartcastError
from streams.fenced import FencedError
from streams.fetch import Fetch
from streams.following import FollowedRecords, Follower, Subscription
from streams.partition_states import PartitionStates
from streams.pipeline import Pipeline
from streams.publisher import Delivery
from streams.recommendations import Recommended, Recommending

_QUEUED_FETCHES: Final = 2
_SOON_SECONDS: Final = 0.005
"""How long what other partitions wait for gathers before it is written."""
_ARRIVED: Final = "arrived"
"""Queued when there is something to do, and no fetch to wake the lane."""
_UNCONFIRMED_DELIVERIES: Final = 8
_UNTOLD_SECONDS: Final = 60.0
"""How long the group may leave a partition with a worker that has lost it."""
_log: Final = structlog.get_logger()

Acknowledge = Callable[[], object]
_Queued = tuple[Fetch, Acknowledge] | Literal["arrived"] | None
_Arguments = TypeVarTuple("_Arguments")
_Result = TypeVar("_Result")


class Lane:
    """Scores one partition's fetches."""

    def __init__(self, pipeline: Pipeline, states: PartitionStates, on_failure: Callable[[Exception], None]) -> None:
        self._pipeline = pipeline
        self._states = states
        self._on_failure = on_failure
        self._queue: asyncio.Queue[_Queued] = asyncio.Queue(_QUEUED_FETCHES)
        self._subscriptions: list[Subscription] = []
        self._writing = asyncio.Lock()
        self._soon: asyncio.Task[None] | None = None
        self._sweep_is_due = False
        self._unconfirmed: deque[Delivery] = deque()
        self._closing = False
        self._failed = False
        self._untold: asyncio.TimerHandle | None = None
        self._uncommitted_scores = 0
        self._recommending: Recommending | None = None
        if (recommendations := pipeline.recommendations) is not None:
            self._recommending = Recommending(recommendations, self._publish_recommendations, self._fail)
        self._task = asyncio.get_running_loop().create_task(self._run())

    async def put(self, fetch: Fetch, acknowledge: Acknowledge) -> None:
        """Queue a fetch; `acknowledge` is called when its results are confirmed, or when it is dropped by `close`."""
        await self._queue.put((fetch, acknowledge))
        if self._task.done():
            self._drop_queued()

    async def close(self) -> None:
        """Finish the fetch that is being scored, drop the queued ones, and wait for every confirmation."""
        self._closing = True
        if self._untold is not None:
            self._untold.cancel()
        if self._states.restored.done():
            await self._queue.put(None)
        else:
            self._task.cancel()
        await asyncio.wait([self._task])
        self._drop_queued()
        self._unsubscribe()
        if self._soon is not None:
            self._soon.cancel()  # who closes lanes commits after that
            await asyncio.wait([self._soon])
        if not self._failed:
            try:
                await self._confirmed()
            except CartcastError as failure:
                self._fail(failure)

    async def secure(self) -> int | None:
        """Make what this lane has dealt with crash-proof; return the offset that may be committed, if there is one.

        A delivery that fails fails the lane.
        """
        async with self._writing:
            scores = self._uncommitted_scores
            if (next_offset := await self._write(urgent=False)) is not None:
                self._uncommitted_scores -= scores
            self._sweep_is_due = True
            self._wake()
            return next_offset or None

    def told(self) -> None:
        """Take note that the group has given out the partitions anew."""
        if self._untold is not None:
            self._untold.cancel()

    async def _write(self, *, urgent: bool) -> int | None:
        """Write what the changelog does not have; return the offset up to which it comes, None if it is not written."""
        states = self._states
        if self._failed or not states.restored.done():
            return None
        dirty = states.take_dirty(urgent=urgent)  # as of now: scoring goes on meanwhile
        try:
            batches, elsewhere = await self._do(dirty.size, self._pipeline.changelog, dirty)
            await self._confirmed()
            await states.changelog.ready()
        except CartcastError as failure:
            self._end(failure)
            return None
        except BaseException:  # also when the commit is cancelled: the next one must write this again
            states.mark_dirty(dirty)
            raise
        began = self._pipeline.timings.clock()
        try:
            # From here on nothing is taken back: who stops waiting leaves a transaction that ends by itself.
            await states.changelog.write(batches, elsewhere)
        except CartcastError as failure:
            self._end(failure)
            return None
        self._pipeline.timings.lap("changelog", began)
        return None if self._failed else dirty.next_offset

    async def _write_soon(self) -> None:
        """Write what other partitions wait for, before the next commit; the group's offset stays where it is."""
        try:
            while self._states.has_outgoing and not self._failed:
                await asyncio.sleep(_SOON_SECONDS)
                async with self._writing:
                    await self._write(urgent=True)
        except Exception as failure:  # noqa: BLE001 - nobody awaits this task; whatever it is must end the worker
            self._fail(failure)

    async def _run(self) -> None:
        try:
            await asyncio.shield(self._states.restored)  # who cancels this lane must not cancel the restore
            await self._follow()
            while (queued := await self._queue.get()) is not None:
                if not self._closing:
                    await self._apply_arrived()
                    await self._sweep()
                if queued != _ARRIVED:
                    await self._take(*queued)
        except Exception as failure:  # noqa: BLE001 - nobody awaits this task; whatever it is must end the worker
            self._fail(failure)
        finally:
            self._drop_queued()  # nobody must wait for room in a queue that nobody empties

    async def _take(self, fetch: Fetch, acknowledge: Acknowledge) -> None:
        """Process what has not been dealt with of a fetch."""
        if self._closing or (fresh := fetch.since(self._states.next_offset)) is None:
            acknowledge()
        else:
            await self._process_all(fresh, acknowledge)
            self._begin_to_write_soon()

    async def _process_all(self, fetch: Fetch, acknowledge: Acknowledge) -> None:
        """Process a fetch, and between its events what is claimed of earlier ones."""
        identity, states = self._pipeline.identity, self._states
        first_later = self._pipeline.first_later
        if identity is None:
            await self._process(fetch, acknowledge)
            return
        while states.due and (later := await self._do(fetch.value_bytes, first_later, fetch, states)) is not None:
            place, key, until_ms = later
            if place:
                await self._process(fetch.part(0, place), lambda: None)
            identity.release([(key, until_ms)], states)
            fetch = fetch.part(place, len(fetch))
        await self._process(fetch, acknowledge)
        if states.due:
            await self._do(states.state_bytes(len(states.due)), identity.release_due, states)

    async def _follow(self) -> None:
        """Apply what the followed topics hold already, then read on from there."""
        if (following := self._pipeline.following) is None:
            return
        if self._pipeline.identity is not None:
            self._pipeline.identity.resume(self._states)
        arrived = self._states.arrived
        while arrived and not self._closing:
            await self._apply(arrived[0])
            del arrived[0]
        if self._closing:
            return
        self._subscriptions = [
            following.subscribe(topic, self._states.partition, self._states.position(topic), self._wake)
            for topic in following.followers
        ]
        self._begin_to_write_soon()

    async def _apply_arrived(self) -> None:
        if (following := self._pipeline.following) is None:
            return
        for subscription in self._subscriptions:
            at_once = following.followers[subscription.topic].at_once
            while subscription.waiting:
                await self._apply(subscription.take(at_once))
                self._begin_to_write_soon()

    async def _sweep(self) -> None:
        if self._sweep_is_due:
            self._sweep_is_due = False
            await self._in_thread(self._pipeline.sweep, self._states)
            self._begin_to_write_soon()

    async def _apply(self, records: FollowedRecords) -> None:
        if (following := self._pipeline.following) is None:
            return
        follower, states = following.followers[records.topic], self._states
        touched = len(states) if follower.passes_over_states else len(records.records)  # at most
        size = records.value_bytes + states.state_bytes(touched + len(states.due))
        await self._do(size, self._apply_now, records, follower)

    def _apply_now(self, records: FollowedRecords, follower: Follower) -> None:
        with self._states.follow(records) as fresh:
            if fresh is not None:
                follower.apply(fresh, self._states)
        if self._pipeline.identity is not None:
            self._pipeline.identity.release_due(self._states)

    def _wake(self) -> None:
        if self._queue.empty():  # else the lane looks before it takes what is there
            self._queue.put_nowait(_ARRIVED)

    def _begin_to_write_soon(self) -> None:
        if self._states.has_outgoing and not self._closing and (self._soon is None or self._soon.done()):
            self._soon = asyncio.get_running_loop().create_task(self._write_soon())

    def _unsubscribe(self) -> None:
        """Take no more records of followed topics: nobody must wait for room among those that nobody applies."""
        if (following := self._pipeline.following) is not None:
            for subscription in self._subscriptions:
                following.unsubscribe(subscription)

    def _end(self, failure: CartcastError) -> None:
        """Fail, or lose the partition if another worker has taken it over."""
        if isinstance(failure, FencedError):
            self._lose(failure)
        else:
            self._fail(failure)

    def _fail(self, failure: Exception) -> None:
        """Report the failure once, and release whoever waits for what will never be confirmed."""
        if not self._failed:
            self._failed = True
            self._on_failure(failure)
        for delivery in self._unconfirmed:
            delivery.abandon()

    def _lose(self, fenced: FencedError) -> None:
        """Score no more: the partition is another worker's. The group will say so; if it does not, this worker ends."""
        _log.warning("lost a partition", partition=self._states.partition, why=str(fenced))
        self._pipeline.counts.fenced += 1
        self._pipeline.counts.fenced_scores += self._uncommitted_scores
        self._failed = self._closing = self._states.is_lost = True
        for delivery in self._unconfirmed:
            delivery.abandon()
        self._unsubscribe()
        self._untold = asyncio.get_running_loop().call_later(_UNTOLD_SECONDS, self._on_failure, fenced)

    async def _process(self, fetch: Fetch, acknowledge: Acknowledge) -> None:
        """Decode, append, score, publish; acknowledge when the results are confirmed."""
        span = self._pipeline.spans.begin(fetch)
        try:
            delivery = await self._publish_results(fetch, acknowledge)
        except BaseException as failure:
            span.end(failure)
            raise
        delivery.on_end(span.end)
        while len(self._unconfirmed) > _UNCONFIRMED_DELIVERIES or (self._unconfirmed and self._unconfirmed[0].done()):
            await self._unconfirmed[0]  # stays in sight of `secure` until it is confirmed
            self._unconfirmed.popleft()

    async def _publish_results(self, fetch: Fetch, acknowledge: Acknowledge) -> Delivery:
        """Score a fetch and produce what came of it."""
        pipeline = self._pipeline
        deliveries = [Delivery() for _ in range(1 if self._recommending is None else 2)]
        self._unconfirmed += deliveries  # first: who secures the states waits for what came of them
        try:
            results = await self._do(fetch.value_bytes, pipeline.score, fetch, self._states)
        except BaseException:
            for delivery in deliveries:
                self._unconfirmed.remove(delivery)  # nothing will come
            raise
        delivery, scored = deliveries[0], results.scored
        pipeline.count(fetch, scored)
        self._uncommitted_scores += len(scored.rows)
        began = pipeline.timings.clock()
        delivery.expect(len(results.scores) + len(results.dead_letters))
        delivery.on_end(lambda failure: self._let_go(acknowledge, failure))
        pipeline.publisher.publish(pipeline.topics.scores, fetch.partition, *results.scores, delivery=delivery)
        pipeline.publisher.publish(
            pipeline.topics.dead_letters, fetch.partition, *results.dead_letters, delivery=delivery
        )
        produced = pipeline.timings.lap("produce", began)
        if self._recommending is not None:
            last = self._states.published.last_recommendation
            self._recommending.begin(fetch, scored.batch, scored.moments, deliveries[1], after=last)
        delivery.on_success(lambda: pipeline.confirmed_since(produced, fetch, scored))
        return delivery

    def _let_go(self, acknowledge: Acknowledge, failure: BaseException | None) -> None:
        """Acknowledge a fetch whose results are confirmed, or are another worker's: a rebalance waits for it."""
        if failure is None or self._states.is_lost:
            acknowledge()

    def _publish_recommendations(self, recommended: Recommended, partition: int, delivery: Delivery) -> None:
        """Produce what was recommended, unless the partition is another worker's by now."""
        if self._failed:
            return
        pipeline = self._pipeline
        pipeline.counts.recommendations += recommended.records
        pipeline.counts.without_items += recommended.moments - recommended.records
        pipeline.timings.stages["recommend"].add(recommended.seconds)
        delivery.expect(len(recommended.batches))
        pipeline.publisher.publish(pipeline.topics.recommendations, partition, *recommended.batches, delivery=delivery)

    async def _do(self, size: int, work: Callable[[*_Arguments], _Result], *arguments: *_Arguments) -> _Result:
        """Work on `size` bytes: on few of them here, because handing them to a thread takes longer than the work."""
        if size > self._pipeline.small_bytes:
            return await self._in_thread(work, *arguments)
        result = work(*arguments)
        await asyncio.sleep(0)  # whoever waits for the event loop waits for one piece of work at most
        return result

    async def _in_thread(self, work: Callable[[*_Arguments], _Result], *arguments: *_Arguments) -> _Result:
        """Work beside the other lanes: most of it without the interpreter lock."""
        return await asyncio.get_running_loop().run_in_executor(self._pipeline.threads, work, *arguments)

    async def _confirmed(self) -> None:
        """Wait for what has been published so far; raises CartcastError."""
        for delivery in list(self._unconfirmed):
            await delivery

    def _drop_queued(self) -> None:
        while not self._queue.empty():
            if isinstance(queued := self._queue.get_nowait(), tuple):
                queued[1]()


class Lanes:
    """The lanes of the partitions that this worker owns."""

    def __init__(self, on_failure: Callable[[Exception], None]) -> None:
        self._on_failure = on_failure
        self._lanes: dict[int, Lane] = {}
        self._open = True

    async def put(
        self, fetch: Fetch, acknowledge: Acknowledge, pipeline: Pipeline, states: PartitionStates | None
    ) -> None:
        """Hand a fetch to its lane; between `close` and `reopen` it is dropped, to be fetched again by its owner."""
        if not self._open or states is None:
            acknowledge()
            return
        self._open_lane(pipeline, states)
        await self._lanes[fetch.partition].put(fetch, acknowledge)

    async def close(self) -> None:
        """Finish what is being scored in every lane; nothing is taken until `reopen`."""
        self._open = False
        await asyncio.gather(*(lane.close() for lane in self._lanes.values()))

    def reopen(self, pipeline: Pipeline, owned: Iterable[PartitionStates]) -> None:
        """Forget the closed lanes and open those of the partitions that are `owned`: a new assignment is in force."""
        if not self._open:
            for lane in self._lanes.values():
                lane.told()  # what was lost was perhaps noticed after the lane was closed
            self._lanes.clear()
            self._open = True
        for states in owned:
            self._open_lane(pipeline, states)

    def _open_lane(self, pipeline: Pipeline, states: PartitionStates) -> None:
        if states.partition not in self._lanes:
            self._lanes[states.partition] = Lane(pipeline, states, self._on_failure)

    async def secure(self) -> dict[int, int]:
        """Make crash-proof what all lanes have dealt with; return the offsets to commit, by partition."""
        lanes = dict(self._lanes)
        offsets = await asyncio.gather(*(lane.secure() for lane in lanes.values()))
        return {partition: offset for partition, offset in zip(lanes, offsets, strict=True) if offset is not None}
