import pytest
from confluent_kafka import Producer

from cartcast.demo.comparison import Comparison
from cartcast.demo.delays import DelaySummary
from cartcast.demo.readback import event_id_of, position, read_to_end
from cartcast.demo.shoppers import Shoppers
from cartcast.demo.verify import verify
from model.events import Event
from service.kafka_settings import Topics
from streams.replay import at_once
from streams.topics import create_topics

pytestmark = pytest.mark.integration

EVENT_IDS = [f"e{number}" for number in range(20)]


class Shop:
    """A pipeline by hand: events as the demo sends them, scores as this test likes them."""

    def __init__(self, bootstrap_servers: str, prefix: str) -> None:
        self.config = {"bootstrap.servers": bootstrap_servers, "compression.type": "none"}
        self.topics = Topics(prefix=prefix)
        create_topics(self.config, self.topics, partitions=2, replication_factor=1)

    def send_events(self) -> None:
        events = [Event(event_id, f"u{event_id}", "view", 1_767_571_200_000) for event_id in EVENT_IDS]
        shoppers = Shoppers(self.config, self.topics, at_once, keep_ids=True)
        shoppers.start(events)
        shoppers.wait()
        assert shoppers.event_ids == EVENT_IDS
        assert (shoppers.sent, shoppers.duplicates) == (20, 0)

    def score(self, event_ids: list[str], topic: str) -> None:
        producer = Producer(self.config)
        for event in read_to_end(self.config, self.topics.events):
            partition, offset = position(event)
            event_id = event_id_of(event) or ""
            headers = [("topic", b"x"), ("partition", b"%d" % partition), ("offset", b"%d" % offset)]
            for _ in range(event_ids.count(event_id)):
                producer.produce(topic, event.value(), partition=partition, headers=headers)
        producer.flush()

    def verify(self, stored_ids: list[str]) -> tuple[Comparison, DelaySummary | None]:
        return verify(self.config, self.topics, EVENT_IDS, stored_ids)


@pytest.fixture
def shop(kafka: str, topic_prefix: str) -> Shop:
    shop = Shop(kafka, topic_prefix)
    shop.send_events()
    return shop


def test_all_scored_and_stored_is_exact_and_has_delays(shop: Shop) -> None:
    shop.score(EVENT_IDS, shop.topics.scores)
    comparison, delay = shop.verify(EVENT_IDS)
    assert comparison.is_exact
    assert (comparison.accepted, comparison.scored, comparison.stored) == (20, 20, 20)
    assert delay is not None
    assert 0 <= delay.p50_ms <= delay.p99_ms <= delay.max_ms < 60_000


def test_a_missing_score_a_missing_row_and_repeats_are_found(shop: Shop) -> None:
    shop.score([*EVENT_IDS[1:], "e5"], shop.topics.scores)
    comparison, _ = shop.verify([*EVENT_IDS[:-1], "e7", "e7"])
    assert comparison.lost == 2  # e0 has no score, e19 no row
    assert comparison.duplicated == 3


def test_dead_letters_are_read_back_too(shop: Shop) -> None:
    shop.score(EVENT_IDS[2:], shop.topics.scores)
    shop.score(EVENT_IDS[:2], shop.topics.dead_letters)
    comparison, _ = shop.verify(EVENT_IDS[2:])
    assert comparison.is_exact
    assert (comparison.accepted, comparison.dead_letters) == (18, 2)


def test_a_doubled_dead_letter_is_found(shop: Shop) -> None:
    shop.score(EVENT_IDS[2:], shop.topics.scores)
    shop.score([*EVENT_IDS[:2], "e0"], shop.topics.dead_letters)
    comparison, _ = shop.verify(EVENT_IDS[2:])
    assert (comparison.dead_letters, comparison.duplicated, comparison.is_exact) == (3, 1, False)
