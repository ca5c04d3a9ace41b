"""Other systems' events on the topic: scored as canonical ones are, refused with the same reasons."""

import json
from dataclasses import replace

import numpy as np

from model.core.byte_strings import ByteStrings
from model.formats.records import decoder_of
from streams.fetch import Fetch
from streams.lanes import Lane
from tests.streams.fetches import PARTITION, START_MS, TOPICS, Acks, fetches, put
from tests.streams.memory_publisher import MemoryPublisher, states_of

NUMERIC = ("propensity_session", "propensity_1h", "propensity_24h")


def call(number: int, event: str = "Product Viewed", user: str = "u") -> bytes:
    fields = {
        "type": "track",
        "event": event,
        "messageId": f"e{number}",
        "userId": user,
        "timestamp": START_MS + 1000 * number,
        "properties": {"product_id": "i"},
    }
    return json.dumps(fields).encode()


def fetch(*values: bytes, key: bytes = b"u") -> Fetch:
    offsets = np.arange(len(values))
    keys = ByteStrings.of([key] * len(values))
    return Fetch(TOPICS.events, PARTITION, keys, ByteStrings.of(values), offsets, START_MS + offsets)


async def test_segment_calls_are_scored_as_the_same_events_in_canonical_form(pipeline, states, failures):
    scores = {}
    for name, batches in (
        ("cartcast", fetches(3)),
        ("segment", [fetch(call(0), call(1), call(2))]),
    ):
        one = replace(pipeline, publisher=MemoryPublisher(), decode=decoder_of(name))
        lane = Lane(
            one,
            states_of(pipeline, PARTITION, states.restored),
            failures.append,
        )
        await put(lane, Acks(), *batches)
        await one.publisher.until(lambda one=one: len(one.publisher.produced) == 3)
        await lane.close()
        scores[name] = [json.loads(score.record.value) for score in one.publisher.on(TOPICS.scores)]
    for left, right in zip(scores["cartcast"], scores["segment"], strict=True):
        assert {name: left[name] for name in left if name not in NUMERIC} == {
            name: right[name] for name in right if name not in NUMERIC
        }
        assert all(abs(left[name] - right[name]) < 1e-5 for name in NUMERIC)
    assert failures == []


async def test_what_is_no_event_of_the_format_is_a_dead_letter_as_it_was_received(pipeline, states, failures):
    pipeline = replace(pipeline, decode=decoder_of("segment"))
    lane, publisher = Lane(pipeline, states, failures.append), pipeline.publisher
    canonical = fetches(1)[0].values[0]
    await put(lane, Acks(), fetch(call(0), call(1, user="v"), canonical, b"damaged", b"", call(2)))
    await publisher.until(lambda: len(publisher.produced) == 6)
    await lane.close()
    dead = publisher.on(TOPICS.dead_letters)
    assert [one.headers["reason"] for one in dead] == [b"key", b"type", b"json", b"empty"]
    assert dead[1].record.value == canonical
    assert len(publisher.on(TOPICS.scores)) == 2
