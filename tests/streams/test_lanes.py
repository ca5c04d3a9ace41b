import asyncio
import json
from dataclasses import replace

import pytest

from model.states import StateCodec
from service.errors import RefusedError
from streams.fetch import Fetch
from streams.lanes import Lane, Lanes
from streams.published import Published
from streams.records.reader import StoredBatch
from streams.scoring import Scoring
from tests.streams.fetches import (
    PARTITION,
    SOURCE_CODE,
    START_MS,
    TOPICS,
    Acks,
    event,
    fetch,
    fetches,
    put,
    source_offsets,
)
from tests.streams.memory_publisher import MemoryPublisher, let_others_run, states_of


async def test_scores_go_out_in_source_order_to_the_partition_of_their_events(lane, pipeline):
    acks = Acks()
    publisher = pipeline.publisher
    batch = fetch(event(0, "b"), event(1, "a"), b"damaged", event(2, "b"), first_offset=70)
    await put(lane, acks, batch)
    await publisher.until(lambda: len(publisher.produced) == 4)
    scores, (dead,) = publisher.on(TOPICS.scores), publisher.on(TOPICS.dead_letters)
    assert source_offsets(scores) == [70, 71, 73]
    assert [one.record.key for one in scores] == [b"b", b"a", b"b"]
    assert {one.partition for one in publisher.produced} == {PARTITION}
    assert (dead.record.key, dead.record.value, dead.headers["offset"]) == (b"?", b"damaged", b"72")
    await let_others_run()
    assert acks == [73]


async def test_nothing_is_acknowledged_before_scores_and_dead_letters_are_confirmed(lane, pipeline):
    acks, publisher = Acks(), pipeline.publisher
    publisher.holds = True
    await put(lane, acks, fetch(event(0), b"damaged"))
    await publisher.until(lambda: len(publisher.produced) == 2)
    await publisher.confirm(TOPICS.scores)
    assert acks == []
    await publisher.confirm(TOPICS.dead_letters)
    assert acks == [1]


async def test_a_fetch_without_results_is_acknowledged_too(lane, pipeline, states):
    acks = Acks()
    states.published = Published(last_dead_letter=0)
    await put(lane, acks, fetch(b"damaged"), *fetches(1, first=1))
    await pipeline.publisher.until(lambda: bool(pipeline.publisher.produced))
    await let_others_run()
    assert acks == [0, 1]


async def test_states_go_to_the_changelog_after_their_scores_are_confirmed(lane, pipeline):
    publisher = pipeline.publisher
    publisher.holds = True
    await put(lane, Acks(), fetch(event(0, "a"), event(1, "b"), event(2, "a")))
    await publisher.until(lambda: len(publisher.produced) == 3)
    securing = asyncio.create_task(lane.secure())
    await let_others_run()
    assert publisher.on(TOPICS.changelog) == []
    await publisher.confirm(TOPICS.scores)
    changelog = publisher.on(TOPICS.changelog)
    assert {one.record.key for one in changelog} == {b"a", b"b"}
    assert {one.partition for one in changelog} == {PARTITION}
    assert not securing.done()
    await publisher.confirm(TOPICS.changelog)
    assert await securing == 3


async def test_states_whose_scores_are_still_with_their_thread_are_not_secured_before_them(lane, pipeline, monkeypatch):
    """The thread has stored the states, and the event loop has not published what came of them."""
    publisher, published = pipeline.publisher, asyncio.Event()

    async def in_thread(work, *arguments):
        done = work(*arguments)
        if work == pipeline.score:
            await published.wait()
        return done

    monkeypatch.setattr(lane, "_in_thread", in_thread)
    await put(lane, Acks(), *fetches(1))
    await let_others_run()
    securing = asyncio.create_task(lane.secure())
    await let_others_run()
    assert (publisher.produced, securing.done()) == ([], False)
    published.set()
    assert await securing == 1
    assert [one.topic for one in publisher.produced] == [TOPICS.scores, TOPICS.changelog]


async def test_an_offset_is_secure_only_when_every_delivery_before_it_is_confirmed(lane, pipeline):
    """More fetches than may be unconfirmed: the lane itself waits for the first of them meanwhile."""
    acks, publisher = Acks(), pipeline.publisher
    publisher.holds = True
    feeding = asyncio.create_task(put(lane, acks, fetch(b"damaged"), *fetches(12, first=1)))
    await publisher.until(lambda: len(publisher.on(TOPICS.scores)) == 8)
    await publisher.confirm(TOPICS.scores)
    securing = asyncio.create_task(lane.secure())
    await let_others_run()
    assert publisher.on(TOPICS.changelog) == []
    assert not securing.done()
    publisher.holds = False
    await publisher.confirm()
    assert await securing == 9
    await feeding
    await publisher.until(lambda: len(publisher.on(TOPICS.scores)) == 12)
    assert await lane.secure() == 13


async def test_a_lane_that_has_dealt_with_nothing_secures_nothing(lane):
    assert await lane.secure() is None


async def test_a_state_is_written_once_until_it_changes(lane, pipeline):
    publisher = pipeline.publisher
    await put(lane, Acks(), fetch(event(0, "a"), event(1, "b")))
    await publisher.until(lambda: len(publisher.produced) == 2)
    assert [await lane.secure(), await lane.secure()] == [2, 2]
    assert len(publisher.on(TOPICS.changelog)) == 2
    await put(lane, Acks(), fetch(event(2, "b"), first_offset=2))
    await publisher.until(lambda: len(publisher.on(TOPICS.scores)) == 3)
    assert await lane.secure() == 3
    assert [one.record.key for one in publisher.on(TOPICS.changelog)[2:]] == [b"b"]


@pytest.mark.parametrize("waits_for", ["scores", "changelog"])
async def test_states_of_a_cancelled_commit_are_written_once(lane, pipeline, waits_for):
    publisher = pipeline.publisher
    publisher.holds = True
    await put(lane, Acks(), *fetches(1))
    await publisher.until(lambda: len(publisher.produced) == 1)
    if waits_for == "changelog":
        await publisher.confirm()
    securing = asyncio.create_task(lane.secure())
    await let_others_run()
    securing.cancel()
    await asyncio.wait([securing])
    publisher.holds = False
    await publisher.confirm()
    assert await lane.secure() == 1
    assert len(publisher.on(TOPICS.changelog)) == 1


async def test_a_state_that_the_changelog_does_not_take_fails_the_lane(lane, pipeline, failures):
    publisher = pipeline.publisher
    await put(lane, Acks(), *fetches(1))
    await publisher.until(lambda: len(publisher.produced) == 1)
    publisher.holds = True
    securing = asyncio.create_task(lane.secure())
    await let_others_run()
    await publisher.fail(TOPICS.changelog)
    assert await securing is None
    assert [type(failure) for failure in failures] == [RefusedError]
    assert await lane.secure() is None


async def test_a_fetch_that_was_dealt_with_is_skipped_and_acknowledged(lane, pipeline, states):
    acks, publisher = Acks(), pipeline.publisher
    await put(
        lane, acks, fetch(event(0), event(1)), fetch(event(0), event(1)), fetch(event(1), event(2), first_offset=1)
    )
    await publisher.until(lambda: len(publisher.produced) == 3)
    await let_others_run()
    assert source_offsets(publisher.produced) == [0, 1, 2]
    assert acks == [1, 1, 2]
    assert pipeline.counts.already_applied == 0
    assert states.next_offset == 3


async def test_what_a_predecessor_published_is_applied_but_not_published_again(lane, pipeline, states):
    states.published = Published(last_score=11, last_dead_letter=12)
    acks, publisher = Acks(), pipeline.publisher
    batch = fetch(event(0, "a"), event(1, "b"), b"damaged", b"damaged", event(2, "a"), first_offset=10)
    await put(lane, acks, batch)
    await publisher.until(lambda: len(publisher.produced) == 2)
    await let_others_run()
    assert source_offsets(publisher.on(TOPICS.scores)) == [14]
    assert source_offsets(publisher.on(TOPICS.dead_letters)) == [13]
    assert acks == [14]
    assert set(states) == {b"a", b"b"}


async def test_an_event_that_a_state_knows_is_neither_scored_nor_published(pipeline, states, lane, failures):
    await put(lane, Acks(), fetch(event(0), event(1)))
    await pipeline.publisher.until(lambda: len(pipeline.publisher.produced) == 2)
    successor = states_of(pipeline, PARTITION, states.restored)
    successor.restore({user: states.record(user).tobytes() for user in states})
    second = Lane(pipeline, successor, failures.append)
    await put(second, Acks(), fetch(event(0), event(1), event(2)))
    await pipeline.publisher.until(lambda: len(pipeline.publisher.produced) == 3)
    await second.close()
    assert source_offsets(pipeline.publisher.produced) == [0, 1, 2]
    assert pipeline.counts.already_applied == 2


async def test_duplicates_and_kinds_of_damage_are_counted(lane, pipeline):
    other = event(3).replace(b"view", b"wave")
    await put(lane, Acks(), fetch(event(0), event(0), other, b"damaged", b""))
    await pipeline.publisher.until(lambda: len(pipeline.publisher.produced) == 4)
    counts = pipeline.counts
    assert (counts.events, counts.scored, counts.duplicates, counts.other_types) == (5, 2, 1, 1)
    assert counts.dead_letters == {"json": 1, "empty": 1}


async def test_scores_do_not_depend_on_how_the_broker_cuts_the_fetches(pipeline, states, failures):
    values = [event(number // 2, user) for number in range(24) for user in ("a", "b")]
    scores = {}
    for size in (1, 5, 48):
        fresh, publisher = (
            states_of(pipeline, PARTITION, states.restored),
            MemoryPublisher(),
        )
        lane = Lane(replace(pipeline, publisher=publisher), fresh, failures.append)
        for start in range(0, len(values), size):
            await put(lane, Acks(), fetch(*values[start : start + size], first_offset=start))
        await publisher.until(lambda publisher=publisher: len(publisher.produced) == 24)
        await lane.close()
        scores[size] = [json.loads(one.record.value) for one in publisher.produced]
    for size in (1, 5):
        for one, other in zip(scores[size], scores[48], strict=True):
            assert one == pytest.approx(other, abs=1e-5)


async def test_the_first_touch_under_another_model_rebuilds_what_the_state_carries(
    pipeline, inference, states, lane, failures
):
    await put(lane, Acks(), *fetches(3))
    await pipeline.publisher.until(lambda: len(pipeline.publisher.produced) == 3)
    other_model = Scoring(inference, StateCodec(16, 99), SOURCE_CODE)
    other = replace(pipeline, scoring=other_model, publisher=MemoryPublisher())
    second = Lane(other, states, failures.append)
    await put(second, Acks(), *fetches(1, first=3))
    await other.publisher.until(lambda: len(other.publisher.produced) == 1)
    await second.close()
    rebuilt, (state,) = (
        json.loads(other.publisher.produced[0].record.value),
        states.record(b"u"),
    )
    assert state["sequence"]["model"] == 99
    assert 0 < rebuilt["propensity_1h"] < 1


async def test_lanes_secure_every_partition_that_has_dealt_with_something(pipeline, states, failures):
    lanes, publisher = Lanes(failures.append), pipeline.publisher
    other = states_of(pipeline, 5, states.restored)
    await lanes.put(fetch(event(0), event(1)), Acks().of(0), pipeline, states)
    await lanes.put(fetch(event(0), partition=5, first_offset=8), Acks().of(0), pipeline, other)
    await publisher.until(lambda: len(publisher.produced) == 3)
    assert await lanes.secure() == {PARTITION: 2, 5: 9}
    await lanes.close()


async def test_lanes_drop_and_acknowledge_what_comes_between_two_assignments(pipeline, states, failures):
    lanes, acks = Lanes(failures.append), Acks()
    await lanes.put(fetch(event(0)), acks.of("not owned"), pipeline, None)
    await lanes.put(fetch(event(0)), acks.of("scored"), pipeline, states)
    await lanes.close()
    assert await lanes.secure() == {PARTITION: 1}
    await lanes.put(fetch(event(1), first_offset=1), acks.of("between"), pipeline, states)
    lanes.reopen(pipeline, [])
    assert await lanes.secure() == {}
    await lanes.put(fetch(event(2), first_offset=2), acks.of("after"), pipeline, states)
    await pipeline.publisher.until(lambda: len(pipeline.publisher.on(TOPICS.scores)) == 2)
    await let_others_run()
    assert source_offsets(pipeline.publisher.on(TOPICS.scores)) == [0, 2]
    assert acks == ["not owned", "scored", "between", "after"]
    await lanes.close()
    await lanes.close()


async def test_a_batch_that_nobody_can_read_is_a_dead_letter_amid_scores(lane, pipeline):
    acks, batch = Acks(), StoredBatch(1, 4, 4, 0, START_MS, -1, 4, memoryview(bytes(61) + b"packed"))
    await put(
        lane,
        acks,
        fetch(event(0)),
        Fetch.unreadable(TOPICS.events, PARTITION, batch, "the batch of offsets 1 to 4 is damaged"),
        fetch(event(1), first_offset=5),
    )
    await pipeline.publisher.until(lambda: len(pipeline.publisher.on(TOPICS.scores)) == 2)
    (letter,) = pipeline.publisher.on(TOPICS.dead_letters)
    assert (letter.headers["reason"], letter.headers["offset"], letter.record.value) == (b"unpacked", b"4", b"packed")
    assert source_offsets(pipeline.publisher.on(TOPICS.scores)) == [0, 5]
    assert await lane.secure() == 6
    assert pipeline.counts.dead_letters == {"unpacked": 1}
