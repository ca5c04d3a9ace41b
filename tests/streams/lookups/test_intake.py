"""Events over HTTP: what is accepted is on the topic when the answer comes, and what is not says why."""

import json
from collections.abc import AsyncIterator

import pytest

from service.errors import RefusedError
from service.pseudonyms import Pseudonyms
from tests.harness.records import event_fields
from tests.streams.lookups.served import Serve, serving

PATH = "/v1/events"
JSON = {"Content-Type": "application/json"}


class Producer:
    """Stands in for the client of Kafka."""

    made = 0
    failure: Exception | None = None

    def __init__(self, *_) -> None:
        type(self).made += 1
        self.sent = []

    def send_bytes(self, key, value, _headers) -> None:
        self.sent.append((key, json.loads(value)))

    def flush(self) -> None:
        if self.failure is not None:
            raise self.failure
        SENT.extend(self.sent)
        self.sent.clear()


SENT: list = []


@pytest.fixture
async def serve(inference, checkpoint, monkeypatch) -> AsyncIterator[Serve]:
    monkeypatch.setattr("streams.lookups.intake.EventProducer", Producer)
    monkeypatch.setattr(Producer, "made", 0)
    SENT.clear()
    async for serve in serving(inference, checkpoint):
        yield serve


async def sent(worker, body, **headers):
    return await worker.post(
        PATH, body if isinstance(body, bytes) else json.dumps(body).encode(), **{**JSON, **headers}
    )


async def test_an_event_is_sent_under_its_shoppers_key(serve):
    worker, event = await serve(), event_fields(user_id="u1")
    assert await sent(worker, event) == (200, {"accepted": 1, "rejected": []})
    assert await sent(worker, [event, event_fields(user_id=7)]) == (200, {"accepted": 2, "rejected": []})
    assert [key for key, _ in SENT] == [b"u1", b"u1", b"7"]
    assert SENT[0][1] == event
    assert Producer.made == 1


async def test_of_several_those_that_are_none_are_named(serve):
    worker = await serve()
    status, answer = await sent(worker, [event_fields(), event_fields(price=-1), 5])
    assert (status, answer["accepted"], len(SENT)) == (200, 1, 1)
    assert [(each["position"], each["reason"]) for each in answer["rejected"]] == [(1, "price"), (2, "object")]


@pytest.mark.parametrize(
    ("body", "code", "words"),
    [
        (b"{", "bad_request", "neither an event nor an array"),
        (b"[]", "bad_request", "0 events, not 1 to 500"),
        (json.dumps([event_fields()] * 501).encode(), "bad_request", "501 events"),
        (json.dumps(event_fields(ts="yesterday")).encode(), "no_event", "ts: "),
        (b"", "bad_request", "neither"),
    ],
)
async def test_what_holds_no_event_is_refused(serve, body, code, words):
    status, answer = await sent(await serve(), body)
    assert (status, answer["error"]["code"]) == (400, code)
    assert words in answer["error"]["message"]
    assert SENT == []


async def test_another_sites_page_cannot_send(serve):
    status, answer = await sent(await serve(), event_fields(), **{"Content-Type": "text/plain"})
    assert (status, answer["error"]["code"], SENT) == (415, "content_type", [])


async def test_the_token_is_asked_for_and_a_body_is_bounded(serve):
    guarded = await serve(token="t" * 16)
    assert (await sent(guarded, event_fields()))[0] == 401
    assert (await sent(guarded, event_fields(), Authorization="Bearer " + "t" * 16))[0] == 200
    assert (await sent(await serve(), event_fields(text="x" * 300_000)))[0] == 413
    assert len(SENT) == 1


async def test_what_kafka_has_not_taken_is_not_accepted_and_its_client_is_made_anew(serve, monkeypatch):
    worker = await serve()
    monkeypatch.setattr(Producer, "failure", RefusedError("the broker is away"))
    status, answer = await sent(worker, event_fields())
    assert (status, answer["error"]["code"]) == (503, "kafka")
    assert "the broker is away" in answer["error"]["message"]
    monkeypatch.setattr(Producer, "failure", None)
    assert (await sent(worker, event_fields()))[0] == 200
    assert (Producer.made, len(SENT)) == (2, 1)


async def test_ids_are_replaced_before_anything_is_sent(serve):
    pseudonyms = Pseudonyms("sixteen or more characters")
    worker = await serve(pseudonyms=pseudonyms)
    event = event_fields(user_id="u1", anonymous_id="a1")
    assert await sent(worker, event) == (200, {"accepted": 1, "rejected": []})
    ((key, value),) = SENT
    assert (key, value) == (
        pseudonyms.of("u1").encode(),
        event | {"user_id": pseudonyms.of("u1"), "anonymous_id": pseudonyms.of("a1")},
    )


async def test_an_event_without_consent_is_not_even_sent(serve):
    worker = await serve()
    refused = event_fields(user_id="u1", context={"consent": False})
    status, answer = await sent(worker, [refused, event_fields(user_id="u2")])
    assert (status, answer["accepted"], [each["reason"] for each in answer["rejected"]]) == (200, 1, ["consent"])
    assert [key for key, _ in SENT] == [b"u2"]
