"""Events, fetches and acknowledgements as the lanes' tests use them."""

import json

import numpy as np

from model.core.byte_strings import ByteStrings
from service.kafka_settings import Topics
from streams.fetch import Fetch
from streams.lanes import Lane

PARTITION = 3
TOPICS = Topics(prefix="shop")
START_MS = 1_700_000_000_000
SOURCE_CODE = 1


def event(number: int, user: str = "u") -> bytes:
    fields = {"event_id": f"e{number}", "user_id": user, "type": "view", "ts": START_MS + 1000 * number, "item_id": "i"}
    return json.dumps(fields).encode()


def fetch(*values: bytes, first_offset: int = 0, partition: int = PARTITION) -> Fetch:
    keys = [json.loads(value)["user_id"].encode() if value.startswith(b"{") else b"?" for value in values]
    offsets = first_offset + np.arange(len(values))
    return Fetch(TOPICS.events, partition, ByteStrings.of(keys), ByteStrings.of(values), offsets, START_MS + offsets)


def fetches(count: int, first: int = 0) -> list[Fetch]:
    """Fetches of one event each, of one user."""
    return [fetch(event(number), first_offset=number) for number in range(first, first + count)]


class Acks(list):
    """Remembers which fetches have been acknowledged, by name."""

    def of(self, name: object):
        return lambda: self.append(name)


def source_offsets(produced) -> list[int]:
    return [int(one.headers["offset"]) for one in produced]


async def put(lane: Lane, acks: Acks, *batches: Fetch) -> None:
    for batch in batches:
        await lane.put(batch, acks.of(batch.last_offset))
