import asyncio

import pytest
from confluent_kafka import KafkaError

from service.errors import RefusedError, UnavailableError
from streams.publisher import Delivery, OutputRecord, Publisher
from tests.streams.memory_publisher import let_others_run
from tests.streams.mock_topics import read

PARTITION = 2
REFUSED = KafkaError(KafkaError.TOPIC_AUTHORIZATION_FAILED)


@pytest.fixture
def publisher(mock_kafka):
    publisher = Publisher(mock_kafka, linger_ms=1)
    publisher.start()
    yield publisher
    publisher.stop()


async def publish(publisher: Publisher, topic: str, records: list[OutputRecord]) -> Delivery:
    delivery = publisher.expect(len(records))
    await publisher.produce(topic, PARTITION, records, delivery)
    return delivery


async def test_records_arrive_in_order_as_they_are_on_the_partition_they_were_given(
    publisher, mock_kafka, topic_prefix
):
    records = [
        OutputRecord(b"a", b"1", [("offset", b"7"), ("topic", b"shop.events")]),
        OutputRecord(None, b"\xff\x00"),
        OutputRecord(b"b", None),
        OutputRecord(b"", b""),
    ]
    await (await publish(publisher, topic_prefix, records))
    messages = read(mock_kafka, topic_prefix, PARTITION, 4)
    assert [(message.key(), message.value()) for message in messages] == [(one.key, one.value) for one in records]
    assert messages[0].headers() == records[0].headers
    assert [message.offset() for message in messages] == [0, 1, 2, 3]


class OneByOne:
    """A producer that delivers one record after the other."""

    def __init__(self):
        self._reports = []

    def produce(self, _topic, _value, _key, _partition, report, **_):
        self._reports.append(report)

    def deliver(self) -> None:
        if (report := self._reports.pop(0)) is not None:
            report(None, None)


async def test_a_batch_is_confirmed_with_its_last_record_and_not_before(mock_kafka, topic_prefix):
    publisher, producer = Publisher(mock_kafka, linger_ms=0), OneByOne()
    publisher._producer = producer
    delivery = await publish(publisher, topic_prefix, [OutputRecord(b"k", b"v")] * 3)
    for is_confirmed in (False, False, True):
        producer.deliver()
        await let_others_run()
        assert delivery.done() is is_confirmed


async def test_a_queue_that_is_full_makes_the_caller_wait_and_loses_nothing(mock_kafka, topic_prefix):
    publisher = Publisher({**mock_kafka, "queue.buffering.max.messages": 5}, linger_ms=0)
    publisher.start()
    records = [OutputRecord(b"k", b"%d" % number) for number in range(60)]
    await (await publish(publisher, topic_prefix, records))
    publisher.stop()
    assert [message.value() for message in read(mock_kafka, topic_prefix, PARTITION, 60)] == [r.value for r in records]


async def test_a_record_that_librdkafka_refuses_is_one_line_with_the_topic(mock_kafka):
    publisher = Publisher({**mock_kafka, "message.max.bytes": 1000}, linger_ms=0)
    publisher.start()
    with pytest.raises(RefusedError, match=r"shop\.scores.*too large"):
        await publish(publisher, "shop.scores", [OutputRecord(b"k", bytes(5000))])
    publisher.stop()


async def test_records_wait_while_the_broker_is_away_and_stop_does_not_wait_for_them(unused_tcp_port):
    publisher = Publisher({"bootstrap.servers": f"127.0.0.1:{unused_tcp_port}", "log_level": 0}, linger_ms=0)
    publisher.start()
    delivery = await publish(publisher, "shop.scores", [OutputRecord(b"k", b"v")])
    await let_others_run()
    assert not delivery.done()
    publisher.stop()


@pytest.fixture
async def delivery() -> Delivery:
    return Delivery(2, asyncio.get_running_loop())


async def test_a_delivery_is_done_when_every_record_is_confirmed(delivery):
    called = []
    delivery.on_success(lambda: called.append("confirmed"))
    delivery.confirm(None, None)
    await let_others_run()
    assert (delivery.done(), called) == (False, [])
    delivery.confirm(None, None)
    await delivery
    await let_others_run()
    assert (delivery.done(), called) == (True, ["confirmed"])
    await delivery


async def test_a_delivery_of_nothing_is_done_at_once():
    nothing, called = Delivery(0, asyncio.get_running_loop()), []
    nothing.on_success(lambda: called.append("confirmed"))
    assert nothing.done()
    await nothing
    await let_others_run()
    assert called == ["confirmed"]


@pytest.mark.parametrize("reports", [[REFUSED, None], [None, REFUSED]])
async def test_a_delivery_of_which_one_record_fails_fails(delivery, reports):
    called = []
    delivery.on_success(lambda: called.append("confirmed"))
    for report in reports:
        delivery.confirm(report, None)
    with pytest.raises(RefusedError, match="did not take a record"):
        await delivery
    await let_others_run()
    assert called == []


async def test_who_stops_waiting_takes_the_delivery_from_nobody_else(delivery):
    impatient, patient = asyncio.create_task(wait_for(delivery)), asyncio.create_task(wait_for(delivery))
    await let_others_run()
    impatient.cancel()
    await let_others_run()
    delivery.confirm(None, None)
    delivery.confirm(None, None)
    await patient
    assert impatient.cancelled()


async def wait_for(delivery: Delivery) -> None:
    await delivery


async def test_an_abandoned_delivery_fails_and_later_reports_change_nothing(delivery):
    delivery.abandon()
    delivery.abandon()
    for _ in range(2):
        delivery.confirm(None, None)
    await let_others_run()
    with pytest.raises(RefusedError):
        await delivery


def test_a_report_that_comes_after_the_end_is_ignored():
    async def expect() -> Delivery:
        return Delivery(1, asyncio.get_running_loop())

    delivery = asyncio.run(expect())
    delivery.confirm(None, None)
    assert not delivery.done()


async def test_a_publisher_tells_what_waits(publisher, topic_prefix):
    assert publisher.queue_messages == 0
    publisher.ask(topic_prefix)
    await (await publish(publisher, topic_prefix, [OutputRecord(b"k", b"v")]))
    while publisher.queue_messages:  # noqa: ASYNC110 - librdkafka counts a confirmation until its call-back has returned
        await asyncio.sleep(0.01)


async def test_kafka_is_waited_for_when_a_confirmation_is_late(monkeypatch):
    monkeypatch.setattr("streams.publisher._ANSWER_SECONDS", 0.2)
    publisher = Publisher({"bootstrap.servers": "127.0.0.1:9", "log_level": 0}, linger_ms=0)
    publisher.start()
    delivery = await publish(publisher, "shop.scores", [OutputRecord(b"k", b"v" * 100)])
    with pytest.raises(UnavailableError):
        publisher.ask("shop.scores")
    assert not publisher.waits_for_kafka  # it has been under way for a moment only
    delivery.began_at -= 6
    assert publisher.waits_for_kafka
    publisher._take_statistics('{"name": "x", "msg_cnt": 1, "msg_size": 101, "brokers": {}}')
    assert (publisher.queue_messages, publisher.queue_bytes) == (1, 101)
    publisher.stop()
    assert not publisher.waits_for_kafka  # nobody would take the confirmation


async def test_what_is_confirmed_is_waited_for_no_more(publisher, topic_prefix):
    delivery = await publish(publisher, topic_prefix, [OutputRecord(b"k", b"v")])
    delivery.began_at -= 6
    await delivery
    assert not publisher.waits_for_kafka
