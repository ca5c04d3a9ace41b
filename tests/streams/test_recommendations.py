"""Recommendations on their topic, from a lane whose model recommends."""

import asyncio
import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from threading import Event as Signal

import pytest
import torch
from msgspec.json import encode

from model.core.byte_strings import ByteStrings
from model.events import Event
from model.inference import Scorer
from model.items.catalogue import Catalogue
from model.items.moments import Triggers
from model.shop import NO_SHOP
from service.errors import RefusedError
from service.signatures import SIGNATURE, Signatures
from streams.lanes import Lane
from streams.lookups.answers import Reason, Suggestion
from streams.lookups.item_query import ItemQuery
from streams.lookups.suggester import Suggester
from streams.published import Published
from streams.recommendations import Recommendations, check_recommendations
from streams.scoring import Scoring
from streams.settings import RecommendationSettings
from tests.model.items.made import trained
from tests.streams.conftest import ThisThread
from tests.streams.fetches import PARTITION, SOURCE_CODE, START_MS, TOPICS, Acks, fetch, put, source_offsets
from tests.streams.lookups.look_ups import state_of
from tests.streams.memory_publisher import let_others_run, states_of

QUERY = ItemQuery(k=3, exclude=frozenset({"seen"}))


@pytest.fixture(scope="session")
def recommending(checkpoint):
    return replace(checkpoint, items=trained()[1])


@pytest.fixture
def catalogue(recommending):
    model = recommending.items
    catalogue = Catalogue(model.config.dimension, model.embed, model.config.vector_size)
    catalogue.add_described(model.columns, model.item_ids)
    return catalogue


@pytest.fixture
def suggester(recommending, catalogue):
    return Suggester(catalogue, recommending.items, version=recommending.version)


@pytest.fixture
def recommending_pipeline(pipeline, recommending, suggester):
    """A pipeline that recommends at views and carts; `every_ms` as `Triggers` has it."""

    def made(every_ms=0, **changes):
        triggers = Triggers.of(frozenset({"view", "cart"}), every_ms=every_ms)
        scorer = Scorer(recommending, torch.device("cpu"))
        recommendations = Recommendations(
            suggester.for_states,
            QUERY,
            recommending.version,
            NO_SHOP.event_types,
            threads=ThisThread(),
            clock_ms=lambda: START_MS,
        )
        return replace(
            pipeline,
            scoring=Scoring(scorer, recommending.codec, SOURCE_CODE, triggers=triggers),
            recommendations=replace(recommendations, **changes),
        )

    return made


@pytest.fixture
def lane_of(failures):
    def lane_of(pipeline, published=None):
        restored = asyncio.get_running_loop().create_future()
        restored.set_result(None)
        states = states_of(pipeline, PARTITION, restored)
        states.published = published or Published()
        return Lane(pipeline, states, failures.append)

    return lane_of


def did(number, kind, item, user="u") -> bytes:
    ts = START_MS + 60_000 * number
    return json.dumps({"event_id": f"e{number}", "user_id": user, "type": kind, "ts": ts, "item_id": item}).encode()


EVENTS = (did(0, "view", "a1"), did(1, "search", None), did(2, "cart", "a2"), did(3, "view", "b1", "v"))


def values(produced):
    return [json.loads(one.record.value) for one in produced]


async def test_each_trigger_has_the_answer_of_the_api_at_its_moment(
    recommending_pipeline, lane_of, recommending, suggester
):
    pipeline, acks = recommending_pipeline(), Acks()
    lane = lane_of(pipeline)
    await put(lane, acks, fetch(*EVENTS, first_offset=70))
    publisher = pipeline.publisher
    await publisher.until(lambda: len(publisher.on(TOPICS.recommendations)) == 3)
    produced = publisher.on(TOPICS.recommendations)
    assert source_offsets(produced) == [70, 72, 73]
    assert [one.record.key for one in produced] == [b"u", b"u", b"v"]
    assert {one.partition for one in produced} == {PARTITION}
    assert [one["event_id"] for one in values(produced)] == ["e0", "e2", "e3"]
    assert [one["event_type"] for one in values(produced)] == ["view", "cart", "view"]
    made = [Event(**json.loads(each)) for each in EVENTS]
    for value, events in zip(values(produced), (made[:1], made[:3], made[3:]), strict=True):
        state = recommending.codec.gather([state_of(recommending, events)[0]])
        (expected,) = suggester.for_states(state, QUERY)
        assert value["items"] == json.loads(expected)
        assert value["items"][0]["why"][0]["item_id"] == events[0].item_id
    await lane.close()
    assert pipeline.counts.recommendations == 3


async def test_an_interval_passes_before_a_shopper_s_next(recommending_pipeline, lane_of):
    pipeline = recommending_pipeline(every_ms=180_000)
    lane, acks = lane_of(pipeline), Acks()
    views = [did(number, "view", "a1") for number in range(8)]
    await put(lane, acks, fetch(*views[:5]), fetch(*views[5:], first_offset=5))
    publisher = pipeline.publisher
    await publisher.until(lambda: len(publisher.on(TOPICS.scores)) == 8)
    await lane.close()
    assert source_offsets(publisher.on(TOPICS.recommendations)) == [0, 3, 6]


async def test_what_a_predecessor_has_published_is_not_published_again(recommending_pipeline, lane_of):
    pipeline = recommending_pipeline()
    lane = lane_of(pipeline, Published(last_recommendation=2))
    await put(lane, Acks(), fetch(*EVENTS))
    await pipeline.publisher.until(lambda: len(pipeline.publisher.on(TOPICS.scores)) == 4)
    await lane.close()
    assert source_offsets(pipeline.publisher.on(TOPICS.recommendations)) == [3]


async def test_states_are_not_secured_before_their_recommendations_are_confirmed(recommending_pipeline, lane_of):
    pipeline = recommending_pipeline()
    lane, publisher = lane_of(pipeline), pipeline.publisher
    publisher.holds = True
    await put(lane, Acks(), fetch(*EVENTS))
    await publisher.until(lambda: len(publisher.on(TOPICS.recommendations)) == 3)
    securing = asyncio.create_task(lane.secure())
    await let_others_run()
    await publisher.confirm(TOPICS.scores)
    assert publisher.on(TOPICS.changelog) == []
    await publisher.confirm(TOPICS.recommendations)
    assert len(publisher.on(TOPICS.changelog)) == 2
    publisher.holds = False
    await publisher.confirm()
    assert await securing == 4
    await lane.close()


async def test_scores_do_not_wait_for_recommendations_and_these_keep_their_order(
    recommending_pipeline, lane_of, suggester
):
    begin, threads = Signal(), ThreadPoolExecutor(2)

    def slowly(states, query):
        if len(states) == 2:  # of the first fetch
            begin.wait()
        return suggester.for_states(states, query)

    pipeline = recommending_pipeline(suggest=slowly, threads=threads)
    lane, publisher = lane_of(pipeline), pipeline.publisher
    await put(lane, Acks(), fetch(*EVENTS[:3]), fetch(EVENTS[3], first_offset=3))
    await publisher.until(lambda: len(publisher.on(TOPICS.scores)) == 4)
    assert publisher.on(TOPICS.recommendations) == []
    begin.set()
    await publisher.until(lambda: len(publisher.on(TOPICS.recommendations)) == 3)
    assert source_offsets(publisher.on(TOPICS.recommendations)) == [0, 2, 3]
    await lane.close()
    threads.shutdown()


async def test_a_catalogue_without_items_is_counted_and_scoring_goes_on(recommending_pipeline, lane_of, catalogue):
    catalogue.remove([item_id.encode() for item_id in trained()[1].item_ids])
    pipeline = recommending_pipeline()
    lane = lane_of(pipeline)
    await put(lane, Acks(), fetch(*EVENTS))
    await pipeline.publisher.until(lambda: len(pipeline.publisher.on(TOPICS.scores)) == 4)
    await lane.close()
    assert pipeline.publisher.on(TOPICS.recommendations) == []
    assert (pipeline.counts.recommendations, pipeline.counts.without_items) == (0, 3)


async def test_a_shopper_without_any_item_gets_what_is_popular(recommending_pipeline, lane_of):
    pipeline = recommending_pipeline()
    lane, publisher = lane_of(pipeline), pipeline.publisher
    await put(lane, Acks(), fetch(did(0, "view", None)))
    await publisher.until(lambda: len(publisher.on(TOPICS.recommendations)) == 1)
    (value,) = values(publisher.on(TOPICS.recommendations))
    assert {item["item_id"][0] for item in value["items"]} == {"a"}
    await lane.close()


async def test_a_recommendation_that_no_topic_would_take_has_fewer_items(recommending_pipeline, lane_of):
    long = [Suggestion(f"{number}" + 1000 * "\0", 1.0, None, None, None, [Reason("new")]) for number in range(200)]
    pipeline = recommending_pipeline(suggest=lambda _states, _query: ByteStrings.of([encode(long)]))
    lane, publisher = lane_of(pipeline), pipeline.publisher
    await put(lane, Acks(), fetch(EVENTS[0]))
    await publisher.until(lambda: len(publisher.on(TOPICS.recommendations)) == 1)
    (value,) = values(publisher.on(TOPICS.recommendations))
    assert [item["item_id"] for item in value["items"]] == [item.item_id for item in long[:50]]
    await lane.close()


async def test_a_recommendation_is_signed_as_a_score_is(recommending_pipeline, lane_of):
    signatures = Signatures(("k" * 32,))
    pipeline = recommending_pipeline(signatures=signatures)
    lane, publisher = lane_of(pipeline), pipeline.publisher
    await put(lane, Acks(), fetch(EVENTS[0]))
    await publisher.until(lambda: len(publisher.on(TOPICS.recommendations)) == 1)
    (produced,) = publisher.on(TOPICS.recommendations)
    assert signatures.accept(produced.record.value, produced.headers[SIGNATURE])
    await lane.close()


async def test_what_fails_ends_the_worker(recommending_pipeline, lane_of, failures):
    def broken(_states, _query):
        raise ValueError

    pipeline = recommending_pipeline(suggest=broken)
    lane = lane_of(pipeline)
    await put(lane, Acks(), fetch(*EVENTS))
    await let_others_run()
    assert [type(each) for each in failures] == [ValueError]
    await lane.close()


@pytest.mark.parametrize(
    ("events", "items", "says"),
    [("", False, None), ("cart", True, None), ("cart", False, "recommends no items"), ("cart,wish", True, "'wish'")],
)
def test_what_cannot_be_recommended_is_said_at_the_start(checkpoint, recommending, events, items, says):
    settings, model = RecommendationSettings(events=events), recommending if items else checkpoint
    if says is None:
        check_recommendations(settings, model)
        return
    with pytest.raises(RefusedError, match=says) as refused:
        check_recommendations(settings, model)
    assert "\n" not in str(refused.value)


def test_settings_take_names_by_commas_or_as_a_list():
    listed = RecommendationSettings(events=["cart", "purchase"], exclude=["seen", "bought"], per_category=2)
    assert listed == RecommendationSettings(events="cart,purchase", exclude="seen,bought", per_category=2)
    assert listed.types == {"cart", "purchase"}
    assert listed.query == ItemQuery(10, "view", frozenset({"seen", "bought"}), per_category=2)
    assert not RecommendationSettings().types
