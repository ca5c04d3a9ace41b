import pytest

from cartcast.demo.shop import ITEM_MODEL, ITEMS, DemoShop, write_checkpoint
from model.checkpoint import load_checkpoint
from model.items.item import decode_item
from model.items.network import GOALS
from model.simulator import Simulation, SimulationSettings
from service.kafka_settings import Topics
from streams.item_topic import ItemProducer, item_records
from streams.topics import create_topics

DAY_MS = 86_400_000
SETTINGS = SimulationSettings(events=20_000, users=200, items=ITEMS, with_tastes=True)


def test_the_checkpoint_recommends_the_items_that_the_shoppers_look_at(tmp_path):
    items = load_checkpoint(write_checkpoint(tmp_path)).items
    assert items is not None
    assert ITEM_MODEL.stat().st_size < 1_000_000
    looked_at = {event.item_id for event in Simulation(SETTINGS).events() if event.item_id is not None}
    assert len(looked_at & set(items.item_ids)) > 0.9 * len(looked_at)
    assert items.counts.shape[0] == 1 + len(GOALS)


@pytest.mark.integration
def test_items_are_on_their_topic_as_the_shops_time_passes(kafka, topic_prefix):
    config, topics = {"bootstrap.servers": kafka}, Topics(prefix=topic_prefix)
    create_topics(config, topics, partitions=1, replication_factor=1)
    with ItemProducer(config, topics.items) as producer:
        shop = DemoShop(Simulation(SETTINGS), producer)
        shop.open()
        at_first = [decode_item(record.value()) for record in item_records(config, topics.items)]
        events = list(shop.events())
        assert list(shop.with_items(events)) == events
    sent = [decode_item(record.value()) for record in item_records(config, topics.items)]
    assert len(at_first) > ITEMS / 2
    assert {item.item_id for item in at_first} == {item.item_id for item in sent if item.added_at == SETTINGS.start_ms}
    assert any(not item.in_stock for item in sent)
    assert max(item.added_at for item in sent) <= events[-1].ts
    last = {item.item_id: item for item in sent}
    lines = Simulation(SETTINGS).catalogue_lines(max(event.ts for event in events))
    assert {line.item_id: line.in_stock for line in lines} == {each: item.in_stock for each, item in last.items()}
