"""Events in another partition than their key leads to: counted, told once, and found by a look at the newest."""

from dataclasses import replace

import pytest
from structlog.testing import capture_logs

from service.partitioner import partition_of
from streams.misplaced import sample
from streams.records.writer import OutputRecord
from tests.streams.fetches import PARTITION, TOPICS, event, fetch
from tests.streams.memory_publisher import states_of
from tests.streams.mock_topics import create, write

PARTITIONS = 4


@pytest.fixture
def users() -> tuple[str, str]:
    """One of this partition, and one of another."""
    places = {partition_of(f"u{number}".encode(), PARTITIONS) == PARTITION: f"u{number}" for number in range(40)}
    return places[True], places[False]


async def test_a_worker_counts_them_and_says_so_once(pipeline, users):
    here, elsewhere = users
    judging = replace(pipeline, scoring=replace(pipeline.scoring, partitions=PARTITIONS))
    states = states_of(pipeline, PARTITION, None)
    with capture_logs() as logs:
        for first in (0, 10):
            values = (event(first, here), event(first + 1, elsewhere), event(first + 2, elsewhere))
            given = fetch(*values, first_offset=first)
            judging.count(given, judging.score(given, states).scored)
    assert (pipeline.counts.misplaced, pipeline.counts.scored) == (4, 6)
    (line,) = logs
    assert (line["topic"], line["partition"], "murmur2_random" in line["event"]) == (TOPICS.events, PARTITION, True)


def test_a_look_at_the_newest_events_finds_them(mock_kafka, topic_prefix, users):
    create(mock_kafka, [topic_prefix])
    assert sample(mock_kafka, topic_prefix, PARTITIONS) == (0, 0)
    here, elsewhere = (OutputRecord(user.encode(), b"{}") for user in users)
    write(mock_kafka, topic_prefix, PARTITION, [elsewhere, *[here] * 99, elsewhere])
    assert sample(mock_kafka, topic_prefix, PARTITIONS) == (1, 100)
