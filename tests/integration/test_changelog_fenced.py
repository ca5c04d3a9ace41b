"""Who has lost a partition writes no states any more, on the real Kafka."""

import asyncio

import pytest

from service.kafka_settings import Topics
from streams.changelog import PartitionReader
from streams.fenced import ChangelogWriter, FencedError
from streams.records.writer import OutputRecord, OutputRecords, record_batches
from streams.topics import create_topics
from tests.harness.waiting import DEADLINE_SECONDS

pytestmark = pytest.mark.integration
PARTITION = 1


@pytest.fixture
def client_config(kafka):
    return {"bootstrap.servers": kafka}


@pytest.fixture
def topics(client_config, topic_prefix) -> Topics:
    topics = Topics(prefix=topic_prefix)
    create_topics(client_config, topics, partitions=2, replication_factor=1)
    return topics


@pytest.fixture
async def owner(client_config, topics):
    """Make owners of the partition, one after the other."""
    writers = []

    async def owner() -> ChangelogWriter:
        writers.append(ChangelogWriter(client_config, topics, PARTITION))
        await asyncio.wait_for(writers[-1].start(), DEADLINE_SECONDS)
        return writers[-1]

    yield owner
    for writer in writers:
        await writer.close()


def states(value: bytes, *users: bytes):
    return record_batches(OutputRecords.of([OutputRecord(user, value) for user in users]), 0, in_transaction=True)


@pytest.fixture
def restored(client_config, topics):
    def restored() -> dict[bytes, bytes]:
        reader = PartitionReader(client_config)
        try:
            return reader.restore(topics.changelog, PARTITION, lambda *_: None)
        finally:
            reader.close()

    return restored


async def test_states_are_written_and_read_again(owner, restored):
    writer = await owner()
    await writer.write(states(b"1", b"a", b"b"))
    await writer.write([])
    await writer.write(states(b"2", b"b"))
    assert await asyncio.to_thread(restored) == {b"a": b"1", b"b": b"2"}


async def test_a_predecessor_that_wakes_up_is_told_and_writes_nothing(owner, restored):
    zombie = await owner()
    await zombie.write(states(b"old", b"a"))
    successor = await owner()
    await successor.write(states(b"new", b"a"))
    for _ in range(2):
        with pytest.raises(FencedError, match="another worker has taken over"):
            await asyncio.wait_for(zombie.write(states(b"older", b"a", b"b")), DEADLINE_SECONDS)
    await successor.write(states(b"newer", b"c"))
    assert await asyncio.to_thread(restored) == {b"a": b"new", b"c": b"newer"}


async def test_what_a_predecessor_had_begun_to_write_is_taken_back(owner, restored, topics):
    zombie = await owner()
    await zombie.write(states(b"old", b"a"))
    producer = await zombie._starting
    await producer.begin_transaction()
    (batch,) = states(b"half done", b"a")
    await (await producer.send_batch(batch, topics.changelog, partition=PARTITION))
    successor = await owner()
    assert await asyncio.to_thread(restored) == {b"a": b"old"}
    await successor.write(states(b"new", b"b"))
    assert await asyncio.to_thread(restored) == {b"a": b"old", b"b": b"new"}


async def test_a_write_that_nobody_waits_for_is_whole_before_the_next_begins(owner, restored):
    writer = await owner()
    impatient = asyncio.create_task(writer.write(states(b"1", b"a", b"b")))
    await asyncio.sleep(0)
    impatient.cancel()
    await asyncio.wait([impatient])
    await writer.write(states(b"2", b"b"))
    assert await asyncio.to_thread(restored) == {b"a": b"1", b"b": b"2"}
