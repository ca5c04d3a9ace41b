"""Items for shoppers, asked over real HTTP of a worker whose model recommends."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from threading import Event as Signal

import numpy as np
import pytest

from model.checkpoint import Checkpoint
from model.core.byte_strings import ByteStrings
from model.events import Event
from model.items.catalogue import Catalogue
from model.items.item import Item
from streams.catalogue import CatalogueReader
from streams.lookups.answers import ShopperItems
from streams.lookups.item_query import ItemQuery
from streams.lookups.item_rules import NO_FILE, RulesFile
from streams.lookups.lookup import BusyError
from streams.lookups.recommending import ItemRecommender
from tests.model.items.made import CIRCLES, trained
from tests.streams.lookups.look_ups import START_MS, put_state, state_of
from tests.streams.lookups.served import Serve, Served, serving


@pytest.fixture(scope="session")
def recommending(checkpoint) -> Checkpoint:
    return replace(checkpoint, items=trained()[1])


@pytest.fixture
async def serve(inference, recommending) -> AsyncIterator[Serve]:
    async for serve in serving(inference, recommending):
        yield serve


@pytest.fixture
def items(recommending) -> CatalogueReader:
    model = recommending.items
    catalogue = Catalogue(model.config.dimension, model.embed, model.config.vector_size)
    catalogue.add_described(model.columns, model.item_ids)
    reader = CatalogueReader({"bootstrap.servers": "one:9092"}, "items", catalogue)
    reader.is_complete = True
    return reader


def did(user, *steps) -> list[Event]:
    return [
        Event(f"{user}-{number}", user, kind, START_MS + 60_000 * number, item_id=item)
        for number, (kind, item) in enumerate(steps)
    ]


async def asked(worker: Served, path: str) -> dict:
    status, answer = await worker.get(path)
    assert status == 200, answer
    return answer


def ids(answer) -> list[str]:
    return [item["item_id"] for item in answer["items"]]


async def test_what_comes_next_in_the_circle_is_first_and_why(serve, recommending, items):
    worker = await serve(items=items)
    put_state(worker.app, "u", state_of(recommending, did("u", ("view", "a1"), ("search", None), ("view", "a2")))[0])
    answer = await asked(worker, "/v1/users/u/items?k=3")
    assert ids(answer)[0] == "a3"
    assert (answer["goal"], answer["model"], answer["as_of"]["offset"]) == ("view", recommending.version, 2)
    (reason, *_) = answer["items"][0]["why"]
    assert (reason["kind"], reason["event"]["type"]) == ("event", "view")
    happened = {"a1": START_MS, "a2": START_MS + 120_000}
    assert reason["event"]["event_time"] == happened[reason["item_id"]]
    assert reason["contribution"] > 0


async def test_somebody_new_gets_what_is_popular(serve, items):
    worker = await serve(items=items)
    answer = await asked(worker, "/v1/users/nobody/items?k=2")
    assert answer["as_of"] is None
    assert {item[0] for item in ids(answer)} == {"a"}
    assert {item["why"][0]["kind"] for item in answer["items"]} <= {"popular", "new"}


async def test_what_was_seen_bought_or_is_sold_out_is_left_out_if_asked(serve, recommending, items):
    worker = await serve(items=items)
    put_state(worker.app, "u", state_of(recommending, did("u", ("view", "a1"), ("purchase", "a2")))[0])
    items.catalogue.put([Item("a3", in_stock=False)])
    everything = "/v1/users/u/items?k=100"
    known = set(recommending.items.item_ids)
    assert set(ids(await asked(worker, f"{everything}&exclude="))) == known
    assert set(ids(await asked(worker, everything))) == known - {"a3"}
    assert set(ids(await asked(worker, f"{everything}&exclude=seen"))) == known - {"a1", "a2"}
    assert set(ids(await asked(worker, f"{everything}&exclude=bought,out_of_stock"))) == known - {"a2", "a3"}
    items.catalogue.remove([b"a4"])
    assert set(ids(await asked(worker, f"{everything}&exclude="))) == known - {"a4"}


async def test_a_category_and_at_most_so_many_of_each(serve, items):
    worker = await serve(items=items)
    of_b = {*CIRCLES[1], "b-new"}
    assert set(ids(await asked(worker, "/v1/users/u/items?k=100&category=B"))) == of_b
    assert ids(await asked(worker, "/v1/users/u/items?k=100&category=none")) == []
    some = ids(await asked(worker, "/v1/users/u/items?k=100&per_category=2"))
    assert sorted(item[0] for item in some) == ["a", "a", "b", "b"]


async def test_an_item_of_the_topic_is_recommended_at_once(serve, recommending, items):
    worker = await serve(items=items)
    put_state(worker.app, "u", state_of(recommending, did("u", ("view", "a1")))[0])
    items.catalogue.put([Item("fresh", title="thing a", category="A", price=9.5, vector=[0.0, 1.0])])
    answer = await asked(worker, "/v1/users/u/items?k=100")
    place = ids(answer).index("fresh")
    assert place < ids(answer).index("b-new")
    assert await asked(worker, "/v1/items/fresh/similar?k=3")


async def test_alike_are_those_of_the_same_circle(serve, items):
    worker = await serve(items=items)
    answer = await asked(worker, "/v1/items/a1/similar?k=3")
    assert answer["item_id"] == "a1"
    assert {item[0] for item in ids(answer)} == {"a"}
    assert "a1" not in ids(answer)
    assert (await worker.get("/v1/items/nothing/similar"))[0] == 404
    assert (await worker.get("/v1/items/a1/similar?k=0"))[0] == 400
    assert (await worker.get("/v1/items/a1/similar?goal=view"))[0] == 400


async def test_an_item_that_nobody_knows_is_skipped(serve, recommending, items):
    worker = await serve(items=items)
    put_state(worker.app, "u", state_of(recommending, did("u", ("view", "a2"), ("view", "unknown")))[0])
    answer = await asked(worker, "/v1/users/u/items?k=2")
    assert {reason["item_id"] for item in answer["items"] for reason in item["why"]} == {"a2"}


@pytest.fixture
def ruled(serve, recommending, items, tmp_path):
    """Return who serves a worker under rules, whose shopper has viewed a1."""

    async def ruled(written: str) -> Served:
        path = tmp_path / "rules.yml"
        path.write_text(written)
        worker = await serve(items=items, rules=RulesFile(path))
        put_state(worker.app, "u", state_of(recommending, did("u", ("view", "a1")))[0])
        return worker

    return ruled


async def test_what_is_never_shown_is_not_even_alike(ruled, items):
    items.catalogue.put([Item("b1", brand="Acme", category="B"), Item("a3", category="A > Small")])
    worker = await ruled("never: {items: [a2, unknown], brands: [' ACME'], categories: [A > Small]}")
    shown = ids(await asked(worker, "/v1/users/u/items?k=100"))
    assert {"a2", "b1", "a3"}.isdisjoint(shown)
    assert {"a4", "b2"} <= set(shown)
    assert "a2" not in ids(await asked(worker, "/v1/items/a1/similar?k=100"))


async def test_boosts_are_added_to_the_score_and_said(ruled):
    plain = {each["item_id"]: each for each in (await asked(await ruled("{}"), "/v1/users/u/items?k=100"))["items"]}
    worker = await ruled("boosts: [{item: b3, by: 50}, {category: A, by: -2.5}, {item: a2, by: 1}]")
    answer = await asked(worker, "/v1/users/u/items?k=100")
    first = answer["items"][0]
    assert (first["item_id"], first["score"]) == ("b3", pytest.approx(plain["b3"]["score"] + 50, abs=1e-3))
    assert first["why"][0] == {"kind": "boosted", "contribution": 50.0}
    found = {each["item_id"]: each for each in answer["items"]}
    assert found["a2"]["score"] == pytest.approx(plain["a2"]["score"] - 1.5, abs=1e-3)
    assert [why["kind"] for why in found["a2"]["why"]][:2] == ["boosted", "event"]
    assert found["b1"]["why"][0]["kind"] != "boosted"
    assert answer["rules"] == "current"


async def test_pins_stand_at_their_place_if_the_item_may_be_shown(ruled, items):
    worker = await ruled(
        "pins: [{item: b4, place: 2}, {item: b2, place: 1, goal: cart}, {item: b1, place: 3, category: B},"
        " {item: unknown, place: 5}, {item: b3, place: 900}]"
    )
    everything = "/v1/users/u/items?k=4"
    answer = await asked(worker, everything)
    assert ids(answer)[1] == "b4"
    assert len(set(ids(answer))) == 4
    assert answer["items"][1]["why"][0] == {"kind": "pinned"}
    assert ids(answer)[0] == "a2"
    assert ids(await asked(worker, f"{everything}&goal=cart"))[:2] == ["b2", "b4"]
    assert ids(await asked(worker, f"{everything}&category=B"))[1:3] == ["b4", "b1"]
    assert "b4" not in ids(await asked(worker, f"{everything}&category=A"))
    assert ids(await asked(worker, "/v1/users/u/items?k=1&goal=cart")) == ["b2"]
    items.catalogue.put([Item("b4", in_stock=False)])
    assert "b4" not in ids(await asked(worker, f"{everything}&exclude="))
    items.catalogue.remove([b"b2"])
    assert "b2" not in ids(await asked(worker, f"{everything}&goal=cart"))


async def test_a_limit_by_category_holds_if_the_query_has_none(ruled):
    worker = await ruled("per_category: 1")
    assert len(ids(await asked(worker, "/v1/users/u/items?k=100"))) == 2
    assert len(ids(await asked(worker, "/v1/users/u/items?k=100&per_category=2"))) == 4


async def test_rules_hold_for_items_that_come_later(ruled, items):
    worker = await ruled("never: {items: [fresh], brands: [Acme]}")
    items.catalogue.put([Item("fresh", category="A"), Item("other", brand="acme"), Item("third", brand="Third")])
    shown = ids(await asked(worker, "/v1/users/u/items?k=100"))
    assert {"fresh", "other"}.isdisjoint(shown)
    assert "third" in shown


async def test_rules_change_with_their_file_and_a_broken_one_changes_nothing(serve, items, tmp_path):
    path = tmp_path / "rules.yml"
    path.write_text("per_category: 1")
    rules = RulesFile(path)
    worker = await serve(items=items, rules=rules)
    for written, count, status in (("never: {categories: [B]}", 5, "current"), ("never: []", 5, "outdated")):
        path.write_text(written)
        rules.look()
        answer = await asked(worker, "/v1/users/u/items?k=100")
        assert (len(ids(answer)), answer["rules"]) == (count, status)


class LookUp:
    """Knows everybody: a state says the number that is the shopper's name."""

    def state(self, user, _partition):
        return np.array([int(user)])

    def as_of(self, _state, _partition):
        return None


class SlowSuggester:
    """Suggests the states themselves, the first ones once it is told to."""

    version, rules = "m", NO_FILE

    def __init__(self):
        self.calls, self.begin = [], Signal()

    def for_states(self, states, query):
        self.calls.append((query.k, states.tolist()))
        self.begin.wait()
        return ByteStrings.of([b"[%d]" % state for state in states])


async def test_those_who_wait_with_the_same_query_are_answered_in_one_call():
    suggester = SlowSuggester()
    recommender = ItemRecommender(LookUp(), suggester)
    asked = [
        asyncio.create_task(recommender.items(b"%d" % number, 0, ItemQuery(k=1 + number % 2))) for number in range(6)
    ]
    gone = asyncio.create_task(recommender.items(b"6", 0, ItemQuery(k=1)))
    await asyncio.sleep(0)
    gone.cancel()
    suggester.begin.set()
    answers = await asyncio.gather(*asked)
    assert [(answer.user_id, bytes(answer.items)) for answer in answers] == [
        (f"{number}", b"[%d]" % number) for number in range(6)
    ]
    assert suggester.calls == [(1, [0, 2, 4, 6]), (2, [1, 3, 5])]


async def test_more_than_may_wait_are_told_to_ask_again():
    suggester = SlowSuggester()
    recommender = ItemRecommender(LookUp(), suggester)
    asked = [asyncio.create_task(recommender.items(b"1", 0, ItemQuery())) for _ in range(65)]
    await asyncio.sleep(0)
    suggester.begin.set()
    answers = await asyncio.gather(*asked, return_exceptions=True)
    assert [type(answer) for answer in answers] == [ShopperItems] * 64 + [BusyError]
