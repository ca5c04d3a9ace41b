"""What a worker produces on the real Kafka: a refused batch fails, and who has lost a partition writes no states."""

import asyncio
import gc
import os

import pytest
from confluent_kafka import Consumer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from service.errors import RefusedError
from service.kafka_settings import Topics
from streams.changelog import PartitionReader
from streams.fenced import ChangelogWriter, FencedError
from streams.publisher import Delivery, Publisher
from streams.records.writer import OutputRecord, OutputRecords, record_batches
from streams.topics import create_topics
from tests.harness.waiting import DEADLINE_SECONDS

pytestmark = pytest.mark.integration
PARTITION = 1
LIMIT_BYTES = 20_000
REFUSED = r"^Kafka did not take a record for \S+: Broker: Message size too large$"

TOO_LARGE = OutputRecord(b"k", os.urandom(LIMIT_BYTES + 1))
MANY = [
    OutputRecord(b"k", os.urandom(200)) for _ in range(10_300)
]  # whole message sets of a megabyte, and a small rest


def small(count):
    return [OutputRecord(b"k", b"v")] * count


@pytest.fixture
def client_config(kafka):
    return {"bootstrap.servers": kafka}


@pytest.fixture
def topic(client_config, topic_prefix):
    """A topic that takes less than a batch may have."""
    configured = NewTopic(topic_prefix, 1, 1, config={"max.message.bytes": str(LIMIT_BYTES)})
    admin = AdminClient(client_config)
    admin.create_topics([configured])[topic_prefix].result()
    return topic_prefix


@pytest.fixture
async def publisher(client_config):
    publisher = Publisher(client_config)
    yield publisher
    await publisher.close()


async def publish(publisher, topic, records):
    batches = record_batches(OutputRecords.of(records), 0)
    delivery = Delivery.of(len(batches))
    publisher.publish(topic, 0, *batches, delivery=delivery)
    await asyncio.wait_for(delivery, DEADLINE_SECONDS)


def stored(client_config, topic):
    consumer = Consumer({**client_config, "group.id": topic})
    _, end = consumer.get_watermark_offsets(TopicPartition(topic, 0))
    consumer.close()
    return end


@pytest.mark.parametrize("before", [0, 1], ids=["the first batch", "a later batch"])
@pytest.mark.parametrize(
    "records",
    [[TOO_LARGE, *small(20)], [*small(20), TOO_LARGE, *small(20)], [*small(20), TOO_LARGE], MANY],
    ids=["first", "middle", "last", "all but the rest"],
)
async def test_a_batch_of_which_the_broker_refuses_a_record_fails(client_config, publisher, topic, before, records):
    await publish(publisher, topic, small(before))
    publisher.publish(topic, 0, delivery=(waiting := Delivery.of(1)))  # of another lane
    for again in (records, small(1)):
        with pytest.raises(RefusedError, match=REFUSED):
            await publish(publisher, topic, again)
    with pytest.raises(RefusedError, match=REFUSED):
        await asyncio.wait_for(waiting, DEADLINE_SECONDS)
    assert stored(client_config, topic) < before + len(records)


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


async def test_every_batch_of_a_transaction_is_written_in_order(owner, restored):
    writer = await owner()
    await writer.write([*states(b"1", b"a", b"b"), *states(b"2", b"b", b"c"), *states(b"3", b"c")])
    assert await asyncio.to_thread(restored) == {b"a": b"1", b"b": b"2", b"c": b"3"}


async def test_a_predecessor_that_wakes_up_is_told_once_and_writes_nothing(owner, restored, caplog):
    zombie = await owner()
    await zombie.write(states(b"old", b"a"))
    successor = await owner()
    await successor.write(states(b"new", b"a"))
    for _ in range(2):
        with pytest.raises(FencedError, match="another worker has taken over"):
            await asyncio.wait_for(zombie.write(states(b"older", b"a", b"b")), DEADLINE_SECONDS)
    await successor.write(states(b"newer", b"c"))
    assert await asyncio.to_thread(restored) == {b"a": b"new", b"c": b"newer"}
    await zombie.close()
    gc.collect()  # asyncio tells of failures that nobody has taken when their futures are collected
    assert [each for each in caplog.records if each.name == "asyncio"] == []


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


async def test_who_has_closed_writes_no_more_and_waits_for_nothing(owner):
    writer = await owner()
    await writer.close()
    with pytest.raises(RuntimeError, match="after it is closed"):
        await asyncio.wait_for(writer.write(states(b"1", b"a")), DEADLINE_SECONDS)
