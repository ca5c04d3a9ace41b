import socket

import pytest

from service.errors import ListenError
from streams.lookups.listener import advertised_url, open_listener, page_access
from streams.settings import DEFAULT_WEB_PORT, WorkerSettings

EVERYWHERE = "0.0.0.0"  # noqa: S104


@pytest.fixture
def taken():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


def test_a_worker_without_look_ups_takes_no_port():
    assert open_listener(WorkerSettings(web_port=0)) is None


def test_workers_of_one_machine_take_ports_beside_each_other():
    with open_listener(WorkerSettings()) as one, open_listener(WorkerSettings()) as two:
        ports = [listener.getsockname()[1] for listener in (one, two)]
        assert DEFAULT_WEB_PORT <= ports[0] < ports[1]
        assert one.getsockname()[0] == "127.0.0.1"


def test_a_port_that_was_asked_for_is_taken_or_refused_in_one_line(taken):
    with pytest.raises(ListenError) as refusal:
        open_listener(WorkerSettings(web_port=taken))
    assert str(refusal.value) == (
        f"port {taken} of 127.0.0.1 is in use: set CARTCAST_WORKER__WEB_PORT to another, or to 0 for none"
    )
    with open_listener(WorkerSettings(web_port=_free())) as listener:
        assert listener.getsockname()[1] != taken


def test_when_all_ports_are_taken_the_line_names_them(monkeypatch, taken):
    monkeypatch.setattr("streams.lookups.listener.DEFAULT_WEB_PORT", taken)
    monkeypatch.setattr("streams.lookups.listener._PORTS_TRIED", 1)
    with pytest.raises(ListenError, match=f"every port from {taken} to {taken} of 127.0.0.1 is in use"):
        open_listener(WorkerSettings())


@pytest.mark.parametrize("address", ["no.such.host.invalid", "192.0.2.1", "an address", "."])
def test_an_address_that_is_not_this_machines_is_one_line(address):
    with pytest.raises(ListenError, match="CARTCAST_WORKER__WEB") as refusal:
        open_listener(WorkerSettings(web_bind=address))
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("address", [EVERYWHERE, "::"])
def test_an_address_that_lets_other_machines_in_needs_a_token(address):
    with pytest.raises(ListenError) as refusal:
        open_listener(WorkerSettings(web_bind=address))
    assert str(refusal.value) == (
        f"worker.web_bind {address} lets other machines in, and worker.web_token is not set: "
        "set CARTCAST_WORKER__WEB_TOKEN, or CARTCAST_WORKER__WEB_BIND to 127.0.0.1"
    )
    with open_listener(WorkerSettings(web_bind=EVERYWHERE, web_token="t")) as listener:  # noqa: S106 - of this test alone
        assert listener.getsockname()[0] == EVERYWHERE


@pytest.mark.parametrize(
    ("settings", "host"),
    [
        ({}, "127.0.0.1"),
        ({"web_bind": "localhost"}, "localhost"),
        ({"web_bind": EVERYWHERE, "web_token": "t"}, socket.gethostname()),
        ({"web_bind": EVERYWHERE, "web_token": "t", "web_host": "worker-3.shop"}, "worker-3.shop"),
        ({"web_host": "::1"}, "[::1]"),
    ],
)
def test_others_are_told_an_address_that_reaches_the_worker(settings, host):
    worker = WorkerSettings(**settings)
    with open_listener(worker) as listener:
        assert str(advertised_url(worker, listener)) == f"http://{host.lower()}:{listener.getsockname()[1]}"


def _free() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


def test_names_of_the_settings_may_be_asked_for_without_a_token():
    access = page_access(WorkerSettings(web_host="one.example", web_names="two.example, three.example"))
    asked = ("one.example", "two.example:6066", "three.example", "evil.example")
    assert [access.knows(host) for host in asked] == [True, True, True, False]
    assert not page_access(WorkerSettings()).knows("one.example")
