"""What a seed's pipeline has made, as stock clients read it."""

import json
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from confluent_kafka import Message

from service.kafka import headers_of
from tests.harness.pipeline import Coordinates
from tests.soak.commits import Record
from tests.soak.forgetting import FORGOTTEN
from tests.soak.history import Sent
from tests.soak.oracle import Accepted
from tests.soak.world import ROW, World


@dataclass
class Found:
    """What a seed's pipeline has made."""

    read: list[Sent]
    """What was there to be read."""
    accepted: Accepted
    scores: Mapping[Coordinates, list[dict[str, Any]]]
    about: Mapping[str, Mapping[Coordinates, Record]]
    """The record that each genuine result is about, by topic of results and its place there."""
    rows: list[dict[str, Any]]
    letters: Counter[Record]
    letter_rows: set[Record]
    reasons: Mapping[Record, str]
    recommendations: Counter[Coordinates]
    deleted: set[Coordinates]
    """The events whose scores were deleted unread."""


def look(world: World) -> Found:
    """Read everything back with stock clients."""
    world.note_growth()
    read = [record for record in world.sent if not record.aborted and not world.is_lost(record)]
    scores, about = defaultdict(list), {topic: dict[Coordinates, Record]() for topic in world.results}
    for message in (*world.deleted_scores, *_genuine(world, world.topics.scores)):
        score = json.loads(message.value())
        source = (score["source_partition"], score["source_offset"])
        scores[source].append(score)
        about[world.topics.scores][_place(message)] = (score["source_topic"], *source)
    reasons = {}
    for message in _genuine(world, world.topics.dead_letters):
        headers = headers_of(message)
        record = headers["topic"].decode(), int(headers["partition"]), int(headers["offset"])
        about[world.topics.dead_letters][_place(message)] = record
        reasons[record] = headers["reason"].decode()
    for message in _genuine(world, world.topics.recommendations):
        made = json.loads(message.value())
        record = made["source_topic"], made["source_partition"], made["source_offset"]
        about[world.topics.recommendations][_place(message)] = record
    refused = {record[1:] for record, reason in reasons.items() if reason == FORGOTTEN} - scores.keys()
    accepted = Accepted.of(record for record in read if (record.partition, record.offset) not in refused)
    accepted.repeats -= {at for at in accepted.repeats & scores.keys() if accepted.records[at].begins_anew}
    return Found(
        read,
        accepted,
        scores,
        about,
        [dict(zip(ROW, row, strict=True)) for row in world.rows()],
        Counter(about[world.topics.dead_letters].values()),
        world.stored("dead_letters"),
        reasons,
        Counter(record[1:] for record in about[world.topics.recommendations].values()),
        {each[1:] for at, each in about[world.topics.scores].items() if (world.topics.scores, *at) in world.lost},
    )


def _genuine(world: World, topic: str) -> Iterator[Message]:
    """Yield what no stranger wrote."""
    return (each for each in world.read(topic) if (topic, *_place(each)) not in world.forged)


def _place(message: Message) -> Coordinates:
    return message.partition(), message.offset()
