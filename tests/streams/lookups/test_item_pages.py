"""The pages about items, asked over real HTTP."""

import json
from collections.abc import AsyncIterator

import pytest

from model.items.catalogue import Catalogue, no_vectors
from model.items.codes import item_codes
from model.items.item import Item
from service.partitioner import partition_of
from streams.catalogue import CatalogueReader
from streams.lookups.answers import ShopperItems, Suggestion
from streams.lookups.item_query import ItemQuery
from streams.lookups.lookup import NotHereError
from tests.streams.fetches import TOPICS
from tests.streams.lookups.look_ups import PARTITIONS
from tests.streams.lookups.served import Serve, route, serving


@pytest.fixture
async def serve(inference, checkpoint) -> AsyncIterator[Serve]:
    async for serve in serving(inference, checkpoint):
        yield serve


@pytest.fixture
def reader() -> CatalogueReader:
    reader = CatalogueReader({"bootstrap.servers": "one:9092"}, "items", Catalogue(0, no_vectors))
    reader.catalogue.put(
        [Item("a/ü", "Boots", category="Shoes", brand="Acme", price=1.5, in_stock=False), Item("gone")]
    )
    reader.catalogue.learn(item_codes(["new"]), ["new"])
    reader.catalogue.remove([b"gone"])
    return reader


async def test_an_item_is_answered_as_the_catalogue_has_it(serve, reader):
    worker = await serve(partitions=[], items=reader)
    status, answer = await worker.get("/v1/items/a%2F%C3%BC")
    assert status == 200
    assert answer == {
        "item_id": "a/ü",
        "title": "Boots",
        "category": "Shoes",
        "brand": "Acme",
        "price": 1.5,
        "in_stock": False,
        "known_from": "catalogue",
        "retry": None,
    }
    status, answer = await worker.get("/v1/items/new")
    assert (status, answer["known_from"], answer["title"], answer["in_stock"]) == (200, "events", None, None)


async def test_many_items_are_answered_without_those_that_are_not_known(serve, reader):
    worker = await serve(partitions=[], items=reader)
    asked = b'{"item_ids": ["new", "gone", "a/\xc3\xbc", "none", "new"]}'
    status, answer = await worker.post("/v1/items:batch", asked)
    assert (status, answer["error"]["code"]) == (503, "reading")
    reader.is_complete = True
    status, answer = await worker.post("/v1/items:batch", asked)
    assert status == 200
    assert [(item["item_id"], item["in_stock"]) for item in answer["items"]] == [("new", None), ("a/ü", False)]
    assert (await worker.post("/v1/items:batch", b'{"item_ids": ["none"]}')) == (
        200,
        {"topic": TOPICS.events, "items": []},
    )


@pytest.mark.parametrize(
    "body", [b"", b"[]", b'{"item_ids": []}', b'{"item_ids": [""]}', b'{"item_ids": ["a"], "k": 1}']
)
async def test_a_list_of_items_that_makes_no_sense_is_refused(serve, reader, body):
    worker = await serve(items=reader)
    status, answer = await worker.post("/v1/items:batch", body)
    assert (status, answer["error"]["code"]) == (400, "bad_request")


async def test_more_items_than_are_answered_at_once_are_refused(serve, reader):
    worker = await serve(items=reader)
    reader.is_complete = True
    for count, status in ((500, 200), (501, 400)):
        body = json.dumps({"item_ids": [f"sku-{number}" for number in range(count)]}).encode()
        assert (await worker.post("/v1/items:batch", body))[0] == status


async def test_an_unknown_item_is_said_to_be_once_the_topic_is_read(serve, reader):
    worker = await serve(items=reader)
    status, answer = await worker.get("/v1/items/none")
    assert (status, answer["error"]["code"], answer["retry"]) == (503, "reading", "1")
    reader.is_complete = True
    for item in ("none", "gone", "%00"):
        status, answer = await worker.get(f"/v1/items/{item}")
        assert (status, answer["error"]["code"]) == (404, "unknown_item")
    assert (await worker.get("/v1/items/%FF"))[0] == 400
    assert (await worker.get("/v1/items/" + "x" * 1025))[0] == 414


async def test_items_ask_for_the_token(serve, reader):
    worker = await serve(items=reader, token="sesame-4711")  # noqa: S106 - of this test alone
    assert (await worker.get("/v1/items/new"))[0] == 401
    assert (await worker.get("/v1/items/new", Authorization="Bearer sesame-4711"))[0] == 200


async def test_a_worker_that_recommends_nothing_has_no_such_path(serve, reader):
    worker = await serve(items=reader)
    status, answer = await worker.get("/v1/users/u/items")
    assert (status, answer["error"]["code"]) == (404, "no_such_path")
    assert "/v1/users/{user_id}/items" not in (await worker.get("/v1/openapi.json"))[1]["paths"]


class Recommender:
    """Recommends what it was asked."""

    def __init__(self, partitions) -> None:
        self.partitions = partitions

    async def items(self, user: bytes, partition: int, query: ItemQuery) -> ShopperItems:
        if partition not in self.partitions:
            raise NotHereError
        asked = Suggestion(f"{query.k}", 0.5, ",".join(sorted(query.exclude)), query.category, None, [])
        return ShopperItems(user.decode(), query.goal, "m", [asked], None)


async def test_a_query_is_read_and_answered_by_the_worker_that_has_the_shopper(serve):
    asked = await serve(partitions=[], recommender=Recommender([]))
    owner = await serve(recommender=Recommender(range(PARTITIONS)))
    route(asked, partition_of(b"u", PARTITIONS), owner.url)
    status, answer = await asked.get("/v1/users/u/items?k=5&goal=cart&exclude=seen,bought&category=Shoes%20%3E%20Boots")
    assert status == 200
    assert (answer["user_id"], answer["goal"], answer["as_of"]) == ("u", "cart", None)
    assert answer["items"] == [
        {
            "item_id": "5",
            "score": 0.5,
            "title": "bought,seen",
            "category": "Shoes > Boots",
            "price": None,
            "why": [],
        }
    ]
    assert "/v1/users/{user_id}/items" in (await asked.get("/v1/openapi.json"))[1]["paths"]


async def test_a_query_that_makes_no_sense_is_answered_clearly(serve):
    worker = await serve(recommender=Recommender(range(PARTITIONS)))
    status, answer = await worker.get("/v1/users/u/items?k=1000000")
    assert (status, answer["error"]) == (400, {"code": "bad_request", "message": "k is no whole number from 1 to 1000"})
    for query in ("k=5&k=6", "goal=", "exclude=all", "category=", "page=2"):
        assert (await worker.get(f"/v1/users/u/items?{query}"))[0] == 400
