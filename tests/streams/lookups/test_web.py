"""The API's pages without Kafka: applications that own what the tests give them, asked over real HTTP."""

import asyncio
import json
import socket
import threading
from collections.abc import AsyncIterator

import msgspec
import numpy as np
import pytest
import torch
from msgspec import structs
from yarl import URL

from model.batch import event_hash
from model.checkpoint import Calibration, Checkpoint
from model.explain import Explainer
from model.lstm import LSTMConfig, PropensityLSTM
from model.propensities import published
from model.sequence import state_dtype
from model.shop import shop_of
from service.partitioner import partition_of
from tests.streams.fetches import TOPICS
from tests.streams.lookups.look_ups import PARTITIONS, events_of, put_state, state_of
from tests.streams.lookups.served import Serve, route, serving


@pytest.fixture
async def serve(inference, checkpoint) -> AsyncIterator[Serve]:
    async for serve in serving(inference, checkpoint):
        yield serve


async def test_a_look_up_gives_what_was_published_and_the_last_events(serve, checkpoint):
    worker, events = await serve(), events_of("u")
    value, propensities = state_of(checkpoint, events, first_offset=40)
    put_state(worker.app, "u", value)
    status, answer = await worker.get("/v1/users/u")
    assert status == 200
    assert list(answer["propensities"].values()) == published(propensities).tolist()
    assert list(answer["propensities"]) == ["session", "1h", "24h"]
    assert (answer["model"], answer["rebuilt"], answer["events"]) == (checkpoint.version, False, 5)
    assert answer["last_event_time"] == events[-1].ts
    assert answer["last_events"] == [
        {"event_time": event.ts, "type": event.type, "event_hash": f"{event_hash(event.event_id):016x}"[:9]}
        for event in events
    ]
    assert answer["as_of"] == {"topic": TOPICS.events, "partition": partition_of(b"u", PARTITIONS), "offset": 44}


async def test_an_explanation_says_what_each_stored_event_did(serve, checkpoint):
    worker, events = await serve(), events_of("u", 40)
    value, propensities = state_of(checkpoint, events)
    put_state(worker.app, "u", value)
    status, answer = await worker.get("/v1/users/u/explanation")
    assert status == 200
    assert list(answer["propensity"].values()) == published(propensities).tolist()
    assert answer["earlier_events"] == 8
    assert [event["event_time"] for event in answer["events"]] == [event.ts for event in events[8:]]
    assert [event["position"] for event in answer["events"]] == list(range(31, -1, -1))
    sequence = np.frombuffer(value, worker_dtype(checkpoint))["sequence"]
    expected = Explainer(checkpoint).explain(sequence)
    np.testing.assert_allclose(
        [list(event["contribution"].values()) for event in answer["events"]], expected.contributions, atol=1e-6
    )
    np.testing.assert_allclose(
        [list(event["log_odds"].values()) for event in answer["events"]], expected.log_odds, atol=1e-4
    )


def worker_dtype(checkpoint) -> np.dtype:
    return np.dtype(state_dtype(checkpoint.model.config.carried_floats, len(checkpoint.model.config.horizons)))


async def test_what_a_shop_defines_of_its_own_is_explained_and_rebuilt_from(serve):
    shop = shop_of({"types": {"joined": "none"}, "attributes": {"size": {"kind": "numeric"}}})
    torch.manual_seed(1)
    model = PropensityLSTM(LSTMConfig(hidden_size=8, shop=shop)).eval()
    calibration = Calibration.identity(3)
    now, before = (Checkpoint(version, model, calibration, metrics={}, training={}) for version in ("now", "before"))
    own = [{"type": "joined"}, {"attributes": {"size": 900.0}}, {"attributes": {"size": 2.0}}]
    events = [structs.replace(event, **what) for event, what in zip(events_of("u", 3), own, strict=True)]
    worker = await serve(model=now)
    put_state(worker.app, "u", state_of(before, events)[0])
    status, answer = await worker.get("/v1/users/u")
    assert (status, answer["rebuilt"]) == (200, True)
    published_before = published(state_of(now, events)[1])
    assert list(answer["propensities"].values()) == pytest.approx(published_before, abs=1e-3)
    assert (await worker.get("/v1/users/u/explanation"))[0] == 200


async def test_what_another_model_left_is_answered_from_the_stored_events(serve, checkpoint, other_checkpoint):
    worker = await serve()
    value, _ = state_of(other_checkpoint, events_of("u"))
    _, own_propensities = state_of(checkpoint, events_of("u"))
    put_state(worker.app, "u", value)
    status, answer = await worker.get("/v1/users/u")
    assert (status, answer["rebuilt"], answer["model"]) == (200, True, checkpoint.version)
    np.testing.assert_allclose(list(answer["propensities"].values()), own_propensities, atol=2e-3)
    assert (await worker.get("/v1/users/u/explanation"))[1]["propensity"] is None


async def test_a_model_has_the_horizons_that_it_was_trained_for(serve):
    torch.manual_seed(9)
    model = PropensityLSTM(LSTMConfig(hidden_size=8, horizons=("7d",))).eval()
    weekly = Checkpoint("lstm8-weekly", model, Calibration.identity(1), metrics={}, training={})
    worker = await serve(model=weekly)
    value, propensities = state_of(weekly, events_of("u"))
    put_state(worker.app, "u", value)
    assert (await worker.get("/v1/users/u"))[1]["propensities"] == {"7d": published(propensities)[0]}
    _, explanation = await worker.get("/v1/users/u/explanation")
    assert explanation["propensity"].keys() == explanation["from_ring"].keys() == {"7d"}
    assert all(event["contribution"].keys() == {"7d"} for event in explanation["events"])


async def test_an_offset_of_an_earlier_topic_is_none_of_this_one(serve, checkpoint, monkeypatch):
    worker = await serve()
    monkeypatch.setattr("tests.streams.lookups.look_ups.IDENTITY", "shop.events/0")
    put_state(worker.app, "u", state_of(checkpoint, events_of("u"))[0])
    assert (await worker.get("/v1/users/u"))[1]["as_of"]["offset"] is None


async def test_a_partition_that_is_being_restored_asks_for_patience(serve):
    worker = await serve(restored=False)
    status, answer = await worker.get("/v1/users/u")
    assert (status, answer["error"]["code"], answer["retry"]) == (503, "restoring", "1")


async def test_the_worker_that_has_the_shopper_is_asked_and_answers_word_for_word(serve, checkpoint):
    asked, owner = await serve(partitions=[]), await serve()
    braces = ("{user:String}", "/v1/users/%7Buser%3AString%7D")
    for user, path in [("u", "/v1/users/u"), braces, ("a/ü?&#%2F..", "/v1/users/a%2F%C3%BC%3F%26%23%252F%2E%2E")]:
        put_state(owner.app, user, state_of(checkpoint, events_of(user))[0])
        route(asked, partition_of(user.encode(), PARTITIONS), owner.url)
        for rest in ("", "/explanation", f"/explanation?event_id={path[10:]}-2"):
            status, answer = await asked.get(path + rest)
            assert (status, answer) == (200, (await owner.get(path + rest))[1])
            assert answer["user_id"] == user
    route(asked, partition_of(b"nobody", PARTITIONS), owner.url)
    status, answer = await asked.get("/v1/users/nobody")
    assert (status, answer["error"]["code"]) == (404, "unknown_user")


async def test_a_shopper_who_was_only_shown_something_is_not_known(serve, checkpoint):
    worker = await serve()
    shown = msgspec.structs.replace(events_of("u")[0], type="impression", items=["a"])
    put_state(worker.app, "u", state_of(checkpoint, [shown])[0])
    for path in ("/v1/users/u", "/v1/users/u/explanation"):
        status, answer = await worker.get(path)
        assert (status, answer["error"]["code"]) == (404, "unknown_user")


async def test_workers_that_think_the_other_has_the_shopper_do_not_ask_each_other_for_ever(serve):
    one, two = await serve(partitions=[]), await serve(partitions=[])
    for worker, other in ((one, two), (two, one)):
        for partition in range(PARTITIONS):
            route(worker, partition, other.url)
    status, answer = await one.get("/v1/users/u")
    assert (status, answer["error"]["code"], answer["retry"]) == (503, "moving", "1")


@pytest.mark.parametrize("knows", ["nobody", "itself", "somebody who is gone"])
async def test_a_shopper_whom_nobody_has_now_asks_for_patience(serve, knows, unused_port):
    worker = await serve(partitions=[])
    if knows != "nobody":
        owner = worker.url if knows == "itself" else URL(f"http://127.0.0.1:{unused_port}")
        route(worker, partition_of(b"u", PARTITIONS), owner)
    status, answer = await worker.get("/v1/users/u")
    assert (status, answer["retry"]) == (503, "1")
    assert answer["error"]["code"] == ("owner_away" if "gone" in knows else "moving")


@pytest.fixture
def unused_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


async def test_explanations_are_made_one_at_a_time_and_few_wait(serve, checkpoint, monkeypatch):
    worker, go_on = await serve(), threading.Event()
    put_state(worker.app, "u", state_of(checkpoint, events_of("u"))[0])
    explain = Explainer.explain

    def slowly(self, sequence, place, own=None):
        assert go_on.wait()
        return explain(self, sequence, place, own)

    monkeypatch.setattr(Explainer, "explain", slowly)
    asked = [asyncio.ensure_future(worker.get("/v1/users/u/explanation")) for _ in range(7)]
    refused = [await one for one in await _first(asked, 3)]
    assert {(status, answer["error"]["code"], answer["retry"]) for status, answer in refused} == {(503, "busy", "1")}
    assert (await worker.get("/v1/users/u"))[0] == 200  # a look-up does not wait for them
    go_on.set()
    assert sorted([(await one)[0] for one in asked]) == [200] * 4 + [503] * 3


async def _first(tasks: list[asyncio.Task], count: int) -> list[asyncio.Task]:
    """The first tasks that are done."""
    while True:
        done = [task for task in tasks if task.done()]
        if len(done) >= count:
            return done
        await asyncio.wait([task for task in tasks if not task.done()], return_when=asyncio.FIRST_COMPLETED)


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (b"GET /v1/users/u HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2000\r\n\r\n", 413),
        (b"GET /v1/users/u HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n", 400),
        (b"GET /v1/users/u HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\n\r\nabc", 200),
        (b"GET /v1/users/u HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n", 413),
        (b"GET /v1/users/u HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\nContent-Length: 5000\r\n\r\n", 413),
        (b"GET /v1/users/u HTTP/1.1\r\nHost: localhost\r\nA: " + b"b" * 20_000 + b"\r\n\r\n", 414),
        (b"GET http://elsewhere.example/v1/users/u HTTP/1.1\r\nHost: localhost\r\n\r\n", 200),
        (b"GET //elsewhere.example/v1/users/u HTTP/1.1\r\nHost: localhost\r\n\r\n", 404),
        (b"GET /v1/users/%00 HTTP/1.1\r\nHost: localhost\r\n\r\n", 404),
        (b"GET /v1/users/%zz HTTP/1.1\r\nHost: localhost\r\n\r\n", 400),
        (b"GET /v1/users/../users/u HTTP/1.1\r\nHost: localhost\r\n\r\n", 404),
        (b"GET /v1/users/\xc3\xbc HTTP/1.1\r\nHost: localhost\r\n\r\n", 400),
        (b"GET /v1/users/\xff HTTP/1.1\r\nHost: localhost\r\n\r\n", 400),
        (b"GET /v1/users/u HTTP/1.0\r\n\r\n", 200),
        (b"OPTIONS * HTTP/1.1\r\nHost: localhost\r\n\r\n", 404),
        (b"CONNECT elsewhere.example:443 HTTP/1.1\r\nHost: localhost\r\n\r\n", 404),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
        (b"G<E>T / HTTP/1.1\r\n\r\n", 400),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400),
    ],
)
async def test_whatever_is_sent_is_answered_in_json(serve, checkpoint, request_bytes, status):
    worker = await serve()
    put_state(worker.app, "u", state_of(checkpoint, events_of("u"))[0])
    reader, writer = await asyncio.open_connection(worker.url.host, worker.url.port)
    writer.write(request_bytes)
    while (head := await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 100 "):
        pass
    length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
    body = await reader.readexactly(length)
    writer.close()
    assert int(head.split()[1]) == status, (head, body)
    assert b"content-type: application/json" in head.lower()
    assert json.loads(body).keys() == ({"error"} if status != 200 else json.loads(body).keys())


async def test_a_page_that_fails_says_nothing_of_why_and_the_log_everything(serve, checkpoint, monkeypatch, capsys):
    worker = await serve()
    put_state(worker.app, "u", state_of(checkpoint, events_of("u"))[0])

    def broken(*_):
        raise RuntimeError("a secret")

    monkeypatch.setattr(Explainer, "explain", broken)
    status, answer = await worker.get("/v1/users/u/explanation")
    assert (status, answer["error"]["code"]) == (500, "internal")
    assert "secret" not in str(answer)
    assert "a secret" in capsys.readouterr().out
