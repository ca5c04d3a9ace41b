"""The topics as `cartcast topics create` makes them: the page docs/reference/topics.md."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from service.kafka_settings import Topics
from streams.topic_configs import TopicRetention, topic_configs

_INTRODUCTION: Final = """# Topics

Written by `make reference`; do not edit. All names begin with `kafka.topic_prefix` (here its default), and all
topics but that of items have the same number of partitions (`kafka.partitions`): a score, a recommendation and a dead
letter go to the partition with their event's number, a state to the changelog partition of the shopper's events. Items
have one partition, so that an item's records have an order whatever grows.

`cartcast topics create` makes those that are missing and changes none that exists. Configuration that it sets:
"""
_MIN_INSYNC: Final = 4_321
_RETENTION_HOURS: Final = 8_765
"""Numbers that stand for settings in what is asked of `topic_configs`."""


@dataclass(frozen=True, slots=True)
class _Described:
    key: str
    value: str
    headers: str
    written_by: str
    read_by: str


_ABOUT: Final[Mapping[str, _Described]] = {
    "events": _Described(
        key="the event's user id, UTF-8",
        value="one event, JSON (or what `worker.input_format` says)",
        headers="none needed; `traceparent` and `tracestate` are carried to the score",
        written_by="your producers, `cartcast replay`, `cartcast dead-letters replay`",
        read_by="workers, consumer group `cartcast` (the prefix)",
    ),
    "scores": _Described(
        key="user id",
        value="one score, JSON, one per accepted event",
        headers="`topic`, `partition`, `offset` of its event, each as text; `traceparent`, `tracestate` if the "
        "event had them",
        written_by="workers",
        read_by="sinks, consumer group `cartcast-sink`, and your consumers, in groups of their own",
    ),
    "recommendations": _Described(
        key="user id",
        value="one recommendation, JSON ([next items](../next-items.md#on-a-topic)); none are written unless "
        "`recommendations.events` names types of event",
        headers="as those of scores",
        written_by="workers",
        read_by="sinks, consumer group `cartcast-sink-recommendations`, and your consumers, in groups of their own",
    ),
    "dead_letters": _Described(
        key="as received",
        value="the bytes as received; of a record that is too large for a dead letter, its first 1,000 bytes",
        headers="`topic`, `partition`, `offset` of the refused record; `reason`, to group by; `error`, a sentence "
        "without shopper data",
        written_by="workers (records that are no events), `cartcast replay` (rows of files), sinks (scores that are no "
        "rows)",
        read_by="sinks, consumer group `cartcast-sink-dead-letters`, which make rows of the table `dead_letters`; "
        "`cartcast dead-letters`",
    ),
    "identity": _Described(
        key="the anonymous id of a claim, the user id of a transfer",
        value="a claim: the user id that the anonymous id is joined to; a transfer: the anonymous id's state, bytes",
        headers="`kind`: `claim` or `transfer`; `time`: of the claiming event, epoch milliseconds; `anonymous_id`: of "
        "a transfer",
        written_by="workers, in one transaction with the states that it comes from",
        read_by="the workers that have the ids' partitions, in no consumer group; from positions in the changelog",
    ),
    "items": _Described(
        key="the item's id, UTF-8",
        value="one item, JSON ([items](../items.md)); none takes the item away",
        headers="none needed",
        written_by="`cartcast items load`, your producers",
        read_by="every worker, all of it, in no consumer group; `cartcast items show`",
    ),
    "changelog": _Described(
        key="user id",
        value="the shopper's sequence state, bytes (`model/sequence.py`); keys that begin with the byte 255: what "
        "workers keep beside states",
        headers="none",
        written_by="workers, once a commit interval for each shopper that changed",
        read_by="the worker that gets the partition",
    ),
}


def page() -> str:
    """Return the page."""
    topics = Topics()
    configs = topic_configs(topics, TopicRetention(_MIN_INSYNC, _RETENTION_HOURS))
    rows = [f"| `{name}` | {_configured(configs[name])} |" for name in configs]
    sections = [_section(getattr(topics, field), about) for field, about in _ABOUT.items()]
    return "\n".join([_INTRODUCTION, "| topic | configuration |", "| --- | --- |", *rows, "", *sections])


def _configured(config: Mapping[str, str]) -> str:
    settings = {
        str(_MIN_INSYNC): "the setting `kafka.min_insync_replicas`",
        str(_RETENTION_HOURS * 3_600_000): "the setting `kafka.retention_hours`",
    }
    return ", ".join(f"`{name}` {settings.get(value, f'`{value}`')}" for name, value in config.items())


def _section(name: str, about: _Described) -> str:
    lines = {
        "key": about.key,
        "value": about.value,
        "headers": about.headers,
        "written by": about.written_by,
        "read by": about.read_by,
    }
    return "\n".join(
        [f"## {name}", "", "| | |", "| --- | --- |", *(f"| {what} | {text} |" for what, text in lines.items()), ""]
    )
