import asyncio
import gc
from types import SimpleNamespace

import pytest
from aiokafka.client import AIOKafkaClient
from aiokafka.errors import KafkaConnectionError, KafkaError, MessageSizeTooLargeError
from aiokafka.protocol.coordination import FindCoordinatorRequest
from structlog.testing import capture_logs

from service.errors import RefusedError, UnavailableError
from streams.publisher import Delivery, Publisher, answer_of, close_producer, open_producer
from streams.records.writer import OutputRecord, OutputRecords, record_batches
from tests.harness.ports import new_port
from tests.streams.memory_publisher import let_others_run
from tests.streams.mock_topics import create, read

PARTITION = 2
RECORDS = [
    OutputRecord(b"a", b"1", [("offset", b"7"), ("topic", b"shop.events")]),
    OutputRecord(None, b"\xff\x00"),
    OutputRecord(b"b", None),
    OutputRecord(b"", b""),
]


@pytest.fixture
async def publisher(mock_kafka, topic_prefix):
    create(mock_kafka, [topic_prefix])
    publisher = Publisher(mock_kafka)
    yield publisher
    await publisher.close()


def publish(publisher: Publisher, topic: str, *records: OutputRecord) -> Delivery:
    batches = record_batches(OutputRecords.of(records), 1_700_000_000_000)
    delivery = Delivery.of(len(batches))
    publisher.publish(topic, PARTITION, *batches, delivery=delivery)
    return delivery


async def test_records_arrive_in_order_as_they_are_on_the_partition_they_were_given(
    publisher, mock_kafka, topic_prefix
):
    for record in RECORDS:
        publish(publisher, topic_prefix, record)
    await publish(publisher, topic_prefix, *RECORDS)
    messages = read(mock_kafka, topic_prefix, PARTITION, 8)
    assert [(message.key(), message.value()) for message in messages] == [(one.key, one.value) for one in 2 * RECORDS]
    assert messages[4].headers() == RECORDS[0].headers
    assert [message.offset() for message in messages] == list(range(8))


async def test_of_a_partition_one_batch_is_under_way_and_the_next_goes_when_it_is_confirmed(mock_kafka, topic_prefix):
    sent = []

    async def send_batch(batch, *_, **__):
        sent.append((batch.record_count(), asyncio.get_running_loop().create_future()))
        return sent[-1][1]

    async def producer():
        return SimpleNamespace(send_batch=send_batch)

    publisher = Publisher(mock_kafka)
    publisher._producer = producer
    first, second = publish(publisher, topic_prefix, *RECORDS), publish(publisher, topic_prefix, RECORDS[0])
    await let_others_run()
    assert ([count for count, _ in sent], publisher.queue_messages) == ([4], 5)
    sent[0][1].set_result(None)
    await first
    await let_others_run()
    assert ([count for count, _ in sent], second.done(), publisher.queue_messages) == ([4, 1], False, 1)
    sent[1][1].set_result(None)
    await second
    assert (publisher.queue_messages, publisher.queue_bytes) == (0, 0)


async def test_after_a_refusal_nothing_is_sent_and_every_delivery_fails(mock_kafka, topic_prefix):
    async def send_batch(*_, **__):
        raise MessageSizeTooLargeError

    async def producer():
        return SimpleNamespace(send_batch=send_batch)

    publisher = Publisher(mock_kafka)
    publisher._producer = producer
    publisher.publish("another", PARTITION, delivery=(waiting := Delivery()))
    for delivery in (publish(publisher, topic_prefix, *RECORDS), waiting):
        with pytest.raises(RefusedError, match=rf"for {topic_prefix}: Broker: Message size too large"):
            await delivery
    publisher._producer = None  # nobody asks for it again
    with pytest.raises(RefusedError, match="Message size too large"):
        await publish(publisher, topic_prefix, *RECORDS)


async def test_a_bug_in_the_client_fails_every_delivery_and_its_traceback_is_logged_once(mock_kafka):
    bug, unhandled = RuntimeError("bug"), []

    async def producer():
        raise bug

    asyncio.get_running_loop().set_exception_handler(lambda _, context: unhandled.append(context))
    publisher = Publisher(mock_kafka)
    publisher._producer = producer
    with capture_logs() as lines, pytest.raises(RefusedError, match=r"client failed .*bug"):
        await publish(publisher, "shop.scores", RECORDS[0])
    await let_others_run()
    gc.collect()  # asyncio tells of what a task raised when nobody has a reference to it any more
    assert [line["exc_info"] for line in lines] == [bug]
    assert not unhandled


async def test_batches_wait_while_the_broker_is_away_and_closing_does_not_wait_for_them():
    publisher = Publisher({"bootstrap.servers": f"127.0.0.1:{new_port()}", "log_level": 0})
    delivery = publish(publisher, "shop.scores", RECORDS[0])
    await let_others_run()
    assert not delivery.done()
    await publisher.close()
    assert not delivery.done()


@pytest.fixture
async def delivery() -> Delivery:
    return Delivery.of(2)


async def test_a_connection_that_ends_while_a_coordinator_is_looked_up_ends_no_producer(mock_kafka, monkeypatch):
    send, failures = AIOKafkaClient.send, [KafkaConnectionError("closed")]

    async def fail_once(client, node_id, request, **options):
        if isinstance(request, FindCoordinatorRequest) and failures:
            raise failures.pop()
        return await send(client, node_id, request, **options)

    monkeypatch.setattr(AIOKafkaClient, "send", fail_once)
    await close_producer(await open_producer(mock_kafka, transactional_id="t"))
    assert not failures


def test_a_failure_that_no_broker_answered_has_words_too():
    assert answer_of(KafkaError("the sender ended")) == "KafkaError: the sender ended"
    assert "message size" in answer_of(MessageSizeTooLargeError()).lower()


async def test_a_delivery_is_done_when_every_batch_is_confirmed(delivery):
    called = []
    delivery.on_success(lambda: called.append("confirmed"))
    delivery.confirm()
    await let_others_run()
    assert (delivery.done(), called) == (False, [])
    delivery.confirm()
    await delivery
    await let_others_run()
    assert (delivery.done(), called) == (True, ["confirmed"])
    await delivery


async def test_a_delivery_of_nothing_is_done_at_once():
    nothing, called = Delivery.of(0), []
    nothing.on_success(lambda: called.append("confirmed"))
    assert nothing.done()
    await nothing
    await let_others_run()
    assert called == ["confirmed"]


async def test_who_stops_waiting_takes_the_delivery_from_nobody_else(delivery):
    impatient, patient = asyncio.create_task(wait_for(delivery)), asyncio.create_task(wait_for(delivery))
    await let_others_run()
    impatient.cancel()
    await let_others_run()
    delivery.confirm()
    delivery.confirm()
    await patient
    assert impatient.cancelled()


async def wait_for(delivery: Delivery) -> None:
    await delivery


async def test_an_abandoned_delivery_fails_and_later_confirmations_change_nothing(delivery):
    called = []
    delivery.on_success(lambda: called.append("confirmed"))
    delivery.on_end(called.append)
    delivery.abandon("refused")
    delivery.abandon()
    for _ in range(2):
        delivery.confirm()
    await let_others_run()
    with pytest.raises(RefusedError, match="refused"):
        await delivery
    assert [type(each) for each in called] == [RefusedError]


async def test_a_publisher_asks_kafka_and_nobody_else(publisher, topic_prefix, monkeypatch):
    publisher.ask(topic_prefix)
    monkeypatch.setattr("streams.publisher._ANSWER_SECONDS", 0.2)
    with pytest.raises(UnavailableError):
        Publisher({"bootstrap.servers": "127.0.0.1:9", "log_level": 0}).ask(topic_prefix)


async def test_kafka_is_waited_for_when_a_confirmation_is_late():
    publisher = Publisher({"bootstrap.servers": "127.0.0.1:9", "log_level": 0})
    delivery = publish(publisher, "shop.scores", OutputRecord(b"k", b"v" * 100))
    assert not publisher.waits_for_kafka  # it has been under way for a moment only
    delivery.began_at -= 6
    assert publisher.waits_for_kafka
    assert publisher.queue_messages == 1
    assert publisher.queue_bytes > 0
    await publisher.close()
    assert not publisher.waits_for_kafka  # nobody would take the confirmation


async def test_what_is_confirmed_is_waited_for_no_more(publisher, topic_prefix):
    delivery = publish(publisher, topic_prefix, *RECORDS)
    delivery.began_at -= 6
    await delivery
    assert not publisher.waits_for_kafka
