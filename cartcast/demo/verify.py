"""The verdict: every event, score, dead letter and row, read back and compared."""

from collections.abc import Iterable, Mapping
from typing import Any

from confluent_kafka import Message

from cartcast.demo.comparison import Comparison, DeadLetter, compare
from cartcast.demo.delays import Delays, DelaySummary
from cartcast.demo.readback import event_id_of, position, read_to_end, source_position
from service.kafka import header_text, headers_of
from service.kafka_settings import Topics

UNREADABLE = "(unreadable)"
"""Stands for the event id of a record that holds none, so that it is counted, and as an unknown event."""


def verify(
    client_config: Mapping[str, Any], topics: Topics, produced_ids: Iterable[str], stored_ids: Iterable[str]
) -> tuple[Comparison, DelaySummary | None]:
    """Read all topics to their ends; return what is lost or doubled, and the delay from event to score."""
    delays = Delays()
    for event in read_to_end(client_config, topics.events):
        delays.add_event(position(event), event.timestamp()[1])
    scored_ids = []
    for score in read_to_end(client_config, topics.scores):
        delays.add_score(source_position(score), score.timestamp()[1])
        scored_ids.append(event_id_of(score) or UNREADABLE)
    dead_letters = [_dead_letter(message) for message in read_to_end(client_config, topics.dead_letters)]
    return compare(produced_ids, dead_letters, scored_ids, stored_ids), delays.summary()


def _dead_letter(message: Message) -> DeadLetter:
    headers = headers_of(message)
    topic, partition, offset = (header_text(headers, name) for name in ("topic", "partition", "offset"))
    return DeadLetter((topic, partition, offset), event_id_of(message) or UNREADABLE)
