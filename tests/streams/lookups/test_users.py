"""Many shoppers in one call, over real HTTP."""

import asyncio
import json
from collections.abc import AsyncIterator

import pytest
from yarl import URL

from service.partitioner import partition_of
from streams.lookups.answers import ShopperItems, Suggestion
from streams.lookups.item_query import ItemQuery
from streams.lookups.lookup import BusyError, NotHereError
from tests.streams.lookups.look_ups import PARTITIONS, events_of, put_state, state_of
from tests.streams.lookups.served import Serve, Served, route, serving

PATH = "/v1/users:batch"


@pytest.fixture
async def serve(inference, checkpoint) -> AsyncIterator[Serve]:
    async for serve in serving(inference, checkpoint):
        yield serve


class Recommender:
    """Recommends what it was asked."""

    def __init__(self, partitions=range(PARTITIONS)) -> None:
        self.partitions, self.asked = partitions, []

    async def items(self, user: bytes, partition: int, query: ItemQuery) -> ShopperItems:
        if partition not in self.partitions:
            raise NotHereError
        if user == b"busy":
            raise BusyError
        self.asked.append(user)
        what = Suggestion(f"{query.k}", 0.5, ",".join(sorted(query.exclude)), query.category, None, [])
        return ShopperItems(user.decode(), query.goal, "m", [what], None)


async def asked(worker: Served, user_ids, **items) -> list[dict]:
    body = {"user_ids": user_ids, **({"items": items} if items else {})}
    status, answer = await worker.post(PATH, json.dumps(body).encode())
    assert status == 200, answer
    assert [result["user_id"] for result in answer["results"]] == user_ids
    return answer["results"]


def apart(count=2) -> list[str]:
    """Shoppers of different partitions."""
    return list({partition_of(user.encode(), PARTITIONS): user for user in map(str, range(40))}.values())[:count]


async def test_each_is_answered_as_alone_and_in_the_order_asked(serve, checkpoint):
    worker = await serve()
    for user in ("b", "a/ü"):
        put_state(worker.app, user, state_of(checkpoint, events_of(user))[0])
    first, unknown, second, again = await asked(worker, ["b", "nobody", "a/ü", "b"])
    alone = (await worker.get("/v1/users/b"))[1]
    assert first["answer"] | {"retry": None} == alone
    assert second["answer"]["user_id"] == "a/ü"
    assert again == first
    assert unknown == {
        "user_id": "nobody",
        "error": {"code": "unknown_user", "message": "no event of this user has been accepted"},
    }


async def test_items_are_asked_for_all_with_one_query(serve):
    recommender = Recommender()
    worker = await serve(recommender=recommender)
    found, busy, again = await asked(
        worker, ["u", "busy", "u"], k=3, goal="cart", exclude=["seen", "bought"], category="A", per_category=2
    )
    (item,) = found["answer"]["items"]
    assert (item["item_id"], item["title"], item["category"]) == ("3", "bought,seen", "A")
    assert found["answer"]["goal"] == "cart"
    assert (busy["error"]["code"], again) == ("busy", found)
    assert recommender.asked == [b"u"]


async def test_users_of_other_workers_are_asked_there_in_one_call_each(serve, checkpoint):
    here, there, gone = apart(3)
    first, second, third = (partition_of(user.encode(), PARTITIONS) for user in (here, there, gone))
    worker, owner = await serve(partitions=[first], token="sesame"), await serve(partitions=[second], token="sesame")  # noqa: S106
    for app, user in ((worker.app, here), (owner.app, there)):
        put_state(app, user, state_of(checkpoint, events_of(user))[0])
    route(worker, second, owner.url)
    route(worker, third, URL("http://127.0.0.1:1"))
    body = json.dumps({"user_ids": [there, gone, here, "x" * 1025]}).encode()
    assert (await worker.post(PATH, body))[0] == 401
    status, answer = await worker.post(PATH, body, Authorization="Bearer sesame")
    assert status == 200
    results = answer["results"]
    assert [result.get("answer", result.get("error")).get("user_id") for result in results] == [there, None, here, None]
    assert [results[place]["error"]["code"] for place in (1, 3)] == ["owner_away", "too_long"]


async def test_what_a_worker_refuses_or_answers_wrongly_is_each_users_error(serve):
    async def answer_otherwise(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello")
        writer.close()

    worker, other = await serve(partitions=[]), await serve(token="another")  # noqa: S106 - of this test
    users = apart(2)
    first, second = (partition_of(user.encode(), PARTITIONS) for user in users)
    async with await asyncio.start_server(answer_otherwise, "127.0.0.1", 0) as stranger:
        route(worker, first, other.url)
        route(worker, second, URL(f"http://127.0.0.1:{stranger.sockets[0].getsockname()[1]}"))
        results = await asked(worker, users)
    assert [result["error"]["code"] for result in results] == ["unauthorized", "owner_answer"]


async def test_what_is_forwarded_is_not_forwarded_again(serve):
    one, two = await serve(partitions=[]), await serve(partitions=[])
    for worker, other in ((one, two), (two, one)):
        for partition in range(PARTITIONS):
            route(worker, partition, other.url)
    assert {result["error"]["code"] for result in await asked(one, apart(2))} == {"moving"}


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "the body is not as the OpenAPI document says"),
        (b"user_ids=u", "the body is not as the OpenAPI document says"),
        (b"\xff", "the body is not as the OpenAPI document says"),
        (b"[]", "Expected `object`, got `array`"),
        (b"{}", "missing required field `user_ids`"),
        (b'{"user_ids":[]}', "Expected `array` of length >= 1"),
        (b'{"user_ids":[""]}', "Expected `str` of length >= 1"),
        (b'{"user_ids":[1]}', "Expected `str`, got `int` - at `$.user_ids[0]`"),
        (json.dumps({"user_ids": ["u"] * 501}).encode(), "Expected `array` of length <= 500"),
        (b'{"user_ids":["u"],"goal":"cart"}', "unknown field `goal`"),
        (b'{"user_ids":["u"],"items":{"k":1000000}}', "Expected `int` <= 1000 - at `$.items.k`"),
        (b'{"user_ids":["u"],"items":{"k":"5"}}', "Expected `int`, got `str` - at `$.items.k`"),
        (b'{"user_ids":["u"],"items":{"goal":"love"}}', "at `$.items.goal`"),
        (b'{"user_ids":["u"],"items":{"exclude":["old"]}}', "at `$.items.exclude[0]`"),
        (b'{"user_ids":["u"],"items":{"category":""}}', "Expected `str` of length >= 1 - at `$.items.category`"),
        (b'{"user_ids":["u"],"items":{"page":2}}', "unknown field `page`"),
        (json.dumps({"user_ids": ["u"] * 30, "items": {"k": 1000}}).encode(), "more than 20000"),
    ],
)
async def test_a_body_that_makes_no_sense_is_answered_clearly(serve, body, message):
    worker = await serve(recommender=Recommender())
    status, answer = await worker.post(PATH, body)
    assert (status, answer["error"]["code"]) == (400, "bad_request")
    assert message in answer["error"]["message"]


async def test_the_body_is_bounded_and_nothing_but_post_is_served(serve):
    worker = await serve()
    status, answer = await worker.post(PATH, json.dumps({"user_ids": ["x" * 1000] * 300}).encode())
    assert (status, answer["error"]["code"]) == (413, "body")
    assert (await worker.get(PATH))[0] == 405
    assert (await worker.post("/v1/users/u", b"{}"))[0] == 405
    assert (await worker.post(PATH, b"{}", Host="evil.example"))[0] == 421


async def test_a_worker_that_recommends_nothing_says_so(serve):
    status, answer = await (await serve()).post(PATH, b'{"user_ids":["u"],"items":{}}')
    assert (status, answer["error"]["message"]) == (400, "items: the worker's model recommends none")
