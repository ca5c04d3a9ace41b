"""Events over HTTP, judged, keyed, and acknowledged by Kafka; and requests to forget a shopper."""

import asyncio
import uuid
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

import msgspec

from model.formats.records import Decode
from service.errors import CartcastError
from service.forget import ForgetProducer, Request, now_ms
from service.kafka_settings import Topics
from service.pseudonyms import NO_PSEUDONYMS, Pseudonyms
from streams.lookups.answers import ForgetRequest, RejectedEvent, TakenEvents
from streams.lookups.lookup import BusyError
from streams.lookups.problems import ProblemError, problem_of
from streams.replay import EventProducer

MOST_EVENTS: Final = 500
_MOST_WAITING: Final = 64
_CLIENT: Final[Mapping[str, Any]] = {"linger.ms": 0, "message.timeout.ms": 10_000}
"""Somebody waits for the answer."""


class EventIntake:
    """Takes events for the events topic; its client of Kafka is made for the first ones."""

    def __init__(
        self,
        client_config: Mapping[str, Any],
        topics: Topics,
        decode: Decode,
        pseudonyms: Pseudonyms = NO_PSEUDONYMS,
    ) -> None:
        """Ids are replaced by `pseudonyms`, for which events must be canonical."""
        self._client_config, self._topics, self._decode = {**client_config, **_CLIENT}, topics, decode
        self._pseudonyms = pseudonyms
        self._producer: EventProducer | None = None
        self._thread = ThreadPoolExecutor(1, "intake")
        self._waiting = 0

    async def take(self, body: bytes) -> TakenEvents:
        """Send a body's events, one or an array; returns when Kafka has them. Raises ProblemError."""
        values = _values(body)
        batch, rejects = self._decode(values, None)
        rejected = [RejectedEvent(reject.position, reject.reason, reject.error) for reject in rejects]
        if rejected and len(rejected) == len(values):
            raise ProblemError(400, "no_event", f"{rejected[0].reason}: {rejected[0].error}")
        if self._waiting >= _MOST_WAITING:
            raise problem_of(BusyError())
        self._waiting += 1
        try:
            events = [
                (self._pseudonyms.of(key).encode(), self._pseudonyms.of_event(values[place], key, anonymous_id))
                for key, anonymous_id, place in zip(
                    batch.user_ids, batch.anonymous_ids, batch.positions.tolist(), strict=True
                )
            ]
            await asyncio.get_running_loop().run_in_executor(self._thread, self._send, events)
        except CartcastError as failure:
            raise ProblemError(
                503,
                "kafka",
                f"Kafka has not taken the events ({failure}): send all of them again, with the same event ids",
            ) from None
        finally:
            self._waiting -= 1
        return TakenEvents(len(events), rejected)

    def _send(self, events: Sequence[tuple[bytes, bytes]]) -> None:
        producer, self._producer = self._producer or EventProducer(self._client_config, self._topics), None
        for key, value in events:
            producer.send_bytes(key, value, [])
        producer.flush()
        self._producer = producer  # one that failed is not asked again


class ForgetIntake:
    """Asks that a shopper be forgotten."""

    def __init__(self, client_config: Mapping[str, Any], topic: str, partitions: int) -> None:
        self._client_config, self._topic, self._partitions = {**client_config, **_CLIENT}, topic, partitions
        self._thread = ThreadPoolExecutor(1, "forget")

    async def take(self, user: bytes) -> ForgetRequest:
        """Return when Kafka has the request; raises ProblemError."""
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, self._ask, user)
        except CartcastError as failure:
            raise ProblemError(503, "kafka", f"Kafka has not taken the request: {failure}") from None

    def _ask(self, user: bytes) -> ForgetRequest:
        producer = ForgetProducer(self._client_config, self._topic, self._partitions)
        request = Request(str(uuid.uuid4()), now_ms())
        partition = producer.ask(user, request)
        producer.flush()
        return ForgetRequest(request.request, request.requested_at, partition, producer.last_offset)


def _values(body: bytes) -> list[bytes]:
    """Return the bytes of each event of a body; raises ProblemError."""
    try:
        if not body.lstrip().startswith(b"["):
            return [bytes(msgspec.json.decode(body, type=msgspec.Raw))]
        values = [bytes(value) for value in msgspec.json.decode(body, type=list[msgspec.Raw])]
    except (msgspec.DecodeError, UnicodeDecodeError) as invalid:
        raise ProblemError(
            400, "bad_request", f"the body is neither an event nor an array of events: {invalid}"
        ) from None
    if not 0 < len(values) <= MOST_EVENTS:
        raise ProblemError(400, "bad_request", f"the array has {len(values)} events, not 1 to {MOST_EVENTS}")
    return values
