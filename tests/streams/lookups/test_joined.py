"""Look-ups of an anonymous id that is joined to a user: they answer for the user, wherever both are."""

import json
from collections.abc import AsyncIterator

import pytest

from service.partitioner import partition_of
from tests.streams.lookups.look_ups import PARTITIONS, events_of, join, put_state, state_of
from tests.streams.lookups.served import Serve, route, serving

PAGES = ("", "/explanation", "/explanation?event_id=user%2F-3")
USER, DEVICE, STRANGER = "user/", "device", "nobody"


@pytest.fixture
async def serve(inference, checkpoint) -> AsyncIterator[Serve]:
    async for serve in serving(inference, checkpoint):
        yield serve


def place(user: str) -> int:
    return partition_of(user.encode(), PARTITIONS)


async def test_the_ids_of_these_tests_are_in_partitions_of_their_own():
    assert len({place(user) for user in (USER, DEVICE)}) == 2


async def test_either_id_is_answered_with_the_user_and_says_for_which_it_was_asked(serve, checkpoint):
    worker = await serve()
    put_state(worker.app, USER, state_of(checkpoint, events_of(USER))[0])
    join(worker.app, DEVICE, USER)
    for page in PAGES:
        _, alone = await worker.get("/v1/users/user%2F" + page)
        status, answer = await worker.get(f"/v1/users/{DEVICE}{page}")
        assert (status, answer) == (200, alone | {"asked_for": DEVICE})
        assert alone["user_id"] == USER
        assert not {"asked_for", "joined_to"} & alone.keys()


async def test_an_id_that_began_afresh_is_itself_and_says_to_whom_it_was_joined(serve, checkpoint):
    worker = await serve()
    put_state(worker.app, DEVICE, state_of(checkpoint, events_of(DEVICE))[0])
    join(worker.app, DEVICE, USER)
    _, answer = await worker.get(f"/v1/users/{DEVICE}")
    assert (answer["user_id"], answer["joined_to"]) == (DEVICE, USER)


async def test_three_workers_answer_as_one(serve, checkpoint):
    """One is asked, one has the anonymous id, one the user."""
    asked, of_device, of_user = await serve(partitions=[]), await serve(partitions=[place(DEVICE)]), await serve()
    put_state(of_user.app, USER, state_of(checkpoint, events_of(USER))[0])
    join(of_device.app, DEVICE, USER)
    route(asked, place(DEVICE), of_device.url)
    route(of_device, place(USER), of_user.url)
    for page in PAGES:
        _, alone = await of_user.get("/v1/users/user%2F" + page)
        status, answer = await asked.get(f"/v1/users/{DEVICE}{page}")
        assert (status, answer) == (200, alone | {"asked_for": DEVICE})
    results = (await asked.post("/v1/users:batch", json.dumps({"user_ids": [DEVICE]}).encode()))[1]["results"]
    alone = (await of_user.get("/v1/users/user%2F"))[1]
    retry = alone.pop("retry")
    assert (retry, results) == (None, [{"user_id": DEVICE, "answer": alone | {"asked_for": DEVICE}}])


async def test_a_user_whose_partition_moves_meanwhile_asks_for_patience(serve):
    asked, of_device, gone = (
        await serve(partitions=[]),
        await serve(partitions=[place(DEVICE)]),
        await serve(partitions=[]),
    )
    join(of_device.app, DEVICE, USER)
    route(asked, place(DEVICE), of_device.url)
    route(of_device, place(USER), gone.url)
    route(gone, place(USER), asked.url)
    status, answer = await asked.get(f"/v1/users/{DEVICE}")
    assert (status, answer["error"]["code"]) == (503, "moving")
    results = (await asked.post("/v1/users:batch", json.dumps({"user_ids": [DEVICE]}).encode()))[1]["results"]
    assert results[0]["error"]["code"] == "moving"


async def test_an_id_that_is_joined_to_a_joined_one_is_not_followed_further(serve):
    worker = await serve()
    join(worker.app, DEVICE, USER)
    join(worker.app, USER, DEVICE)
    status, answer = await worker.get(f"/v1/users/{DEVICE}")
    assert (status, answer["error"]["code"]) == (404, "unknown_user")
    results = (await worker.post("/v1/users:batch", json.dumps({"user_ids": [DEVICE]}).encode()))[1]["results"]
    assert results[0]["error"]["code"] == "unknown_user"
