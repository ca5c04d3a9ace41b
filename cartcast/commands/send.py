"""`cartcast send`: single events, for a first look."""

import json
import secrets
import sys
import time
from contextlib import ExitStack, closing, suppress
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from cartcast.commands.shared.options import (
    BootstrapServers,
    JsonLine,
    TopicPrefix,
    check_pseudonyms,
    given,
    settings_of,
)
from service.errors import RefusedError, UnavailableError, UsageError

if TYPE_CHECKING:
    from service.kafka_settings import KafkaSettings

_SCORE_SECONDS: Final = 30.0


def send(
    context: typer.Context,
    event: Annotated[str, typer.Argument(metavar="EVENT", help="The event as a JSON object, or - for standard input.")],
    wait: Annotated[bool, typer.Option("--wait", help="Wait for its score, and print it.")] = False,
    bootstrap_servers: BootstrapServers = None,
    topic_prefix: TopicPrefix = None,
    as_json: JsonLine = False,
) -> None:
    """Send one event to the events topic, keyed by its shopper, once it is known to be one.

    It is judged as the worker would, under worker.input_format; what is no event is refused here. Of a canonical event
    `event_id` and `ts` may be left out: they become a random id and now.

    Example: cartcast send '{"user_id": "u1", "type": "cart", "item_id": "sku-1", "price": 19.9}' --wait
    """
    flags = given(bootstrap_servers=bootstrap_servers, topic_prefix=topic_prefix)
    settings = settings_of(context, kafka=flags)
    from model.formats.records import decoder_of
    from streams.replay import EventProducer
    from streams.tail import TopicTail
    from streams.topics import check_topics

    value = _completed(sys.stdin.read() if event == "-" else event, settings.worker.input_format)
    batch, rejects = decoder_of(settings.worker.input_format)([value], None)
    if rejects:
        raise UsageError(f"this is no event ({rejects[0].reason}): {rejects[0].error}")
    if not len(batch.user_ids):
        raise UsageError("this is a call that stands for no event (docs/formats.md): nothing was sent")
    kafka, (user_id,), (event_id,) = settings.kafka, batch.user_ids, batch.event_ids
    check_pseudonyms(settings)
    replaced = kafka.pseudonyms.of_event(value, user_id, batch.anonymous_ids[0])
    check_topics(kafka.client_config(), kafka.topics)
    with ExitStack() as opened:
        scores = None
        if wait:  # its place is the topic's end from before the event is sent
            scores = opened.enter_context(closing(TopicTail(kafka.client_config(), kafka.topics.scores, 0)))
            scores.last()
        with EventProducer(kafka.client_config(), kafka.topics) as producer:
            producer.send_bytes(kafka.pseudonyms.of(user_id).encode(), replaced, [])
        if producer.refused:
            raise RefusedError(f"{kafka.topics.events} does not take the event: it is too large")
        score = _score_of(scores, event_id, kafka) if scores else None
    if as_json:
        print(json.dumps({"event_id": event_id, "user_id": user_id} | ({"score": score} if score else {})))
        return
    print(f"sent event {event_id} of shopper {user_id}")
    if score is not None:
        print(json.dumps(score, indent=2))


def _completed(text: str, input_format: str) -> bytes:
    """Return the event's bytes; a canonical one gets an id and a time if it has none."""
    if input_format != "cartcast":
        return text.encode()
    try:
        fields = json.loads(text)
    except ValueError as failure:
        raise UsageError(f"EVENT is not JSON ({failure}): put it into single quotes") from None
    if isinstance(fields, dict) and not {"event_id", "ts"} <= fields.keys():
        return json.dumps({"event_id": secrets.token_hex(8), "ts": time.time_ns() // 1_000_000} | fields).encode()
    return text.encode()


def _score_of(scores: Any, event_id: str, kafka: "KafkaSettings") -> dict[str, Any]:  # noqa: ANN401 - of one caller
    deadline = time.monotonic() + _SCORE_SECONDS
    while time.monotonic() < deadline:
        for message in scores.arrived():
            with suppress(ValueError):
                score = json.loads(message.value() or b"")
                if isinstance(score, dict) and score.get("event_id") == event_id:
                    return score
    raise UnavailableError(
        f"the event was sent, but no score of it came within {_SCORE_SECONDS:g} seconds on {kafka.topics.scores}: see "
        "whether a worker runs (`cartcast status --once`), and whether it was refused (`cartcast tail dead-letters`)"
    )
