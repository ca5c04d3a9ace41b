"""The topic of recommendations: what the shopper of an event that triggers it is likeliest to want next.

It is made from the shopper's state right after the event, as the look-up API would make it then, and travels as scores
do: in the partition with its event's number, in the order of events, with the event's coordinates in its headers.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass
from functools import partial
from time import perf_counter
from typing import Annotated, Final, Protocol

import msgspec
import numpy as np
import numpy.typing as npt
from msgspec import Meta

from model.batch import EventBatch
from model.checkpoint import Checkpoint
from model.core.byte_strings import ByteStrings
from model.items.moments import Moments
from service.errors import RefusedError
from service.signatures import NO_SIGNATURES, Signatures
from streams.fetch import Fetch
from streams.lookups.answers import Goal, Suggestion
from streams.lookups.item_query import ItemQuery
from streams.messages import result_headers
from streams.publisher import Delivery
from streams.records.recommendation import RecordTemplate, encode_recommendations
from streams.records.writer import MOST_BATCH_BYTES, OutputRecords, RecordBatch, record_batches
from streams.settings import RecommendationSettings

_MOST_BYTES: Final = MOST_BATCH_BYTES // 2
"""Of the items of one record; a topic takes twice as much."""
_MOST_ITEMS_AT_ONCE: Final = 20_000
"""Some 10 MB of JSON."""
_encode: Final = msgspec.json.Encoder().encode


class Recommendation(msgspec.Struct, frozen=True, gc=False):
    """A value of the topic of recommendations."""

    user_id: Annotated[str, Meta(min_length=1, description="The shopper; also the record's key")]
    event_id: Annotated[
        str, Meta(min_length=1, description="The event that triggered it; with the shopper, the recommendation's id")
    ]
    event_type: Annotated[str, Meta(min_length=1, description="Its type, as the shop calls it")]
    event_time: Annotated[int, Meta(description="When the event happened, in epoch milliseconds, as its score says")]
    goal: Annotated[Goal, Meta(description="What the shopper should do next with an item")]
    model: Annotated[str, Meta(min_length=1, description="Version of the model that recommends")]
    items: Annotated[list[Suggestion], Meta(min_length=1, description="The likeliest first")]
    source_topic: Annotated[str, Meta(min_length=1, description="Topic of the event's record")]
    source_partition: Annotated[int, Meta(ge=0, description="Its partition, and that of the recommendation's record")]
    source_offset: Annotated[int, Meta(ge=0, description="Its offset")]
    source_timestamp: Annotated[
        int, Meta(ge=0, description="Kafka's time of the event's record in epoch milliseconds; 0 if it had none")
    ]
    recommended_at: Annotated[int, Meta(ge=0, description="When the worker recommended, in epoch milliseconds")]


class Suggest(Protocol):
    """Makes what the look-up API answers from states."""

    def __call__(self, states: npt.NDArray[np.void], query: ItemQuery) -> ByteStrings:
        """Return a JSON array of suggestions for each of some shoppers' states, the likeliest first; in any thread."""
        ...


@dataclass(frozen=True, slots=True)
class Recommendations:
    """Makes the records of the topic."""

    suggest: Suggest
    query: ItemQuery
    model_version: str
    types: tuple[str, ...]
    """The names of all types of event, by their codes."""
    threads: Executor
    """Apart from those that score, which have not to wait for it."""
    clock_ms: Callable[[], int]
    signatures: Signatures = NO_SIGNATURES

    def made(self, fetch: Fetch, batch: EventBatch, moments: Moments) -> "Recommended":
        """Return what to produce for a fetch's moments; for a thread of its own."""
        began, now_ms = perf_counter(), self.clock_ms()
        records = self.records(fetch, batch, moments, now_ms)
        batches = record_batches(records, now_ms)
        return Recommended(batches, len(moments), len(records), perf_counter() - began)

    def records(self, fetch: Fetch, batch: EventBatch, moments: Moments, now_ms: int) -> OutputRecords:
        """Return one record for each moment of a fetch's batch, in source order; none where there is no item."""
        size = max(_MOST_ITEMS_AT_ONCE // self.query.k, 1)
        parts = [
            self._some(fetch, batch, moments.take(slice(first, first + size)), now_ms)
            for first in range(0, len(moments), size)
        ]
        return parts[0] if len(parts) == 1 else OutputRecords.concatenated(parts)

    def _some(self, fetch: Fetch, batch: EventBatch, moments: Moments, now_ms: int) -> OutputRecords:
        lists = self.suggest(moments.states, self.query)
        are_some = np.flatnonzero(lists.spans[:, 1] - lists.spans[:, 0] > len("[]"))
        lists, rows = _fitting(lists.take(are_some)), moments.rows[are_some]
        positions = batch.positions[rows]
        types = batch.type_codes if batch.own is None else batch.own.types
        template = RecordTemplate.of(
            self.types,
            goal=self.query.goal,
            model=self.model_version,
            source_topic=fetch.topic,
            source_partition=fetch.partition,
        )
        values = encode_recommendations(
            template,
            batch.texts.take(rows),
            types[rows],
            batch.event_time_ms[rows],
            lists,
            fetch.offsets[positions],
            fetch.timestamps_ms[positions],
            now_ms,
        )
        headers = result_headers(fetch, fetch.offsets[positions], values, self.signatures)
        return OutputRecords(fetch.keys.take(positions), values, headers)


def _fitting(lists: ByteStrings) -> ByteStrings:
    """Return lists with fewer items where they are too large for a topic: anybody may send items with long ids."""
    sizes = lists.spans[:, 1] - lists.spans[:, 0]
    if not (sizes > _MOST_BYTES).any():
        return lists
    return ByteStrings.of([_cut(each or b"") for each in lists])


def _cut(written: bytes) -> bytes:
    items = msgspec.json.decode(written, type=list[msgspec.Raw])
    while len(written) > _MOST_BYTES:
        items = items[: len(items) // 2]
        written = _encode(items)
    return written


@dataclass(frozen=True, slots=True)
class Recommended:
    """What came of a fetch's moments."""

    batches: list[RecordBatch]
    moments: int
    records: int
    seconds: float


Publish = Callable[[Recommended, int, Delivery], None]
"""Takes what is to be produced for a partition, and the delivery that waits for it."""


class Recommending:
    """Recommends at the moments of one partition's fetches, in their order, beside the scoring of later ones."""

    def __init__(
        self, recommendations: Recommendations, publish: Publish, on_failure: Callable[[Exception], None]
    ) -> None:
        self._recommendations = recommendations
        self._publish = publish
        self._on_failure = on_failure
        self._last: asyncio.Task[None] | None = None

    def begin(self, fetch: Fetch, batch: EventBatch, moments: Moments, delivery: Delivery, *, after: int) -> None:
        """Begin with a fetch's moments above a source offset; `delivery` is done when their records are confirmed."""
        moments = moments.take(fetch.offsets[batch.positions[moments.rows]] > after)
        if not len(moments):
            delivery.expect(0)
            return
        run = self._run(self._last, fetch, batch, moments, delivery)
        self._last = asyncio.get_running_loop().create_task(run)

    async def _run(
        self, before: "asyncio.Task[None] | None", fetch: Fetch, batch: EventBatch, moments: Moments, delivery: Delivery
    ) -> None:
        try:
            if before is not None:
                await before
            work = partial(self._recommendations.made, fetch, batch, moments)
            made = await asyncio.get_running_loop().run_in_executor(self._recommendations.threads, work)
            self._publish(made, fetch.partition, delivery)
        except Exception as failure:  # noqa: BLE001 - nobody awaits this task; whatever it is must end the worker
            self._on_failure(failure)


def check_recommendations(settings: RecommendationSettings, checkpoint: Checkpoint) -> None:
    """Return if recommending is off, or the checkpoint can do what is set; raises RefusedError with what to do."""
    if not settings.types:
        return
    if checkpoint.items is None:
        raise RefusedError(
            f"recommendations.events is set, but {checkpoint.version} recommends no items: train a checkpoint with "
            "`cartcast train --next-items`, or leave recommendations.events empty"
        )
    shop = checkpoint.model.config.shop
    if unknown := sorted(settings.types - set(shop.event_types)):
        raise RefusedError(
            f"recommendations.events has {unknown[0]!r}, which is no type of event that {checkpoint.version} knows: "
            f"choose of {', '.join(shop.event_types)}"
        )
