"""A worker's catalogue follows the items topic, on librdkafka's own broker."""

import json

import numpy as np
import pytest
from structlog.testing import capture_logs

from model.items.catalogue import EVENTS_ONLY, IN_CATALOGUE, REMOVED, Catalogue
from model.items.codes import item_codes
from model.items.item import Item
from service.backoff import FIRST_PAUSE_SECONDS
from streams.catalogue import CatalogueReader
from streams.records.writer import OutputRecord
from tests.harness.waiting import eventually
from tests.streams.mock_topics import create, write


def embed(columns):
    return np.ones((len(columns), 2), np.float32)


@pytest.fixture
def reader(mock_kafka, topic_prefix):
    reader = CatalogueReader(mock_kafka, topic_prefix, Catalogue(2, embed), identity=lambda: "one")
    yield reader
    reader.stop()


@pytest.fixture
def put(mock_kafka, topic_prefix):
    def put(*records: tuple[bytes | None, object], partition: int = 0) -> None:
        values = [
            (key, value if value is None or isinstance(value, bytes) else json.dumps(value).encode())
            for key, value in records
        ]
        write(mock_kafka, topic_prefix, partition, [OutputRecord(key, value) for key, value in values])

    return put


def item(item_id: str, **fields) -> tuple[bytes, object]:
    return item_id.encode(), {"item_id": item_id, **fields}


def state_of(reader, item_id: str) -> int | None:
    row = reader.catalogue.row_of(item_id)
    return None if row < 0 else int(reader.catalogue.view.states[row])


def title_of(reader, item_id: str) -> str | None:
    return reader.catalogue.known_items([reader.catalogue.row_of(item_id)])[0].title


def test_the_topic_is_read_whole_and_followed(reader, put):
    put(item("a", title="old"), item("b"), item("a", title="new"), (b"b", None))
    put(item("c"), partition=3)
    reader.start()
    eventually(lambda: reader.is_complete, "the end of the topic")
    assert title_of(reader, "a") == "new"
    assert (state_of(reader, "b"), state_of(reader, "c")) == (None, IN_CATALOGUE)
    put(item("d"), (b"a", None), item("a", title="newest"), (b"c", None))
    eventually(lambda: state_of(reader, "d") == IN_CATALOGUE, "an item that was added")
    assert title_of(reader, "a") == "newest"
    eventually(lambda: state_of(reader, "c") == REMOVED, "an item that was removed")
    assert reader.counts() == {"catalogue": 2, "events": 0}


def test_a_record_that_is_no_item_changes_nothing_and_is_counted_and_logged(reader, put):
    with capture_logs() as logs:
        put(
            item("a", title="good", vector=[1, 2]),
            item("a", price="12.90 EUR"),
            (b"b", b"{"),
            (b"other", {"item_id": "c"}),
            (None, {"item_id": "c"}),
            item("d", vector=[1]),
            item("e"),
        )
        reader.start()
        eventually(lambda: reader.is_complete, "the end of the topic")
    assert reader.refused == {"price": 1, "json": 1, "key": 2, "vector": 1}
    assert title_of(reader, "a") == "good"
    assert [state_of(reader, name) for name in "bcde"] == [None, None, None, IN_CATALOGUE]
    refused = [line for line in logs if line["event"] == "an item is refused"]
    assert [(line["partition"], line["offset"], line["reason"]) for line in refused][:2] == [
        (0, 1, "price"),
        (0, 2, "json"),
    ]


def test_refusals_are_logged_a_few_times_a_minute_only(reader, put):
    with capture_logs() as logs:
        put(*[(b"key", b"{")] * 50)
        reader.start()
        eventually(lambda: reader.is_complete, "the end of the topic")
    assert reader.refused["json"] == 50
    assert sum(line["event"] == "an item is refused" for line in logs) == 10


def test_a_topic_that_is_missing_is_waited_for_and_said_once(mock_kafka, topic_prefix, reader, put):
    reader.catalogue.learn(item_codes(["x"]), ["x"])
    with capture_logs() as logs:
        reader.start()
        eventually(lambda: reader._backoff._pause_seconds > FIRST_PAUSE_SECONDS, "the second attempt")
        create(mock_kafka, [topic_prefix])
        eventually(lambda: reader.is_complete, "the end of an empty topic")
        put(item("a"))
        eventually(lambda: state_of(reader, "a") == IN_CATALOGUE, "an item")
    assert "does not exist" in logs[0]["reason"]
    assert [line["log_level"] for line in logs].count("warning") == 1
    assert state_of(reader, "x") == EVENTS_ONLY


def test_a_topic_that_was_made_anew_is_read_from_its_beginning(mock_kafka, topic_prefix, put):
    identity, now = ["one"], [0.0]
    reader = CatalogueReader(
        mock_kafka, topic_prefix, Catalogue(2, embed), clock=lambda: now[0], identity=lambda: identity[0]
    )
    reader.catalogue.put([Item("of the earlier topic")])
    reader.catalogue.begin()
    put(item("a"))
    reader.start()
    eventually(lambda: reader.is_complete, "the end of the topic")
    assert state_of(reader, "of the earlier topic") == REMOVED
    reader.catalogue.put([Item("of the earlier topic")])
    identity[0] = "two"
    now[0] = 60.0
    eventually(lambda: state_of(reader, "of the earlier topic") == REMOVED, "the end of the new topic")
    assert state_of(reader, "a") == IN_CATALOGUE
    reader.stop()


def test_a_vector_has_the_length_that_the_model_knows(mock_kafka, topic_prefix, put):
    put(item("a", vector=[1, 2]), item("b", vector=[1, 2, 3]))
    for dimension, refused in ((3, 1), (0, 0)):
        reader = CatalogueReader(mock_kafka, topic_prefix, Catalogue(2, embed, dimension), identity=lambda: "one")
        reader.start()
        eventually(lambda reader=reader: reader.is_complete, "the end of the topic")
        reader.stop()
        assert reader.refused["vector"] == refused
        assert state_of(reader, "b") == IN_CATALOGUE
