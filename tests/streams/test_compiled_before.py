"""A worker compiles before it takes the first event: no shopper waits for a compiler."""

import subprocess
import sys

SCORE = """
import asyncio, gc
import numpy as np
import torch
from numba.core.dispatcher import Dispatcher
from model.checkpoint import DEFAULT_CHECKPOINT, load_checkpoint
from model.core.byte_strings import ByteStrings
from model.formats.records import decoder_of
from model.inference import Scorer
from model.states import StateCodec
from streams.warm_up import compile_core
from streams.fetch import Fetch
from streams.messages import dead_letter_records, score_records
from streams.observe.counts import Timings
from streams.records.reader import read_batches, read_headers, stored_batches
from streams.records.writer import record_batches
from streams.scoring import Scoring
from model.core.slots import Distinct
from streams.partition_states import PartitionStates

EVENT = b'{"event_id":"%d","user_id":"%s","type":"view","ts":1511539217000}'
NUMBER_AS_ID = b'{"event_id":%d,"user_id":"u","type":"view","ts":1511539217000}'
CALL = (b'{"type":"track","event":"Product Added","messageId":"m","userId":"u","timestamp":"2017-11-24T16:00:17Z",'
        b'"properties":{"product_id":"p"}}')

def compiled():
    loops = [each for each in gc.get_objects() if isinstance(each, Dispatcher)]
    return {loop.py_func.__qualname__: len(loop.signatures) for loop in loops}

async def score_all():
    checkpoint = load_checkpoint(DEFAULT_CHECKPOINT)
    codec = StateCodec(checkpoint.model.config.carried_floats, checkpoint.code)
    states = PartitionStates(0, asyncio.get_running_loop().create_future(), codec, None)
    scoring = Scoring(Scorer(checkpoint, torch.device("cpu")), codec, 1)
    offset = 0
    def score(input_format, *values):
        nonlocal offset
        count = len(values)
        offsets, timestamps = np.arange(offset, offset + count), np.zeros(count, np.int64)
        keys = [b"v" if value and b'"v"' in value else b"u" for value in values]
        fetch = Fetch("t", 0, ByteStrings.of(keys), ByteStrings.of(values), offsets, timestamps)
        offset += count
        scored = scoring.score(fetch, decoder_of(input_format), states, Timings())
        states.scatter(scored.users, scored.slots, scored.states, fetch.next_offset)
        for extra in (None, {"x": [1] * len(scored.rows)}):
            scores = score_records(
                fetch, scored.batch, scored.rows, scored.propensities, model="m", scored_at_ms=1, extra=extra
            )
            for batch in record_batches(scores, 0):
                list(map(read_headers, read_batches(list(stored_batches(memoryview(batch._build())))).headers))
        record_batches(dead_letter_records(fetch, scored.rejects), 0)
    score("cartcast", EVENT % (1, b"u"), EVENT % (2, b"u"))
    score("cartcast", EVENT % (1, b"u"), EVENT % (2, b"v"))
    score("cartcast", EVENT % (3, b"u"), NUMBER_AS_ID % 4, b"{", None)
    score("cartcast", NUMBER_AS_ID % 5)
    score("cartcast", b"{", None)
    score("segment", CALL)
    state = states.record(b"u")
    state["sequence"]["model"] = 1  # another model's
    users = Distinct.of([b"u"])
    states.scatter(users, states.gather(users)[0], state, offset)
    score("cartcast", EVENT % (6, b"u"), EVENT % (6, b"v"))

compile_core()
before = compiled()
asyncio.run(score_all())
assert compiled() == before, {name: count for name, count in compiled().items() if count != before.get(name)}
"""


def test_nothing_is_compiled_when_fetches_of_every_kind_are_scored():
    done = subprocess.run([sys.executable, "-c", SCORE], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


RECOMMEND = """
import asyncio
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from model.items.catalogue import Catalogue
from model.items.columns import columns_of
from model.items.item import Item
from model.items.moments import Triggers
from model.items.network import GOALS, NextItemConfig, NextItemNetwork
from model.items.ranker import ItemModel
from model.items.transitions import KINDS, Neighbours
from model.shop import NO_SHOP
from streams.lookups.item_query import ItemQuery
from streams.lookups.suggester import Suggester
from streams.recommendations import Recommendations

VIEW = b'{"event_id":"%d","user_id":"%s","type":"view","ts":1511539217000,"item_id":"a"}'

async def recommend_all():
    columns, counts = columns_of([Item("a"), Item("b")]), np.ones((1 + len(GOALS), 2), np.int64)
    network = NextItemNetwork(NextItemConfig(), items=2)
    items = ItemModel(network, dict.fromkeys(KINDS, Neighbours.none(2)), columns, ("a", "b"), counts, np.ones(3))
    checkpoint = replace(load_checkpoint(DEFAULT_CHECKPOINT), items=items)
    catalogue = Catalogue(items.config.dimension, items.embed, items.config.vector_size)
    catalogue.add_described(columns, items.item_ids)
    suggester = Suggester(catalogue, items, version="m")
    threads = ThreadPoolExecutor(1)
    made = Recommendations(suggester.for_states, ItemQuery(), "m", NO_SHOP.event_types, threads, lambda: 1)
    states = PartitionStates(0, asyncio.get_running_loop().create_future(), checkpoint.codec, None)
    triggers = Triggers.of(frozenset({"view"}))
    scoring = Scoring(Scorer(checkpoint, torch.device("cpu")), checkpoint.codec, 1, triggers=triggers)
    for offset, users in ((0, b"uuv"), (3, b"u")):
        values = [VIEW % (offset + place, users[place : place + 1]) for place in range(len(users))]
        keys = [users[place : place + 1] for place in range(len(users))]
        offsets = offset + np.arange(len(users))
        fetch = Fetch("t", 0, ByteStrings.of(keys), ByteStrings.of(values), offsets, offsets)
        scored = scoring.score(fetch, decoder_of("cartcast"), states, Timings())
        states.scatter(scored.users, scored.slots, scored.states, fetch.next_offset)
        assert made.made(fetch, scored.batch, scored.moments).records == len(users)

compile_core()
before = compiled()
asyncio.run(recommend_all())
assert compiled() == before, {name: count for name, count in compiled().items() if count != before.get(name)}
"""


def test_nothing_is_compiled_when_items_are_recommended():
    imports, _, _ = SCORE.partition("async def score_all")
    done = subprocess.run([sys.executable, "-c", imports + RECOMMEND], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


MERGE = """
from model.identity import merge
from streams.records.partitions import partitions_of
codec = load_checkpoint(DEFAULT_CHECKPOINT).codec
compile_core()
before = compiled()
for pairs in (1, 2):
    merge(codec.gather([None] * pairs), codec.gather([None] * pairs))
    partitions_of(ByteStrings.of([b"user"] * pairs), 4)
assert compiled() == before, {name: count for name, count in compiled().items() if count != before.get(name)}
"""


def test_nothing_is_compiled_when_an_anonymous_id_is_joined_to_a_user():
    imports, _, _ = SCORE.partition("async def score_all")
    done = subprocess.run([sys.executable, "-c", imports + MERGE], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
