"""Compiling everything that an event passes through, before a shopper waits for it."""

from typing import Final

import numpy as np

from model.batch import EventBatch
from model.core.append import Source
from model.core.byte_strings import ByteStrings
from model.core.catalogue_rows import RowsByCode, Texts, pack_texts
from model.core.decode import decode_events
from model.core.encode import OwnFields, ScoreTemplate, encode_scores
from model.core.features import NUMERIC_FEATURES, write_category_rates
from model.core.lstm_step import StepWeights, run_steps
from model.core.shop_tables import ShopTables
from model.core.slots import Distinct, Slots
from model.heads import CATEGORY_CODES
from model.identity import merge
from model.items.catalogue import Catalogue
from model.items.columns import columns_of
from model.items.item import Item
from model.items.network import GOALS, NextItemConfig, NextItemNetwork
from model.items.ranker import ItemModel
from model.items.transitions import KINDS, Neighbours
from model.scoring import prepare_batch
from model.shop import shop_of
from model.states import StateCodec, replay_rings
from streams.fetch import Fetch
from streams.lookups.item_query import ItemQuery
from streams.lookups.suggester import Suggester
from streams.messages import source_header_columns
from streams.records.partitions import partitions_of
from streams.records.reader import read_batches, read_headers, stored_batches
from streams.records.recommendation import RecordTemplate, encode_recommendations
from streams.records.writer import OutputRecords, record_batches

_MORE_THAN_AT_FIRST: Final = 5000


def compile_core() -> None:
    """Score one event of nobody's with a model of zeros: compiles what is not compiled yet, or loads it."""
    codec = StateCodec(carried_floats=2, model_code=1)
    event = b'{"event_id":"e","user_id":"u","type":"view","ts":"2000-01-01T00:00:00Z","price":1.5,"text":"shoe"}'
    plain, _ = decode_events([event], [b"u"])
    batch, _ = decode_events([event, b"{}"], [b"u", b"u"])
    for users in (2, 1):  # one state lies in one piece, several do not: the loop is compiled for both
        states = codec.gather([None] * users)
        prepared = prepare_batch(states, np.zeros(1, np.int64), batch, Source(0, np.zeros(1, np.int64)))
        replay_rings(states["sequence"])
        merge(states, states.copy())
    gates, numeric = np.zeros((1, 4), np.float32), np.zeros((len(NUMERIC_FEATURES), 4), np.float32)
    heads = np.zeros((1, 1 + len(NUMERIC_FEATURES)), np.float32)
    buckets = np.zeros((2, 4), np.float32)
    no_gates, biases, no_biases = (np.zeros(shape, np.float32) for shape in ((0, 4), (1, 1), (0, 1)))
    weights = StepWeights(gates, buckets, buckets, no_gates, numeric, gates, heads, biases, no_biases)
    features = prepared.appended.features
    write_category_rates(features.numeric, features.categories, np.zeros((CATEGORY_CODES, 2), np.float32))
    propensities, _ = run_steps(weights, features, np.zeros(1, np.int64), np.zeros((1, 2), np.float16))
    template = ScoreTemplate.of(("1h",), model="m", source_topic="t", source_partition=0)
    times = plain.event_time_ms
    shop = shop_of({"types": {"own": "none"}, "attributes": {"size": {"kind": "numeric"}}})
    own, _ = decode_events([event], [b"u"], ShopTables.of(shop))
    extra = OwnFields.of(shop).written(own.texts, own.type_codes)
    values = encode_scores(template, plain.texts, plain.type_codes, times, propensities, extra, times, times, 0)
    _compile_records(values)
    _compile_ranking(plain)


def _compile_ranking(plain: EventBatch) -> None:
    """Recommend the only item of a shop to somebody who has viewed it."""
    nothing, columns = Neighbours.none(1), columns_of([Item("i")])
    network = NextItemNetwork(NextItemConfig(dimension=2), items=1)
    counts = np.zeros((1 + len(GOALS), 1), np.int64)
    model = ItemModel(network, dict.fromkeys(KINDS, nothing), columns, ("i",), counts, np.ones(2))
    catalogue = Catalogue(2, model.embed)
    catalogue.add_described(columns, model.item_ids)
    suggester = Suggester(catalogue, model, version="m")
    codec = StateCodec(2, 1, has_item_ends=True)
    for shoppers in (2, 1):
        lists = suggester.for_states(codec.blank(shoppers), ItemQuery())
    template = RecordTemplate.of(("view",), goal=GOALS[0], model="m", source_topic="t", source_partition=0)
    times = plain.event_time_ms
    encode_recommendations(template, plain.texts, plain.type_codes, times, lists, times, times, 0)


def _compile_records(values: ByteStrings) -> None:
    """Send a record to nobody, read it again, and give its shopper a slot and an item a row."""
    fetch = Fetch("t", 0, values, values, np.zeros(1, np.int64), np.zeros(1, np.int64))
    (batch,) = record_batches(OutputRecords(values, values, source_header_columns(fetch, fetch.offsets)), 0)
    (stored,) = stored_batches(memoryview(batch._build()))
    records = read_batches([stored])
    read_headers(records.headers[0] or b"")
    partitions_of(records.keys, 1)
    slots = Slots()
    users = Distinct.of(records.keys)
    slots.add(users, slots.find(users))
    slots.slot(b"u")
    slots.make_room(_MORE_THAN_AT_FIRST, 0)
    slots.remove(slots.find(users))
    slots.compact()
    rows, texts = RowsByCode(), Texts()
    rows.add(np.ones(1, np.uint32))
    rows.find(np.ones(1, np.uint32))
    pack_texts(texts.buffer, texts.places, texts.buffer)


if __name__ == "__main__":
    compile_core()
