"""What the dashboard makes of a worker's answers, from a server that gives them."""

import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from urllib.parse import unquote

import msgspec
import pytest

from dashboard.explanations import WorkerExplanation, explanation
from service.errors import LookUpError
from streams.lookups.answers import AsOf, Attribution, ShopperExplanation, StoredEvent

ANSWER = ShopperExplanation(
    user_id="u",
    model="m",
    event=StoredEvent(1, "cart", "aa"),
    propensity={"24h": 0.4},
    from_ring={"24h": 0.41},
    earlier_events=3,
    events=[
        Attribution(1, "view", "bb", 1, {"24h": -0.01}, {"24h": -0.1}),
        Attribution(2, "cart", "aa", 0, {"24h": 0.3}, {"24h": 2.0}),
    ],
    as_of=AsOf("events", 0, 7),
)


class Worker(ThreadingHTTPServer):
    """Answers every request with what it is told to."""

    status = 200
    body = msgspec.json.encode(ANSWER)
    asked: str = ""
    token: str | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class _Answering(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        worker: Worker = self.server
        worker.asked = self.path
        worker.token = self.headers.get("Authorization")
        self.send_response(worker.status)
        self.end_headers()
        self.wfile.write(worker.body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def worker() -> Iterator[Worker]:
    with Worker(("127.0.0.1", 0), _Answering) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def test_an_answer_of_the_worker_is_understood(worker):
    answer = explanation(worker.url, "u", "e", "events")
    assert isinstance(answer, WorkerExplanation)
    assert [event.contribution["24h"] for event in answer.events] == [-0.01, 0.3]
    assert [event.event_hash for event in answer.events] == ["bb", "aa"]
    assert answer.earlier_events == 3


def test_the_workers_token_is_shown_where_one_is_set(worker):
    explanation(worker.url, "u", "e", "events")
    assert worker.token is None
    explanation(worker.url, "u", "e", "events", token="sesame")  # noqa: S106 - not a secret
    assert worker.token == " ".join(["Bearer", "sesame"])


@pytest.mark.parametrize("name", ["a/b?c#d", "'\"<>", "\N{GRINNING FACE}", "../../metrics", "x" * 500, "%2F"])
def test_names_reach_the_worker_as_they_are(worker, name):
    explanation(worker.url, name, name, "events")
    path, _, query = worker.asked.partition("?")
    assert path.count("/") == 4
    assert unquote(path.split("/")[3]) == name
    assert unquote(query.removeprefix("event_id=")) == name


def test_a_refusal_says_why(worker):
    worker.status, worker.body = 404, json.dumps({"error": {"code": "x", "message": "no such event"}}).encode()
    with pytest.raises(LookUpError, match="no such event"):
        explanation(worker.url, "u", "e", "events")


@pytest.mark.parametrize("status", [200, 404, 500, 503])
def test_something_else_at_the_address_is_no_worker(worker, status):
    worker.status, worker.body = status, b"<html>hello</html>"
    with pytest.raises(LookUpError, match="no worker"):
        explanation(worker.url, "u", "e", "events")


def test_nobody_at_the_address_says_what_to_start():
    with pytest.raises(LookUpError, match="cartcast worker"):
        explanation("http://127.0.0.1:9", "u", "e", "events")


def test_a_worker_of_another_pipeline_is_not_believed(worker):
    with pytest.raises(LookUpError, match=r"another pipeline's: it scores events, not shop\.events"):
        explanation(worker.url, "u", "e", "shop.events")
