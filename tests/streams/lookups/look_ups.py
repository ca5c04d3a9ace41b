"""Shoppers in the table of an application that has not been started, as look-ups find them."""

import asyncio
from collections.abc import Sequence

import msgspec
import numpy as np
import torch

from model.batch import batch_of
from model.core.append import Source
from model.events import Event
from model.inference import Scorer
from model.scoring import finish, prepare_batch
from model.sequence import source_code
from service.partitioner import partition_of
from streams.app import store
from streams.identity import JOINED, Claim
from streams.partition_states import PartitionStates
from streams.transport import BatchApp
from tests.streams.memory_publisher import MemoryChangelog, MemoryPublisher

PARTITIONS = 4
IDENTITY = "shop.events/1"
START_MS = 1_700_000_000_000


def events_of(user: str, count: int = 5) -> list[Event]:
    types = ["view", "search", "cart", "view", "purchase"]
    return [
        Event(f"{user}-{number}", user, types[number % 5], START_MS + 60_000 * number, item_id="i", price=10.0)
        for number in range(count)
    ]


def state_of(checkpoint, events: Sequence[Event], *, first_offset: int = 0) -> tuple[bytes, np.ndarray]:
    """The table value after one shopper's events, and the propensities after the last."""
    codec, shop = checkpoint.codec, checkpoint.model.config.shop
    states = codec.gather([None])
    source = Source(source_code(IDENTITY), first_offset + np.arange(len(events)))
    prepared = prepare_batch(states, np.zeros(len(events), np.int64), batch_of(events, shop=shop), source)
    propensities = finish(states, prepared, Scorer(checkpoint, torch.device("cpu")).score(prepared.request))
    return codec.scatter(states)[0], propensities[-1] if len(propensities) else np.empty(0)


def own(app: BatchApp, partitions: Sequence[int], *, restored: bool = True) -> None:
    """Give an application partitions without shoppers."""
    for partition in partitions:
        done = asyncio.get_running_loop().create_future()
        if restored:
            done.set_result(None)
        sequences = store(app.tables["sequences"])
        sequences.partitions[partition] = PartitionStates(
            partition, done, sequences._codec, MemoryChangelog(MemoryPublisher())
        )


def put_state(app: BatchApp, user: str, value: bytes) -> None:
    partition = partition_of(user.encode(), PARTITIONS)
    store(app.tables["sequences"]).partitions[partition].restore({user.encode(): value})


def join(app: BatchApp, anonymous_id: str, user: str) -> None:
    """Note that an anonymous id's state went to a user, at the anonymous id's owner."""
    partition = partition_of(anonymous_id.encode(), PARTITIONS)
    joined = msgspec.json.encode(Claim(user, START_MS))
    store(app.tables["sequences"]).partitions[partition].note(JOINED, anonymous_id.encode(), joined)
