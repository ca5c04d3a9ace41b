"""A server that answers for items as a worker does."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import msgspec

from streams.lookups.answers import Item, KnownItems
from tests.dashboard.filled_shop import TOPIC


class ItemWorker(ThreadingHTTPServer):
    """Knows of each item in `stock` whether it can be ordered."""

    stock: Mapping[str, bool | None]
    topic: str
    token: str | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class _Answering(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        worker: ItemWorker = self.server
        worker.token = self.headers.get("Authorization")
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["item_ids"]
        known = [name for name in asked if name in worker.stock]
        items = [Item(name, f"Title of {name}", None, None, None, worker.stock[name], "catalogue") for name in known]
        self.send_response(200 if self.path == "/v1/items:batch" and len(asked) <= 500 else 400)
        self.end_headers()
        self.wfile.write(msgspec.json.encode(KnownItems(worker.topic, items)))

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def item_worker(stock: Mapping[str, bool | None], topic: str = TOPIC) -> Iterator[ItemWorker]:
    """Run it."""
    with ItemWorker(("127.0.0.1", 0), _Answering) as server:
        server.stock, server.topic = stock, topic
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
