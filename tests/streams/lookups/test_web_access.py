"""Who may read a worker's pages, and what its health pages say."""

from collections.abc import AsyncIterator
from itertools import product

import pytest
from aiohttp import ClientSession

from service.partitioner import partition_of
from tests.streams.lookups.look_ups import PARTITIONS, events_of, put_state, state_of
from tests.streams.lookups.served import Serve, route, serving

TOKEN = "a token, Tür 4"  # noqa: S105 - of these tests alone
PROTECTED = ["/v1/users/u", "/v1/users/u/explanation", "/v1/openapi.json", "/metrics", "/anything", "//livez"]


@pytest.fixture
async def serve(inference, checkpoint) -> AsyncIterator[Serve]:
    async for serve in serving(inference, checkpoint):
        yield serve


HEADERS = [
    {},
    {"Authorization": ""},
    {"Authorization": "Bearer"},
    {"Authorization": "Bearer wrong"},
    {"Authorization": TOKEN},
    {"Authorization": f"Basic {TOKEN}"},
    {"Authorization": f"Bearer {TOKEN}x"},
    {"X-Cartcast-Forwarded": "1"},
]


async def test_without_the_token_there_is_nothing_but_health(serve):
    worker = await serve(token=TOKEN)
    async with ClientSession() as client:
        for path, headers in product(PROTECTED, HEADERS):
            async with client.get(str(worker.url) + path, headers=headers) as answer:
                assert (answer.status, (await answer.json())["error"]["code"]) == (401, "unauthorized"), (path, headers)
                assert answer.headers["WWW-Authenticate"].startswith("Bearer")
    for page in ("/livez", "/readyz"):
        status, verdict = await worker.get(page)
        assert (status in {200, 503}, "checks" in verdict) == (True, True)


async def test_with_the_token_everything_is_as_without_one(serve, checkpoint):
    worker = await serve(token=TOKEN)
    put_state(worker.app, "u", state_of(checkpoint, events_of("u"))[0])
    for scheme in ("Bearer", "bearer", "Bearer "):
        status, answer = await worker.get("/v1/users/u", Authorization=f"{scheme} {TOKEN}")
        assert (status, answer["user_id"]) == (200, "u")
    async with ClientSession() as client:
        asked = client.get(f"{worker.url}/metrics", headers={"Authorization": f"Bearer {TOKEN}"})
        async with asked as answer:
            assert answer.status == 200
            assert "cartcast_worker_ready 0.0" in await answer.text()


async def test_a_forwarded_look_up_carries_the_token(serve, checkpoint):
    asked, owner = await serve(partitions=[], token=TOKEN), await serve(token=TOKEN)
    put_state(owner.app, "u", state_of(checkpoint, events_of("u"))[0])
    route(asked, partition_of(b"u", PARTITIONS), owner.url)
    assert (await asked.get("/v1/users/u", Authorization=f"Bearer {TOKEN}"))[0] == 200
    stranger = await serve(token="another")  # noqa: S106 - of this test alone
    put_state(stranger.app, "u", state_of(checkpoint, events_of("u"))[0])
    route(asked, partition_of(b"u", PARTITIONS), stranger.url)
    assert (await asked.get("/v1/users/u", Authorization=f"Bearer {TOKEN}"))[0] == 401


async def test_health_pages_name_what_fails(serve):
    worker = await serve(restored=False)
    worker.app.liveness.turned()
    assert await worker.get("/livez") == (
        200,
        {"status": "ok", "checks": {"loop": "ok", "commits": "ok", "group": "ok"}, "retry": None},
    )
    status, verdict = await worker.get("/readyz")
    assert (status, verdict["status"]) == (503, "failing")
    assert verdict["checks"] | {"kafka": "ok"} == {
        "model": "ok",
        "group": "no assignment yet",
        "states": "being restored from the changelog",
        "kafka": "ok",
        "running": "ok",
    }


async def test_without_a_token_a_page_of_another_name_reads_nothing(serve):
    worker = await serve()
    for path in PROTECTED:
        status, answer = await worker.get(path, Host="evil.example")
        assert (status, answer["error"]["code"]) == (421, "wrong_host"), path
    for host in ("10.0.0.7:6066", "localhost", "worker.example"):
        assert (await worker.get("/v1/openapi.json", Host=host))[0] == (421 if "worker" in host else 200)
    for page in ("/livez", "/readyz"):
        assert (await worker.get(page, Host="evil.example"))[0] in {200, 503}


async def test_two_authorization_headers_are_refused(serve):
    worker = await serve(token=TOKEN)
    async with ClientSession() as client:
        both = [("Authorization", f"Bearer {TOKEN}"), ("Authorization", "Bearer x")]
        async with client.get(f"{worker.url}/v1/users/u", headers=both) as answer:
            assert (answer.status, (await answer.json())["error"]["code"]) == (400, "bad_request")


async def test_an_answer_of_another_worker_is_bounded_in_size(serve, monkeypatch):
    asked, owner = await serve([]), await serve()
    monkeypatch.setattr("streams.lookups.forwarding._MAX_ANSWER_BYTES", 10)
    route(asked, partition_of(b"u", PARTITIONS), owner.url)
    status, answer = await asked.get("/v1/users/u")
    assert (status, answer["error"]["code"]) == (502, "owner_answer")
