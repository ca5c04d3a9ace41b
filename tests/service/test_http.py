"""The port of the operational pages: who may read what, and which address it may have."""

import http.client
import json
import socket
import time
from contextlib import ExitStack, contextmanager

import pytest
from structlog.testing import capture_logs

from service import http as http_module
from service.errors import ListenError
from service.health import Health
from service.hosts import Hosts, names_in
from service.http import AcceptFailures, Access, Endpoint, OperationalPages, serving
from service.metrics import Declaration, registry_of, sample
from tests.harness.ports import new_port

WAITING = Declaration("gauge", "shop_waiting", "1 while it waits")


def endpoint(port, bind="127.0.0.1", token=""):
    return Endpoint(bind, port, token, "sink.metrics_bind", "sink.metrics_port", "sink.metrics_token")


def pages(ready="ok", token=""):
    registry = registry_of(lambda: iter([sample(WAITING, 1)]))
    return OperationalPages(registry, Health({}, {"clickhouse": lambda: ready}), Access(token, ["shop.example"]))


@contextmanager
def served(*, bearer="", outside="ok", bind="127.0.0.1"):
    """Yield a function that asks for a path."""
    port = new_port()

    def ask(path, *, method="GET", **headers):
        connection = http.client.HTTPConnection("127.0.0.1", port)
        connection.request(method, path, headers=headers)
        answer = connection.getresponse()
        found = answer.status, answer.headers, answer.read()
        connection.close()
        return found

    ask.port = port
    with serving(pages(outside, bearer), endpoint(port, bind, bearer)):
        yield ask


def test_metrics_are_there_during_the_block_and_not_after_it():
    with served() as ask:
        status, headers, body = ask("/metrics")
        assert (status, headers["Content-Type"].split(";")[0]) == (200, "text/plain")
        assert b"shop_waiting" in body
        assert ask("/metrics", Accept="application/openmetrics-text; version=1.0.0")[2].endswith(b"# EOF\n")
    with pytest.raises(OSError, match="refused"):
        ask("/metrics")


def test_health_is_a_status_and_the_checks_and_needs_no_token():
    with served(bearer="t0k3n", outside="does not answer") as ask:
        status, headers, body = ask("/readyz")
        assert (status, headers["Content-Type"]) == (503, "application/json")
        assert json.loads(body) == {"status": "failing", "checks": {"clickhouse": "does not answer"}}
        assert (ask("/livez")[0], json.loads(ask("/livez?verbose")[2])) == (200, {"status": "ok", "checks": {}})
        assert ask("/livez", method="HEAD")[::2] == (200, b"")


@pytest.mark.parametrize(
    "header", ["", "Bearer", "Bearer ", "Bearer t0k3", "Bearer t0k3n0", "Basic t0k3n", "t0k3n", "Bearer t\u00f6ken"]
)
def test_metrics_are_not_for_those_without_the_token(header):
    with served(bearer="t0k3n") as ask:
        status, headers, body = ask("/metrics", **({"Authorization": header.encode("latin-1")} if header else {}))
    assert (status, headers["WWW-Authenticate"]) == (401, 'Bearer realm="cartcast"')
    assert b"shop_waiting" not in body


@pytest.mark.parametrize("token", ["t0k3n", "t\u00f6ken-\u20ac"])
def test_metrics_are_for_those_with_the_token(token):
    with served(bearer=token) as ask:
        for scheme in (b"Bearer ", b"bearer "):
            assert ask("/metrics", Authorization=scheme + token.encode())[0] == 200


def test_other_paths_and_methods_are_refused():
    with served() as ask:
        assert ask("/")[0] == 404
        assert ask("/metrics/x")[0] == 404
        assert ask("/metrics", method="POST")[0] == 501


def test_a_client_that_says_nothing_keeps_nobody_from_asking():
    with served() as ask, socket.create_connection(("127.0.0.1", ask.port)):
        assert ask("/livez")[0] == 200


@pytest.mark.parametrize(
    "host",
    ["", "127.0.0.1", "10.1.2.3:9464", "[::1]:80", "[2001:db8::7]", "localhost", "LOCALHOST.:80", "shop.example:1"],
)
def test_addresses_localhost_and_listed_names_are_this_process(host):
    assert Hosts(["Shop.example"]).admits(host)


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "evil.example:80",
        "127.0.0.1.evil.example",
        "localhost.evil.example",
        "::1",
        "127.1",
        "a:b:c",
        "[x]",
    ],
)
def test_other_names_are_not(host):
    assert not Hosts(["shop.example"]).admits(host)


def test_names_of_a_setting_stand_between_commas():
    assert (names_in(""), names_in(" a.example, b ,")) == ((), ("a.example", "b"))


def test_a_page_whose_name_was_made_to_resolve_here_reads_no_metrics():
    with served() as ask:
        status, _, body = ask("/metrics", Host="evil.example")
        assert (status, b"shop_waiting" in body) == (421, False)
        assert [ask("/metrics", Host=host)[0] for host in ("shop.example", "10.0.0.7:9464")] == [200, 200]
        assert ask("/livez", Host="evil.example")[0] == 200


def test_who_has_the_token_may_use_any_name():
    with served(bearer="t0k3n") as ask:
        assert ask("/metrics", Host="sink.shop.svc:9464", Authorization="Bearer t0k3n")[0] == 200
        assert ask("/metrics", Host="sink.shop.svc:9464")[0] == 401


def test_two_authorization_headers_are_refused():
    with served(bearer="t0k3n") as ask, socket.create_connection(("127.0.0.1", ask.port)) as client:
        client.sendall(b"GET /metrics HTTP/1.1\r\nAuthorization: Bearer t0k3n\r\nAuthorization: Bearer x\r\n\r\n")
        assert client.recv(100).startswith(b"HTTP/1.0 400 ")


def test_a_client_that_sends_its_head_byte_by_byte_is_cut_off(monkeypatch):
    monkeypatch.setattr(http_module, "CLIENT_SECONDS", 0.2)

    def drip(client):
        while True:
            client.sendall(b"G")
            time.sleep(0.02)

    with (
        served() as ask,
        socket.create_connection(("127.0.0.1", ask.port)) as client,
        pytest.raises(OSError, match=r"reset|pipe"),
    ):
        drip(client)


def test_of_too_many_connections_the_oldest_go(monkeypatch):
    monkeypatch.setattr(http_module, "MAX_CONNECTIONS", 3)
    with served() as ask, ExitStack() as opened:
        clients = [opened.enter_context(socket.create_connection(("127.0.0.1", ask.port))) for _ in range(9)]
        assert ask("/livez")[0] == 200
        assert [client.recv(1) for client in clients[:6]] == [b""] * 6


def test_that_nothing_can_be_accepted_is_logged_once_a_minute():
    now = [0.0]
    failures = AcceptFailures(lambda: now[0])
    with capture_logs() as lines:
        for now[0] in (0.0, 0.1, 59.0, 61.0):
            failures.note(OSError(24, "Too many open files"))
    assert [line["reason"] for line in lines] == ["Too many open files"] * 2


def test_a_connection_that_cannot_be_accepted_does_not_end_the_server(monkeypatch):
    failures = iter([OSError(24, "Too many open files")] * 3)

    def accept(self):
        for failure in failures:
            raise failure
        return self.socket.accept()

    monkeypatch.setattr("socketserver.TCPServer.get_request", accept)
    with capture_logs() as lines, served() as ask:
        assert ask("/livez")[0] == 200
    assert [line["log_level"] for line in lines if "reason" in line] == ["warning"]


def open_to(bind, bearer=""):
    return serving(pages(), endpoint(new_port(), bind, bearer))


@pytest.mark.parametrize("bind", ["0.0.0.0", "", "::", "192.0.2.7"])  # noqa: S104 - refused
def test_an_address_that_lets_others_in_needs_a_token(bind):
    both = "set CARTCAST_SINK__METRICS_TOKEN, or CARTCAST_SINK__METRICS_BIND"
    with pytest.raises(ListenError, match=both), open_to(bind):
        pass


def test_with_a_token_it_may_have_any_address():
    with served(bearer="t", bind="0.0.0.0") as ask:  # noqa: S104 - for a moment
        assert ask("/livez")[0] == 200


def test_loopback_by_name_needs_none():
    with served(bind="localhost"):
        pass


def test_no_page_is_served_if_the_port_is_0():
    with serving(pages(), endpoint(0, "no such")):
        pass


def test_a_port_in_use_is_told_in_one_line():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        line = rf"port {port} of 127.0.0.1 is in use: set CARTCAST_SINK__METRICS_PORT"
        with pytest.raises(ListenError, match=line), serving(pages(), endpoint(port)):
            pass


def test_an_address_of_another_machine_is_told_in_one_line():
    with pytest.raises(ListenError, match=r"sink\.metrics_bind 'host\.invalid' is no address of this machine"):
        open_to("host.invalid").__enter__()
    with pytest.raises(ListenError, match="cannot assign requested address"):
        open_to("192.0.2.7", bearer="t").__enter__()
