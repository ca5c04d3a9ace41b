import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

from cartcast.demo.next_items import NextItems, ask_next_items
from service.errors import UnavailableError

ITEMS = {"ada": [{"item_id": "i1", "title": "Acme boots"}, {"item_id": "i2"}], "bob": [{"item_id": "i2"}], "eve": []}


class Worker(BaseHTTPRequestHandler):
    """Answers with ITEMS, and refuses whoever is not in it."""

    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        results = [
            {"user_id": user, "answer": {"user_id": user, "items": ITEMS[user]}}
            if user in ITEMS
            else {"user_id": user, "error": {"code": "not_here", "message": "no"}}
            for user in asked["user_ids"]
        ]
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps({"results": results}).encode())

    def log_message(self, *_):
        pass


def test_items_are_named_by_their_titles_and_shoppers_without_any_left_out():
    with HTTPServer(("127.0.0.1", 0), Worker) as server:
        thread = threading.Thread(target=server.handle_request)
        thread.start()
        found = ask_next_items(f"http://127.0.0.1:{server.server_port}", "", ["ada", "bob", "eve", "joe"])
        thread.join()
    assert found == {"ada": "Acme boots", "bob": "i2"}


def test_what_was_found_stays_while_nobody_answers():
    answers = iter([{"ada": "Acme boots"}])

    def ask(_):
        if (found := next(answers, None)) is None:
            raise UnavailableError("no worker answers")
        return found

    items = NextItems(ask, lambda: ["ada"])
    items.look()
    items.look()
    assert items.found == {"ada": "Acme boots"}


def test_nobody_is_asked_for_nobody():
    items = NextItems(lambda _: {"ada": "Acme boots"}, list)
    items.look()
    assert items.found == {}


def test_items_are_asked_for_until_it_is_stopped():
    asked = threading.Semaphore(0)

    def ask(_):
        asked.release()
        return {}

    items = NextItems(ask, lambda: ["ada"])
    items.start()
    asked.acquire()
    asked.acquire()
    items.stop()
    assert not any(thread.name == "next-items" for thread in threading.enumerate())
