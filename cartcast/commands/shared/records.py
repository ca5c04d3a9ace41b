"""Records of the topics, as a person reads them in a line, and as JSON objects."""

import json
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from service.kafka import headers_of

if TYPE_CHECKING:
    from confluent_kafka import Message

_LONGEST_VALUE: Final = 160


def event_line(message: "Message") -> str:
    """Return a record of the events topic in a line: Kafka's time, shopper, what the shopper did, and with what."""
    fields = _fields(message)
    if not isinstance(fields.get("type"), str) or "user_id" not in fields:
        return _as_it_is(message)
    told = (f"{name} {fields[name]}" for name in ("item_id", "category", "price", "quantity") if name in fields)
    return text_of("  ".join((time_of(message), str(fields["user_id"]), fields["type"], *told)))


def score_line(message: "Message") -> str:
    """Return a score in a line: Kafka's time, shopper, event, item, and each propensity, or what was shown."""
    fields = _fields(message)
    heads = {name: value for name, value in fields.items() if name.startswith("propensity_")}
    shown = fields.get("shown")
    if isinstance(shown, list):
        return text_of(f"{time_of(message)}  {fields.get('user_id')}  impression  {', '.join(map(str, shown))}")
    if not heads or not all(isinstance(value, int | float) for value in heads.values()):
        return _as_it_is(message)
    about = (str(fields.get(name) or "-") for name in ("user_id", "event_type", "item_id"))
    parts = (f"{name.removeprefix('propensity_')} {100 * value:.1f} %" for name, value in heads.items())
    return text_of("  ".join((time_of(message), *about, *parts)))


def letter_line(message: "Message") -> str:
    """Return a dead letter in a line: Kafka's time, the reason, where the record lay, the error. Shows no content."""
    headers = {name: text_of(value) for name, value in headers_of(message).items()}
    return f"{time_of(message)}  {headers.get('reason', '-')}  {origin_of(headers)}  {headers.get('error', '-')}"


def origin_of(headers: Mapping[str, str]) -> str:
    """Return where a dead letter's record lay: its topic, partition and offset, or the file and line of `replay`."""
    origin, partition, offset = (headers.get(name, "-") for name in ("topic", "partition", "offset"))
    return f"{origin}, line {offset}" if partition == "-1" else f"{origin} {partition}:{offset}"


def record_object(message: "Message") -> dict[str, Any]:
    """Return a record with its place, time, key, headers and value, which is an object if it is JSON."""
    value: object = text_of(message.value())
    with suppress(ValueError):
        value = json.loads(message.value() or b"")
    return {
        "topic": message.topic(),
        "partition": message.partition(),
        "offset": message.offset(),
        "timestamp": message.timestamp()[1],
        "key": None if message.key() is None else text_of(message.key()),
        "headers": {name: text_of(header) for name, header in headers_of(message).items()},
        "value": None if message.value() is None else value,
    }


def _fields(message: "Message") -> dict[str, Any]:
    with suppress(ValueError):
        if isinstance(found := json.loads(message.value() or b""), dict):
            return found
    return {}


def time_of(message: "Message") -> str:
    """Return Kafka's time of a record, UTC."""
    moment = datetime.fromtimestamp(message.timestamp()[1] / 1000, UTC)
    return moment.strftime("%Y-%m-%d %H:%M:%S.") + f"{moment.microsecond // 1000:03}"


def text_of(value: object) -> str:
    """Return bytes as text that a terminal takes: what is no UTF-8 or would steer it is escaped."""
    text = (
        value.decode("utf-8", "backslashreplace") if isinstance(value, bytes) else "" if value is None else str(value)
    )
    return "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in text)


def _as_it_is(message: "Message") -> str:
    value = text_of(message.value())
    cut = value if len(value) <= _LONGEST_VALUE else value[:_LONGEST_VALUE] + "..."
    return f"{time_of(message)}  {text_of(message.key())}  {cut}"
