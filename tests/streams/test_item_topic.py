import pytest

from model.items.item import InvalidItem, Item, decode_item
from model.items.rows import BadItem
from service.errors import RefusedError
from streams.item_topic import ItemProducer, Judge, Load, item_partitions, item_records
from tests.streams.mock_topics import create


@pytest.fixture
def topic(mock_kafka, topic_prefix):
    create(mock_kafka, [topic_prefix])
    return topic_prefix


def on_the_topic(kafka, topic):
    records = [(record.key(), record.value()) for record in item_records(kafka, topic)]
    return sorted((key, None if value is None else decode_item(value)) for key, value in records)


def test_items_are_sent_with_their_ids_as_keys(mock_kafka, topic):
    item = Item("größe", "Boots", price=1.5, vector=[0.5])
    with ItemProducer(mock_kafka, topic) as producer:
        producer.put(item)
        producer.remove(b"x")
    assert on_the_topic(mock_kafka, topic) == [("größe".encode(), item), (b"x", None)]
    assert item_partitions(mock_kafka, topic) == 4


def test_what_no_row_is_about_is_removed(mock_kafka, topic):
    with ItemProducer(mock_kafka, topic) as producer:
        load = Load(producer)
        load.send_rows(
            "feed", [Item("a"), BadItem(2, "price", "price is no number", "b"), BadItem(3, "json", "no", None)]
        )
        load.remove_others({b"a", b"b", b"c"})
    assert on_the_topic(mock_kafka, topic) == [(b"a", Item("a")), (b"c", None)]
    assert (load.loaded.items, dict(load.loaded.bad_rows), load.loaded.removed) == (1, {"price": 1, "json": 1}, 1)
    assert load.loaded.first_bad_rows[0] == ("feed", BadItem(2, "price", "price is no number", "b"))
    assert load.unnamed == 1


def test_an_item_that_is_too_large_is_counted(mock_kafka, topic):
    with ItemProducer(mock_kafka, topic) as producer:
        producer.put(Item("a", description="x" * (101 << 20)))
        producer.put(Item("b"))
    assert producer.refused == 1
    assert on_the_topic(mock_kafka, topic) == [(b"b", Item("b"))]


def test_a_missing_topic_is_one_line_with_what_to_do(mock_kafka):
    with pytest.raises(RefusedError, match=r"topic none-such does not exist: run `cartcast topics create`"):
        list(item_records(mock_kafka, "none-such"))


class Record:
    def __init__(self, key, value):
        self.key, self.value = (lambda: key), (lambda: value)


def test_the_first_vector_says_how_long_all_are():
    judge = Judge()
    assert judge(Record(b"a", b'{"item_id":"a","vector":[1,2]}')) == Item("a", vector=[1.0, 2.0])
    assert judge(Record(b"a", None)) is None
    with pytest.raises(InvalidItem, match="vector has 1 numbers, the catalogue's have 2"):
        judge(Record(b"b", b'{"item_id":"b","vector":[1]}'))
    assert judge.dimension == 2
