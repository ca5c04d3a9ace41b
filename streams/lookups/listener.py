"""The socket of the look-up API: taken before Kafka's group is joined, because members tell each other where it is."""

import errno
import socket
from typing import Final

from yarl import URL

from service.http import refuse_to_be_open
from streams.errors import StreamError
from streams.settings import DEFAULT_WEB_PORT, WorkerSettings

_PORTS_TRIED: Final = 100
_EVERYWHERE: Final = ("0.0.0.0", "::")  # noqa: S104 - compared with, not bound to
_ELSEWHERE: Final = "set CARTCAST_WORKER__WEB_PORT to another, or to 0 for no look-up API"


def listen(worker: WorkerSettings) -> socket.socket | None:
    """Return a listening socket, None if the API is turned off.

    A port that was asked for must be free; if none was, it is the first free one from 6066, so that several workers run
    on one machine. Raises StreamError, also if other machines could look up shoppers without a token.
    """
    if worker.web_port == 0:
        return None
    refuse_to_be_open(worker)
    asked, first = worker.web_port is not None, worker.web_port or DEFAULT_WEB_PORT
    for port in range(first, first + (1 if asked else _PORTS_TRIED)):
        if (listener := _listening(worker.web_bind, port)) is not None:
            return listener
    ports = f"port {port}" if asked else f"every port from {first} to {port}"
    raise StreamError(f"{ports} of {worker.web_bind} is in use: {_ELSEWHERE}")


def advertised_url(worker: WorkerSettings, listener: socket.socket) -> URL:
    """Return where other workers reach the API."""
    host = worker.web_host or (socket.gethostname() if worker.web_bind in _EVERYWHERE else worker.web_bind)
    return URL.build(scheme="http", host=host, port=listener.getsockname()[1])


def _listening(address: str, port: int) -> socket.socket | None:
    """Return a socket that listens, None if somebody else's does; raises StreamError."""
    try:
        family, kind, protocol, _, name = socket.getaddrinfo(address, port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, kind, protocol)
    except (OSError, UnicodeError):
        raise StreamError(
            f"worker.web_bind {address!r} is no address of this machine: correct CARTCAST_WORKER__WEB_BIND"
        ) from None
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # connections that linger are no hindrance
        listener.bind(name)
        listener.listen()  # until it listens, others may bind the port too
    except OSError as failure:
        listener.close()
        if failure.errno == errno.EADDRINUSE:
            return None
        reason = (failure.strerror or "").lower()
        raise StreamError(
            f"the look-up API cannot listen on port {port} of {address} ({reason}): {_ELSEWHERE}"
        ) from None
    return listener
