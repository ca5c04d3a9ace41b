"""The socket of the look-up API: taken before Kafka's group is joined, because members tell each other where it is."""

import socket
from dataclasses import replace
from typing import Final

from yarl import URL

from service.hosts import names_in
from service.http import Access, Endpoint, listen, port_taken
from streams.settings import DEFAULT_WEB_PORT, WorkerSettings

_PORTS_TRIED: Final = 100
_EVERYWHERE: Final = ("0.0.0.0", "::")  # noqa: S104 - compared with, not bound to


def open_listener(worker: WorkerSettings) -> socket.socket | None:
    """Return a listening socket, None if the API is turned off.

    A port that is set must be free; if none is, it is the first free one from 6066, so that several workers run on one
    machine. Raises ListenError, also if other machines could look up shoppers without a token.
    """
    if worker.web_port == 0:
        return None
    first = worker.web_port or DEFAULT_WEB_PORT
    ports = range(first, first + (_PORTS_TRIED if worker.web_port is None else 1))
    endpoint = Endpoint(
        worker.web_bind,
        first,
        worker.web_token.get_secret_value(),
        bind_setting="worker.web_bind",
        port_setting="worker.web_port",
        token_setting="worker.web_token",  # noqa: S106 - the name of the setting
    )
    for port in ports:
        if (listener := listen(replace(endpoint, port=port))) is not None:
            return listener
    is_set = worker.web_port is not None
    raise port_taken(endpoint, f"port {first}" if is_set else f"every port from {first} to {ports[-1]}")


def advertised_url(worker: WorkerSettings, listener: socket.socket) -> URL:
    """Return where other workers reach the API."""
    host = worker.web_host or (socket.gethostname() if worker.web_bind in _EVERYWHERE else worker.web_bind)
    return URL.build(scheme="http", host=host, port=listener.getsockname()[1])


def page_access(worker: WorkerSettings) -> Access:
    """Return who may ask for pages other than those of health."""
    return Access(worker.web_token.get_secret_value(), (worker.web_host or "", *names_in(worker.web_names)))
