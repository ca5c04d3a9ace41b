"""The publisher on the real Kafka: what the broker refuses must fail its batch, wherever in it it lies."""

import asyncio
import os

import pytest
from confluent_kafka import Consumer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from service.errors import RefusedError
from streams.publisher import Delivery, Publisher
from streams.records.writer import OutputRecord, OutputRecords, record_batches
from tests.harness.waiting import DEADLINE_SECONDS

pytestmark = pytest.mark.integration
LIMIT_BYTES = 20_000
REFUSED = r"^Kafka did not take a record for \S+: Broker: Message size too large$"

TOO_LARGE = OutputRecord(b"k", os.urandom(LIMIT_BYTES + 1))
MANY = [
    OutputRecord(b"k", os.urandom(200)) for _ in range(10_300)
]  # whole message sets of a megabyte, and a small rest


def small(count):
    return [OutputRecord(b"k", b"v")] * count


@pytest.fixture
def topic(kafka, topic_prefix):
    """A topic that takes less than a batch may have."""
    configured = NewTopic(topic_prefix, 1, 1, config={"max.message.bytes": str(LIMIT_BYTES)})
    admin = AdminClient({"bootstrap.servers": kafka})
    admin.create_topics([configured])[topic_prefix].result()
    return topic_prefix


@pytest.fixture
async def publisher(kafka):
    publisher = Publisher({"bootstrap.servers": kafka})
    yield publisher
    await publisher.close()


async def publish(publisher, topic, records):
    batches = record_batches(OutputRecords.of(records), 0)
    delivery = Delivery.of(len(batches))
    publisher.publish(topic, 0, *batches, delivery=delivery)
    await asyncio.wait_for(delivery, DEADLINE_SECONDS)


def stored(kafka, topic):
    consumer = Consumer({"bootstrap.servers": kafka, "group.id": topic})
    _, end = consumer.get_watermark_offsets(TopicPartition(topic, 0))
    consumer.close()
    return end


@pytest.mark.parametrize("before", [0, 1], ids=["the first batch", "a later batch"])
@pytest.mark.parametrize(
    "records",
    [[TOO_LARGE, *small(20)], [*small(20), TOO_LARGE, *small(20)], [*small(20), TOO_LARGE], MANY],
    ids=["first", "middle", "last", "all but the rest"],
)
async def test_a_batch_of_which_the_broker_refuses_a_record_fails(kafka, publisher, topic, before, records):
    await publish(publisher, topic, small(before))
    publisher.publish(topic, 0, delivery=(waiting := Delivery.of(1)))  # of another lane
    for again in (records, small(1)):
        with pytest.raises(RefusedError, match=REFUSED):
            await publish(publisher, topic, again)
    with pytest.raises(RefusedError, match=REFUSED):
        await asyncio.wait_for(waiting, DEADLINE_SECONDS)
    assert stored(kafka, topic) < before + len(records)
