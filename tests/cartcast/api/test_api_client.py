"""The client asks what docs/api.md says, and tells refusals in words."""

import json
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest

import cartcast

ASKED = []
BEARER = "between us"


class Worker(BaseHTTPRequestHandler):
    def do_GET(self):
        size = int(self.headers.get("Content-Length") or 0)
        ASKED.append((self.command, self.path, self.rfile.read(size), self.headers.get("Authorization")))
        refused = "/nobody" in self.path
        answer = {"error": {"code": "unknown_user", "message": "no such user"}} if refused else {"results": [], "k": 1}
        content = json.dumps(answer).encode()
        self.send_response(404 if refused else 200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def do_POST(self):
        self.do_GET()

    def log_message(self, *_):
        pass


@pytest.fixture
def url():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Worker)
    thread = Thread(target=server.serve_forever)
    thread.start()
    ASKED.clear()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_each_method_asks_its_path(url):
    client = cartcast.Client(url + "/", token=BEARER)
    assert client.user("a/b ü") == {"results": [], "k": 1}
    client.items("u", k=5, goal="cart")
    client.explain("u")
    client.explain("u", event_id="e&1")
    assert client.users(["u", "v"], items={"k": 3}) == []
    asked = [(method, path) for method, path, _, _ in ASKED]
    assert asked == [
        ("GET", "/v1/users/a%2Fb%20%C3%BC"),
        ("GET", "/v1/users/u/items?k=5&goal=cart"),
        ("GET", "/v1/users/u/explanation"),
        ("GET", "/v1/users/u/explanation?event_id=e%261"),
        ("POST", "/v1/users:batch"),
    ]
    assert json.loads(ASKED[-1][2]) == {"user_ids": ["u", "v"], "items": {"k": 3}}
    assert {token for *_, token in ASKED} == {f"Bearer {BEARER}"}


def test_refusals_are_told_in_words(url, closed_url):
    with pytest.raises(cartcast.CartcastError, match="no such user"):
        cartcast.Client(url).user("nobody")
    with pytest.raises(cartcast.CartcastError, match="no worker answers"):
        cartcast.Client(closed_url).user("u")


@pytest.fixture
def closed_url():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Worker)
    server.server_close()
    return f"http://127.0.0.1:{server.server_port}"
