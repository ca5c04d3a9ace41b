"""Items for shoppers, asked over real HTTP of a worker whose model recommends."""

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from model.checkpoint import Checkpoint
from model.events import Event
from model.items.catalogue import Catalogue
from model.items.item import Item
from streams.catalogue import CatalogueReader
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
    assert (reason["kind"], reason["item_id"], reason["event"]["type"]) == ("event", "a2", "view")
    assert reason["event"]["event_time"] == START_MS + 120_000
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
