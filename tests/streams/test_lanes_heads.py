"""Models with extra heads: what lanes publish is what offline scoring writes."""

import asyncio
import json
from dataclasses import replace
from random import Random

import msgspec
import numpy as np
import pytest
import torch

from model.checkpoint import Calibration, Checkpoint
from model.events import Event
from model.heads import HEADS
from model.horizons import HORIZONS
from model.inference import Scorer
from model.level import Level, Levels
from model.lstm import LSTMConfig, PropensityLSTM
from model.offline import OfflineScoring, ScoredEvents
from model.propensities import log_odds
from model.shop import shop_of
from model.states import StateCodec
from streams.lanes import Lane
from streams.scoring import Scoring
from tests.streams.fetches import SOURCE_CODE, START_MS, TOPICS, Acks, fetch, put
from tests.streams.memory_publisher import states_of

PARTITIONS = (3, 4, 5)
FIELDS = ["next_type", "next_type_propensity", "next_purchase_categories", "expected_value"]
SHOP = shop_of({"money": {"within": "1h"}})


@pytest.fixture(scope="session")
def checkpoint() -> Checkpoint:
    """Random weights; every third category has a name."""
    torch.manual_seed(7)
    model = PropensityLSTM(LSTMConfig(hidden_size=8, category_buckets=16, heads=HEADS, shop=SHOP)).eval()
    torch.nn.init.normal_(model.order_value.numbers, std=0.1)
    for head in model.further.values():
        torch.nn.init.normal_(head.weight, std=2.0)  # far from ties
    names = {bucket: f"category {bucket}" for bucket in range(1, 16, 3)}
    return Checkpoint("lstm8-heads", model, Calibration.identity(len(HORIZONS)), {}, {}, category_names=names)


@pytest.fixture
def pipeline(pipeline, checkpoint):
    return replace(pipeline, head_names=checkpoint.head_names)


def events_of(partition: int, count: int = 60) -> list[Event]:
    random, kinds = Random(partition), ("view", "search", "cart", "purchase")
    events = [
        Event(
            event_id=f"e{number}",
            user_id=f"{partition}-{random.randrange(4)}",
            type=random.choice(kinds),
            ts=START_MS + 60_000 * number,
            category=random.choice([None, "shoes", "bags", "hats"]),
        )
        for number in range(count)
    ]
    return [*events[:30], events[20], *events[30:]]


def offline(checkpoint: Checkpoint, events: list[Event]) -> list[list]:
    return [list(row) for row in zip(*scored_offline(checkpoint, events).extra, strict=True)]


def scored_offline(checkpoint: Checkpoint, events: list[Event]) -> ScoredEvents:
    codec = StateCodec(checkpoint.model.config.carried_floats, checkpoint.code)
    names, levels = checkpoint.head_names, checkpoint.levels
    scoring = OfflineScoring(Scorer(checkpoint, torch.device("cpu")), codec, head_names=names, levels=levels)
    (scored,) = scoring.score(events)
    return scored


async def published(pipeline, restored, partitions=PARTITIONS, size: int = 7) -> dict[int, list[dict]]:
    """Put all partitions' events through their lanes at the same time, `size` a fetch."""
    failures: list[Exception] = []
    lanes = {
        one: Lane(
            pipeline,
            states_of(pipeline, one, restored),
            failures.append,
        )
        for one in partitions
    }

    async def feed(partition: int) -> None:
        values = [msgspec.json.encode(event) for event in events_of(partition)]
        for first in range(0, len(values), size):
            some = fetch(*values[first : first + size], first_offset=first, partition=partition)
            await put(lanes[partition], Acks(), some)

    await asyncio.gather(*map(feed, partitions))
    await pipeline.publisher.until(lambda: len(pipeline.publisher.on(TOPICS.scores)) == 60 * len(partitions))
    await asyncio.gather(*(lane.close() for lane in lanes.values()))
    assert failures == []
    scores = pipeline.publisher.on(TOPICS.scores)
    return {part: [json.loads(one.record.value) for one in scores if one.partition == part] for part in partitions}


def answers(scores: list[dict]) -> list[list]:
    return [[score[name] for name in FIELDS] for score in scores]


def assert_equal_answers(live: list[list], expected: list[list]) -> None:
    assert [[kind, categories] for kind, _, categories, _ in live] == [[kind, names] for kind, _, names, _ in expected]
    for one, other in zip(live, expected, strict=True):
        assert (one[1], one[3]) == pytest.approx((other[1], other[3]), abs=1e-4)


async def test_lanes_publish_what_offline_scoring_writes(pipeline, checkpoint, states):
    live = await published(pipeline, states.restored)
    for partition in PARTITIONS:
        expected = offline(checkpoint, events_of(partition))
        assert_equal_answers(answers(live[partition]), expected)
        assert len({kind for kind, *_ in expected}) > 1
        assert len({tuple(names) for _, _, names, _ in expected}) > 1


async def test_the_fields_come_after_the_propensities_and_name_at_most_three_categories(pipeline, states):
    (score, *_), *_ = (await published(pipeline, states.restored, partitions=(3,))).values()
    fields = list(score)
    assert fields[fields.index("propensity_24h") + 1 : fields.index("model")] == FIELDS
    assert len(score["next_purchase_categories"]) == 3


async def test_an_impression_has_none_of_the_fields(pipeline, states):
    lane = Lane(pipeline, states, [].append)
    seen = Event(event_id="e", user_id="u", type="view", ts=START_MS)
    shown = Event(event_id="s", user_id="u", type="impression", ts=START_MS, items=["a"])
    await put(lane, Acks(), fetch(*map(msgspec.json.encode, (seen, shown))))
    await pipeline.publisher.until(lambda: len(pipeline.publisher.on(TOPICS.scores)) == 2)
    await lane.close()
    first, second = (json.loads(one.record.value) for one in pipeline.publisher.on(TOPICS.scores))
    assert set(FIELDS) <= first.keys()
    assert not set(FIELDS) & second.keys()
    assert second["shown"] == ["a"]


async def test_a_bucket_without_a_name_is_not_published(pipeline, checkpoint, states):
    known = set(checkpoint.category_names.values())
    scores = (await published(pipeline, states.restored, partitions=(3,)))[3]
    assert {name for score in scores for name in score["next_purchase_categories"]} <= known


def test_a_model_that_knows_fewer_names_names_fewer(checkpoint):
    only = replace(checkpoint, category_names={4: "bags"})
    assert {tuple(names) for _, _, names, _ in offline(only, events_of(3))} == {("bags",)}
    none = replace(checkpoint, category_names={})
    assert {tuple(names) for _, _, names, _ in offline(none, events_of(3))} == {()}


async def test_states_that_another_model_wrote_are_rebuilt_for_the_heads_too(pipeline, inference, checkpoint, states):
    """Rings hold all events so far, so the model goes on as if it had seen them itself."""
    events = events_of(3)[:20]
    values = [msgspec.json.encode(event) for event in events]
    codec = StateCodec(checkpoint.model.config.carried_floats, checkpoint.code + 1)
    before = replace(pipeline, scoring=Scoring(inference, codec, SOURCE_CODE))
    failures: list[Exception] = []
    for stage, first, end in ((before, 0, 15), (pipeline, 15, 20)):
        lane = Lane(stage, states, failures.append)
        await put(lane, Acks(), fetch(*values[first:end], first_offset=first))
        await pipeline.publisher.until(lambda end=end: len(pipeline.publisher.on(TOPICS.scores)) == end)
        await lane.close()
    assert failures == []
    live = [json.loads(one.record.value) for one in pipeline.publisher.on(TOPICS.scores)]
    assert_equal_answers(answers(live), offline(checkpoint, events))


async def test_with_a_level_lanes_publish_what_offline_scoring_writes_and_say_by_how_much_it_is_shifted(
    pipeline, checkpoint, states
):
    shifts = {"session": 0.5, "1h": -0.25, "24h": 0.0}
    begins_ms = START_MS + 30 * 60_000
    levels = Levels.of([Level(begins_ms, shifts)], HORIZONS, SHOP)
    with_levels = replace(pipeline, scoring=replace(pipeline.scoring, levels=lambda: levels))
    (live,) = (await published(with_levels, states.restored, partitions=(3,))).values()
    expected = scored_offline(replace(checkpoint, levels=levels), events_of(3))
    plain = scored_offline(checkpoint, events_of(3))
    fields = [f"propensity_{horizon}" for horizon in HORIZONS]
    found = np.array([[score[name] for name in fields] for score in live])
    assert found == pytest.approx(expected.propensities, abs=1e-4)
    answered, shifted = expected.extra[: -len(HORIZONS)], expected.extra[-len(HORIZONS) :]
    assert_equal_answers(answers(live), [list(row) for row in zip(*answered, strict=True)])

    said = np.array([[score[f"shift_{horizon}"] for horizon in HORIZONS] for score in live])
    after = expected.event_time_ms >= begins_ms
    assert 0 < after.sum() < len(after)
    assert said.tolist() == [[*shifts.values()] if begun else [0.0] * 3 for begun in after]
    assert np.transpose(shifted).tolist() == said.tolist()
    assert log_odds(expected.propensities) == pytest.approx(log_odds(plain.propensities) + said, abs=1e-4)
    ratios = np.array(answered[-1]) / np.array(plain.extra[-1])
    assert ratios == pytest.approx(expected.propensities[:, 1] / plain.propensities[:, 1], rel=1e-3)
