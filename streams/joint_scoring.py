"""Scoring together what several partitions bring at the same moment.

Appending a handful of events and running the model on them costs about a millisecond whatever their number, and under
light load every partition brings a handful at about the same time.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import Final

import numpy as np
import numpy.typing as npt

from model.append import Source, append_events
from model.batch import EventBatch, concatenated
from model.heads import Ranked
from model.inference import InferenceWorker
from model.scoring import finish, finish_rebuild, prepare_appended, rebuild_request
from model.states import StateCodec
from streams.observe.counts import Counts, Timings

_GATHER_SECONDS: Final = 0.001
_ENOUGH_EVENTS: Final = 512
"""So many events are worth a pass of their own."""


@dataclass(frozen=True, slots=True)
class Request:
    """A batch, the states of its users, and the offsets of its events in its partition."""

    states: npt.NDArray[np.void]
    users: npt.NDArray[np.int64]
    """`users[i]` is the index among `states` of event i's user."""
    batch: EventBatch
    offsets: npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Result:
    """The states and scores of a request."""

    states: npt.NDArray[np.void]
    rows: npt.NDArray[np.int64]
    """The accepted rows of the batch, sorted by user."""
    propensities: npt.NDArray[np.float32]
    """`(accepted, horizons)`"""
    extra: Ranked
    """What the extra heads answer `(accepted,)`."""


class JointScoring:
    """Scores the requests of many partitions, few at a time; users of different requests are different users."""

    def __init__(
        self,
        inference: InferenceWorker,
        codec: StateCodec,
        source_code: int,
        counts: Counts,
        timings: Timings | None = None,
    ) -> None:
        """Make one of `source_code`, the hash by which sequence states know the events topic."""
        self._inference = inference
        self.codec = codec
        self._source_code = source_code
        self._counts = counts
        self._timings = timings or Timings()
        self._waiting: list[tuple[Request, asyncio.Future[Result]]] = []
        self._timer: asyncio.TimerHandle | None = None
        self._running: set[asyncio.Task[None]] = set()

    async def score(self, request: Request) -> Result:
        """Append the batch to the states and score it; raises what the inference raises."""
        loop = asyncio.get_running_loop()
        result: asyncio.Future[Result] = loop.create_future()
        self._waiting.append((request, result))
        if sum(len(waiting.batch) for waiting, _ in self._waiting) >= _ENOUGH_EVENTS:
            self._start()
        elif self._timer is None:
            self._timer = loop.call_later(_GATHER_SECONDS, self._start)
        return await result

    def _start(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        group, self._waiting = self._waiting, []
        task = asyncio.get_running_loop().create_task(self._run(group))
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    async def _run(self, group: list[tuple[Request, asyncio.Future[Result]]]) -> None:
        requests = [request for request, _ in group]
        try:
            results = _split(await self._score(_joined(requests)), requests)
        except Exception as failure:  # noqa: BLE001 - whatever it is, the lanes wait for it
            for _, future in group:
                if not future.done():
                    future.set_exception(failure)
        else:
            for (_, future), result in zip(group, results, strict=True):
                if not future.done():
                    future.set_result(result)

    async def _score(self, request: Request) -> Result:
        states, timings = request.states, self._timings
        timings.batch_events.add(len(request.batch))
        if (rebuild := rebuild_request(self.codec, states)) is not None:
            finish_rebuild(states, rebuild, await asyncio.wrap_future(self._inference.submit(rebuild)))
        began_at, source = timings.clock(), Source(self._source_code, request.offsets)
        appended = append_events(states["sequence"], request.users, request.batch, source)
        appended_at = timings.lap("append", began_at)
        prepared = prepare_appended(states, appended)
        prepared_at = timings.lap("features", appended_at)
        self._counts.duplicates += prepared.appended.duplicates
        self._counts.already_applied += prepared.appended.already_applied
        result = await asyncio.wrap_future(self._inference.submit(prepared.request))
        timings.lap("inference", prepared_at)
        return Result(states, prepared.appended.rows, finish(states, prepared, result), result.extra)


def _joined(requests: Sequence[Request]) -> Request:
    """Concatenate requests."""
    if len(requests) == 1:
        return requests[0]
    firsts = accumulate((len(request.states) for request in requests), initial=0)
    return Request(
        states=np.concatenate([request.states for request in requests]),
        users=np.concatenate([request.users + first for request, first in zip(requests, firsts, strict=False)]),
        batch=concatenated([request.batch for request in requests]),
        offsets=np.concatenate([request.offsets for request in requests]),
    )


def _split(result: Result, requests: Sequence[Request]) -> list[Result]:
    """Split the result of `_joined(requests)`, whose rows are sorted by request, into one per request."""
    users = accumulate((len(request.states) for request in requests), initial=0)
    events = list(accumulate((len(request.batch) for request in requests), initial=0))
    request_of_row = np.searchsorted(events, result.rows, side="right") - 1
    cuts = np.searchsorted(request_of_row, np.arange(len(requests) + 1))
    return [
        Result(
            result.states[first:last],
            result.rows[start:stop] - event,
            result.propensities[start:stop],
            result.extra[start:stop],
        )
        for (first, last), event, (start, stop) in zip(pairwise(users), events, pairwise(cuts), strict=False)
    ]
