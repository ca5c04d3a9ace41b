"""What events say of their time: ahead of their record's, or before what their shopper's state remembers."""

import json
from dataclasses import replace

import numpy as np
import pytest

from model.batch import id_code
from model.core.byte_strings import ByteStrings
from model.formats.records import decoder_of
from model.items.catalogue import Catalogue
from streams.observe.counts import Timings
from streams.scoring import ScoredFetch
from tests.streams.fetches import START_MS, TOPICS, Acks, event, fetch, put, source_offsets
from tests.streams.memory_publisher import states_of

DAY_MS = 86_400_000


def at(number: int, time_ms: int | str) -> bytes:
    return json.dumps(json.loads(event(number)) | {"ts": time_ms}).encode()


def scored(pipeline, *values: bytes, timestamps_ms: list[int]) -> ScoredFetch:
    """A fetch of records with these timestamps, scored from blank states."""
    given = replace(fetch(*values), timestamps_ms=np.array(timestamps_ms))
    return pipeline.scoring.score(given, decoder_of("cartcast"), states_of(pipeline, 0, None), Timings())


async def test_an_event_more_than_a_day_ahead_of_its_record_has_its_records_time(pipeline):
    one_day, more = START_MS + DAY_MS, START_MS + DAY_MS + 1
    done = scored(pipeline, at(0, one_day), at(1, more), b"damaged", at(2, more), timestamps_ms=[START_MS] * 4)
    assert done.batch.event_time_ms.tolist() == [one_day, START_MS, START_MS]
    assert done.clock_ahead == 2


async def test_what_follows_an_event_of_another_decade_scores_as_after_one_that_was_on_time(pipeline):
    times = [START_MS, START_MS + 1000, START_MS + 600_000]
    wrong = scored(pipeline, at(0, times[0]), at(1, times[1] + 3650 * DAY_MS), at(2, times[2]), timestamps_ms=times)
    right = scored(pipeline, *(at(number, time_ms) for number, time_ms in enumerate(times)), timestamps_ms=times)
    np.testing.assert_array_equal(wrong.propensities, right.propensities)
    assert (wrong.clock_ahead, right.clock_ahead) == (1, 0)


@pytest.mark.parametrize("timestamp", [0, START_MS // 1000])
async def test_a_record_without_a_timestamp_or_with_seconds_says_nothing_of_its_events_clock(pipeline, timestamp):
    ahead = START_MS + 3650 * DAY_MS
    done = scored(pipeline, at(0, ahead), timestamps_ms=[timestamp])
    assert (done.batch.event_time_ms.tolist(), done.clock_ahead) == ([ahead], 0)


@pytest.mark.parametrize(
    "wrong", [-1, 0, 946_684_799_999, START_MS + 30_000 * DAY_MS, 10**18 * 9, "1969-07-20T20:17:40Z"]
)
async def test_an_event_of_another_century_has_its_records_time_and_is_bad_if_that_says_nothing(pipeline, wrong):
    values = (at(0, wrong), b"damaged", at(1, wrong), at(2, START_MS))
    done = scored(pipeline, *values, timestamps_ms=[START_MS, START_MS, 0, START_MS])
    assert done.batch.positions[done.rows].tolist() == [0, 3]
    assert done.batch.event_time_ms.tolist() == [START_MS, START_MS]
    assert [(reject.position, reject.reason) for reject in done.rejects] == [(1, "json"), (2, "ts")]
    assert done.clock_ahead == 1


@pytest.mark.parametrize("unit", ["seconds", "microseconds", "nanoseconds"])
async def test_a_time_in_another_unit_is_no_wrong_clock(pipeline, unit):
    number = {"seconds": START_MS // 1000, "microseconds": START_MS * 1000, "nanoseconds": START_MS * 10**6}[unit]
    done = scored(pipeline, at(0, number), timestamps_ms=[START_MS])
    assert [(each.reason, each.error) for each in done.rejects] == [("ts", f"ts is in {unit}, not in milliseconds")]
    assert (len(done.rows), done.clock_ahead) == (0, 0)


@pytest.mark.parametrize("input_format", ["segment", "ga4"])
async def test_a_wrong_clock_is_one_in_every_input_format(pipeline, input_format):
    call = {
        "type": "track",
        "event": "Product Viewed",
        "messageId": "m",
        "userId": "u",
        "timestamp": "1970-01-01T00:00:01Z",
    }
    row = {"event_name": "view_item", "user_pseudo_id": "u", "event_timestamp": "1000000"}
    value = json.dumps(call if input_format == "segment" else row).encode()
    plain = fetch(event(0))
    given = replace(plain, values=ByteStrings.of([value]), timestamps_ms=np.array([START_MS]))
    done = pipeline.scoring.score(given, decoder_of(input_format), states_of(pipeline, 0, None), Timings())
    assert (done.batch.event_time_ms.tolist(), done.clock_ahead) == ([START_MS], 1)


async def test_an_event_that_may_have_been_forgotten_is_a_dead_letter_in_its_place(lane, pipeline):
    await put(lane, Acks(), fetch(*(event(number) for number in range(100))))
    new, damaged, old, repeated = event(100), b"damaged", event(3), event(90)
    forgotten = event(7).replace(b"e7", b"e7-sent-for-the-first-time")
    await put(lane, Acks(), fetch(new, damaged, old, repeated, forgotten, first_offset=100))
    await pipeline.publisher.until(lambda: len(pipeline.publisher.on(TOPICS.dead_letters)) == 3)
    letters = pipeline.publisher.on(TOPICS.dead_letters)
    assert source_offsets(letters) == [101, 102, 104]
    assert [letter.headers["reason"] for letter in letters] == [b"json", b"late", b"late"]
    assert letters[1].record.value == old
    assert b"last 64 events" in letters[1].headers["error"]
    assert source_offsets(pipeline.publisher.on(TOPICS.scores)) == list(range(101))
    assert (pipeline.counts.duplicates, pipeline.counts.dead_letters) == (1, {"json": 1, "late": 2})


async def test_a_topic_that_is_read_a_second_time_changes_no_state_and_scores_nothing(lane, pipeline, states):
    values = [event(number, user) for number in range(150) for user in ("u", "v")]
    await put(lane, Acks(), fetch(*values))
    await pipeline.publisher.until(lambda: len(pipeline.publisher.on(TOPICS.scores)) == 300)
    before = {user: states.record(user)["carried"].tolist() for user in (b"u", b"v")}
    await put(lane, Acks(), fetch(*values, first_offset=300))
    await pipeline.publisher.until(lambda: bool(pipeline.publisher.on(TOPICS.dead_letters)))
    assert len(pipeline.publisher.on(TOPICS.scores)) == 300
    assert {user: states.record(user)["carried"].tolist() for user in (b"u", b"v")} == before
    assert pipeline.counts.duplicates + pipeline.counts.dead_letters["late"] == 300


async def test_the_score_says_the_time_that_was_applied_and_the_worker_counts_it(lane, pipeline):
    await put(lane, Acks(), replace(fetch(at(0, START_MS + 2 * DAY_MS)), timestamps_ms=np.array([START_MS])))
    await pipeline.publisher.until(lambda: bool(pipeline.publisher.on(TOPICS.scores)))
    (score,) = pipeline.publisher.on(TOPICS.scores)
    assert json.loads(score.record.value)["event_time"] == START_MS
    assert pipeline.counts.clock_ahead == 1


async def test_a_model_that_recommends_learns_of_the_items_that_events_name(pipeline):
    catalogue = Catalogue(2, lambda columns: np.stack((columns.categories, columns.categories), axis=1))
    learning = replace(pipeline, scoring=replace(pipeline.scoring, catalogue=catalogue))
    named = [json.loads(event(number)) | {"item_id": item, "category": "c"} for number, item in enumerate("aab")]
    scored(learning, *(json.dumps(each).encode() for each in named), timestamps_ms=[START_MS] * 3)
    scored(learning, json.dumps(named[0]).encode(), b"damaged", timestamps_ms=[START_MS] * 2)
    assert [known.item_id for known in catalogue.known_items(range(len(catalogue.view)))] == ["a", "b"]
    assert (catalogue.view.vectors == id_code("c")).all()
    scored(pipeline, json.dumps(named[0] | {"item_id": "z"}).encode(), timestamps_ms=[START_MS])
    assert catalogue.row_of("z") < 0
