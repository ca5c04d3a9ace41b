"""Asking a worker, and everything else that may answer at its address."""

import json
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from cartcast.commands.shared import explanation_source
from cartcast.commands.shared.explanation_source import ask_worker
from service.errors import LookUpError

ANSWER = {
    "user_id": "u", "model": "m", "event": {"event_time": 1, "type": "view", "event_hash": "0" * 16},
    "propensity": None, "from_ring": {"1h": 0.5}, "earlier_events": 0, "events": [],
    "as_of": {"topic": "t", "partition": 0, "offset": None},
}  # fmt: skip


def refusal(code: str) -> dict:
    return {"error": {"code": code, "message": "why it is so"}}


class Scripted(BaseHTTPRequestHandler):
    """Answers with the next of the server's answers, the last one for ever."""

    def do_GET(self):
        self.server.asked.append(self.path)
        self.server.shown.append(self.headers["Authorization"])
        script = self.server.script
        status, body = script.pop(0) if len(script) > 1 else script[0]
        self.send_response(status)
        self.send_header("Retry-After", "0.01")
        self.end_headers()
        self.wfile.write(body if isinstance(body, bytes) else json.dumps(body).encode())

    def log_message(self, *_):
        pass


@pytest.fixture
def server() -> Iterator[ThreadingHTTPServer]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Scripted)
    server.asked, server.shown, server.url = [], [], f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def test_ids_reach_the_worker_as_they_are(server):
    server.script = [(200, ANSWER)]
    answer = ask_worker(server.url + "/", "a/ü ?#%", "e&1")
    assert answer.from_ring == {"1h": 0.5}
    assert server.asked == ["/v1/users/a%2F%C3%BC%20%3F%23%25/explanation?event_id=e%261"]


def test_the_token_is_shown_if_there_is_one(server):
    server.script = [(200, ANSWER)]
    ask_worker(server.url, "u", None, "sesame")
    ask_worker(server.url, "u", None)
    assert server.shown == ["Bearer sesame", None]


def test_a_worker_that_asks_for_patience_is_asked_again(server):
    server.script = [(503, refusal("restoring")), (503, refusal("busy")), (200, ANSWER)]
    assert ask_worker(server.url, "u", None) is not None
    assert len(server.asked) == 3


def test_patience_ends(server, monkeypatch):
    monkeypatch.setattr(explanation_source, "RETRY_FOR_SECONDS", 0.05)
    server.script = [(503, refusal("moving"))]
    with pytest.raises(LookUpError, match="try again later"):
        ask_worker(server.url, "u", None)


@pytest.mark.parametrize(
    ("status", "body", "words"),
    [
        (401, refusal("unauthorized"), "asks for its token: set CARTCAST_WORKER__WEB_TOKEN"),
        (404, refusal("unknown_user"), "has accepted no event of this user"),
        (404, refusal("event_not_stored"), "last 32.*--checkpoint"),
        (414, refusal("too_long"), "why it is so"),
        (500, refusal("internal"), "why it is so"),
        (404, b"<html>", "no worker of this version: correct the address"),
        (503, b"", "no worker of this version"),
        (200, b"<html>", "no worker of this version"),
        (200, {"user_id": "u"}, "no worker of this version"),
    ],
)
def test_what_is_no_explanation_is_one_line_that_says_what_to_do(server, status, body, words):
    server.script = [(status, body)]
    with pytest.raises(LookUpError, match=words) as failure:
        ask_worker(server.url, "u", None)
    assert "\n" not in str(failure.value)


def test_where_nobody_answers_there_is_no_explanation():
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        assert ask_worker(f"http://127.0.0.1:{unused.getsockname()[1]}", "u", None) is None


def test_what_speaks_no_http_is_no_worker():
    def hang_up(listener: socket.socket) -> None:
        connection, _ = listener.accept()
        with connection:
            connection.recv(1000)
            connection.sendall(b"220 mail.example ESMTP\r\n")

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=hang_up, args=(listener,))
        thread.start()
        with pytest.raises(LookUpError, match="no worker"):
            ask_worker(f"http://127.0.0.1:{listener.getsockname()[1]}", "u", None)
        thread.join()
