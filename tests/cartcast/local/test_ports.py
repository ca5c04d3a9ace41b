import socket
from contextlib import ExitStack

import pytest

from cartcast.local import ports
from cartcast.local.ports import LOOPBACK, claimed_port, free_port
from service.errors import LocalStackError


def test_a_port_that_nobody_wants_is_claimed_and_can_be_bound() -> None:
    preferred = free_port()
    with claimed_port(preferred) as port, socket.socket() as server:
        assert port == preferred
        server.bind((LOOPBACK, port))


def test_who_claims_what_another_has_claimed_but_not_bound_gets_another_port() -> None:
    preferred = free_port()
    with claimed_port(preferred) as first, claimed_port(preferred) as second:
        assert first == preferred
        assert second != preferred
    with claimed_port(preferred) as again:
        assert again == preferred


def test_a_port_where_somebody_listens_is_left_alone() -> None:
    with socket.socket() as server:
        server.bind((LOOPBACK, 0))
        server.listen()
        taken = server.getsockname()[1]
        with claimed_port(taken) as port:
            assert port != taken


def test_many_claims_are_of_different_ports() -> None:
    with ExitStack() as claims:
        assert len({claims.enter_context(claimed_port()) for _ in range(50)}) == 50


def test_a_port_that_is_not_preferred_is_none_that_an_outgoing_connection_could_get() -> None:
    with claimed_port() as port, socket.socket() as outgoing:
        outgoing.bind((LOOPBACK, 0))
        assert port in ports.UNPREFERRED
        assert outgoing.getsockname()[1] not in ports.UNPREFERRED


def test_no_port_is_one_clear_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ports, "_claim", lambda _: None)
    with pytest.raises(LocalStackError, match="no free port"), claimed_port():
        pass
