"""What stands before ClickHouse, and what others made in it: `cartcast sink` waits or says what it is."""

import http.client
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from service.clickhouse import connect
from service.errors import RefusedError, TooLargeError, UnavailableError
from sinks.table import ClickHouseTable
from tests.contract.test_scores_table import as_json, score

pytestmark = pytest.mark.integration


class Proxy:
    """Passes everything on but inserts, which it answers itself with `status`; 0: it passes them on as well."""

    def __init__(self, target):
        self.status = 0
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                self.answer(b"")

            def do_POST(self):
                self.answer(self.rfile.read(int(self.headers["Content-Length"])))

            def answer(self, body):
                if proxy.status and b"INSERT" in body[:200] + self.path.encode():
                    status, headers, body = proxy.status, [], b"" if proxy.status == 200 else b"<html>nginx</html>"
                else:
                    upstream = http.client.HTTPConnection(*target)
                    upstream.request(self.command, self.path, body, dict(self.headers))
                    answered = upstream.getresponse()
                    status, headers, body = answered.status, answered.getheaders(), answered.read()
                    upstream.close()
                self.send_response(status)
                for name, value in headers:
                    if name.lower() not in ("content-length", "transfer-encoding", "connection", "server", "date"):
                        self.send_header(name, value)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"


@pytest.fixture
def proxy(database):
    host, port = database.url.removeprefix("http://").split(":")
    proxy = Proxy((host, int(port)))
    thread = threading.Thread(target=proxy.server.serve_forever)
    thread.start()
    yield proxy
    proxy.server.shutdown()
    thread.join()
    proxy.server.server_close()


@pytest.fixture
def table(database, proxy):
    table = ClickHouseTable(database.model_copy(update={"url": proxy.url}))
    yield table
    table.close()


def count(database):
    return int(connect(database, database=database.database).command("SELECT count() FROM scores"))


@pytest.mark.parametrize("status", [403, 408, 425, 429, 502, 503, 504])
def test_what_a_proxy_says_for_a_while_is_waited_for_and_named(table, proxy, database, status):
    proxy.status = status
    with pytest.raises(UnavailableError, match=f"a proxy before it: HTTP {status}"):
        table.insert([as_json(score(1))], "t")
    proxy.status = 0
    table.insert([as_json(score(1))], "t")
    assert count(database) == 1


def test_a_body_that_a_proxy_does_not_take_names_the_setting_and_the_proxys_limit(table, proxy):
    proxy.status = 413
    with pytest.raises(TooLargeError, match=r"lower sink\.block_rows, .*client_max_body_size"):
        table.insert([as_json(score(1))], "t")


def test_another_server_is_named_as_such(table, proxy):
    proxy.status = 404
    with pytest.raises(RefusedError, match=r"answered by no ClickHouse \(HTTP 404\)"):
        table.insert([as_json(score(1))], "t")


def test_an_empty_answer_that_is_not_clickhouses_is_no_insert(table, proxy, database):
    proxy.status = 200
    with pytest.raises(UnavailableError, match="answered by something before it"):
        table.insert([as_json(score(1))], "t")
    assert count(database) == 0


def test_a_view_that_throws_is_named_and_no_row_is_refused_or_doubled(database):
    client = connect(database, database=database.database)
    client.command("CREATE TABLE made_by_hand (u UInt32) ENGINE = MergeTree ORDER BY u")
    client.command("CREATE MATERIALIZED VIEW own TO made_by_hand AS SELECT toUInt32(user_id) AS u FROM scores")
    table = ClickHouseTable(database)
    for _ in range(2):
        with pytest.raises(UnavailableError, match=rf"materialized view {database.database}\.own fails"):
            table.insert([as_json(score(1, user_id="1")), as_json(score(2, user_id="x"))], "t")
    client.command("DROP VIEW own")
    table.insert([as_json(score(1, user_id="1")), as_json(score(2, user_id="x"))], "t")
    assert count(database) == 2
    client.command("CREATE MATERIALIZED VIEW own TO made_by_hand AS SELECT toUInt32(user_id) AS u FROM scores")
    client.command("DROP TABLE made_by_hand")
    with pytest.raises(UnavailableError, match=rf"writes to {database.database}\.made_by_hand, which does not exist"):
        table.insert([as_json(score(3, user_id="1"))], "u")
    table.close()
