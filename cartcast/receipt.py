"""What a request to forget has come to: what was removed where, and what remains where until when."""

from collections import Counter
from collections.abc import Mapping, MutableMapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from service.clickhouse_settings import ClickHouseSettings
from service.forget import PARTS, ROWS, STATES, ForgetReader, Request, Requests
from service.kafka_settings import KafkaSettings
from sinks.erasing import RowEraser
from streams.topic_configs import lifetimes

_NOT_OURS: Final = (
    ("backups of Kafka and ClickHouse", "as long as you keep them; after a restore, ask again"),
    ("logs of ClickHouse's queries", "as long as the server keeps them, if somebody has asked for the shopper by id"),
    ("files of events that were replayed or trained on", "as long as you keep them"),
)


@dataclass(frozen=True, slots=True)
class Asked:
    """A request that Kafka has."""

    request: Request
    shoppers: int
    partitions: int
    """Of the topic: ids that are joined to those of the request may be in any."""
    rows: Mapping[str, int]
    """How many rows there were, by table, when it was made."""


def read_partitions(kafka: KafkaSettings, said: MutableMapping[int, Requests]) -> None:
    """Read on what the forget topic says, by partition; raises UnavailableError."""
    with closing(ForgetReader(kafka.client_config(), kafka.topics.forget)) as reader:
        for number, requests in said.items():
            reader.update(requests, number)


def pending_partitions(asked: Asked, said: Mapping[int, Requests]) -> dict[str, list[int]]:
    """Return the partitions in which a part has not forgotten all that the request names, by part."""
    name = asked.request.request
    return {part: [number for number, each in said.items() if each.pending(part, name)] for part in PARTS}


def receipt(asked: Asked, said: Mapping[int, Requests], remains: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the receipt as an object of JSON."""
    pending = pending_partitions(asked, said)
    name = asked.request.request
    removed = {part: sum((each.removed(part, name) for each in said.values()), Counter[str]()) for part in PARTS}
    return {
        "request": asked.request.request,
        "requested_at": _moment(asked.request.requested_at),
        "shoppers": asked.shoppers,
        "joined_anonymous_ids": sum(len(each.joined[name]) for each in said.values()),
        "states": {"removed": removed[STATES].total(), "pending_partitions": pending[STATES]},
        "rows": {"found": dict(asked.rows), "deleted": dict(removed[ROWS]), "pending_partitions": pending[ROWS]},
        "remains": list(remains),
    }


def remaining(kafka: KafkaSettings, clickhouse: ClickHouseSettings, now_ms: int) -> list[dict[str, Any]]:
    """Return what holds ids still, until when, and what sets that; raises CartcastError if a server does not say."""
    found: list[dict[str, Any]] = [
        {
            "where": f"topic {each.topic}",
            "until": None if each.milliseconds is None else _moment(now_ms + each.milliseconds),
            "set_by": each.config,
        }
        for each in lifetimes(kafka.client_config(), kafka.topics)
    ]
    seconds = RowEraser(clickhouse).old_parts_seconds()
    found.append(
        {
            "where": "parts of ClickHouse's tables that were written anew without the rows",
            "until": _moment(now_ms + 1000 * seconds),
            "set_by": "old_parts_lifetime, from the deletion on",
        }
    )
    return found + [{"where": where, "until": None, "set_by": why} for where, why in _NOT_OURS]


def _moment(epoch_ms: int) -> str:
    return datetime.fromtimestamp(epoch_ms / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
