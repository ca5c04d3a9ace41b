"""Impressions in the worker: each is on the scores topic with its list, and nothing else is changed by it."""

import json

import numpy as np

from streams.observe.counts import Timings
from tests.streams.fetches import START_MS, TOPICS, Acks, event, fetch, put, source_offsets
from tests.streams.memory_publisher import states_of


def impression(number: int, user: str = "u", **fields: object) -> bytes:
    shown = {"event_id": f"s{number}", "user_id": user, "type": "impression", "ts": START_MS + 1000 * number}
    return json.dumps(shown | {"items": ["a", "b"]} | fields).encode()


async def published(pipeline, lane, *values: bytes) -> list[dict]:
    await put(lane, Acks(), fetch(*values))
    await pipeline.publisher.until(lambda: len(pipeline.publisher.on(TOPICS.scores)) == len(values))
    return [json.loads(one.record.value) for one in pipeline.publisher.on(TOPICS.scores)]


async def test_an_impression_is_published_with_its_list_and_without_propensities(pipeline, lane):
    shown = impression(1, model_version="m1", placement="home")
    first, score, last = await published(pipeline, lane, event(0), shown, event(2))
    assert (score["event_type"], score["event_id"], score["source_offset"]) == ("impression", "s1", 1)
    assert (score["shown"], score["shown_by"], score["placement"]) == (["a", "b"], "m1", "home")
    assert [score[f"propensity_{horizon}"] for horizon in ("session", "1h", "24h")] == [None, None, None]
    assert score["item_id"] is None
    assert not {"shown", "shown_by", "placement"} & (first.keys() | last.keys())
    assert source_offsets(pipeline.publisher.on(TOPICS.scores)) == [0, 1, 2]


async def test_it_is_counted_apart_from_events_of_types_that_nobody_knows(pipeline, lane):
    await published(pipeline, lane, impression(0), impression(0), event(1))
    counts = pipeline.counts
    assert (counts.scored, counts.impressions, counts.other_types, counts.duplicates) == (3, 2, 0, 0)


async def test_a_bad_one_is_a_dead_letter_that_says_why(pipeline, lane):
    await put(lane, Acks(), fetch(impression(0, items=[]), event(1)))
    await pipeline.publisher.until(lambda: len(pipeline.publisher.on(TOPICS.dead_letters)) == 1)
    (letter,) = pipeline.publisher.on(TOPICS.dead_letters)
    assert letter.headers["reason"] == b"items"
    assert letter.headers["error"] == b"items is empty: an impression is of one item at least"


def scored(pipeline, *values: bytes):
    given = fetch(*values)
    return pipeline.scoring.score(given, pipeline.decode, states_of(pipeline, 0, None), Timings())


def test_scores_and_states_are_those_without_impressions(pipeline):
    """Long gaps between events, with impressions in them: no session begins or goes on with one."""
    times = [0, 1, 1900, 1901, 9000]
    events = [json.dumps(json.loads(event(number)) | {"ts": START_MS + 1000 * at}).encode()
              for number, at in enumerate(times)]  # fmt: skip
    between = [impression(100 * number + 900) for number in range(70)]
    alone = scored(pipeline, *events)
    mixed = scored(pipeline, between[0], *events[:2], *between[1:-1], *events[2:], between[-1])
    np.testing.assert_array_equal(mixed.propensities[: len(events)], alone.propensities)
    assert np.isnan(mixed.propensities[len(events) :]).all()
    after, expected = (done.states.copy() for done in (mixed, alone))
    assert after["sequence"]["offset"].tolist() == [len(events) + 69]
    after["sequence"]["offset"] = expected["sequence"]["offset"]
    assert after.tobytes() == expected.tobytes()


def test_one_that_a_predecessor_has_dealt_with_is_skipped(pipeline):
    first = scored(pipeline, impression(0), event(1))
    states = states_of(pipeline, 0, None)
    states.scatter(first.users, first.slots, first.states, 2)
    again = pipeline.scoring.score(fetch(impression(0), event(1)), pipeline.decode, states, Timings())
    assert (len(again.rows), again.already_applied) == (0, 2)
