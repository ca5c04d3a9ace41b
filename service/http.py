"""The pages `/metrics`, `/livez` and `/readyz` of a process: who may read them, on which address, and what they say.

The sink serves them here, with a thread per request; the worker, whose look-ups run on its event loop, serves the same
`OperationalPages` beside them. Pages read what is in memory; none waits for Kafka or ClickHouse.
"""

import errno
import hmac
import ipaddress
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Final, NamedTuple

import msgspec
import structlog
from prometheus_client import CollectorRegistry

from service.errors import ListenError
from service.health import Health, HealthReport
from service.metrics import exposition

METRICS_PATH: Final = "/metrics"
LIVE_PATH: Final = "/livez"
READY_PATH: Final = "/readyz"
OPERATIONAL_PATHS: Final = (METRICS_PATH, LIVE_PATH, READY_PATH)
OPEN_PATHS: Final = frozenset({LIVE_PATH, READY_PATH})
"""What asks for no token."""
CHALLENGE: Final = 'Bearer realm="cartcast"'
"""`WWW-Authenticate` of a refusal (RFC 6750)."""
CLIENT_SECONDS: Final = 10
"""How long a client may take to say what it wants."""
STOP_SECONDS: Final = 0.1
"""How soon the server notices that it should stop."""

log = structlog.get_logger()


class Access:
    """Admits requests by their Authorization header (RFC 6750); without a token it admits all."""

    def __init__(self, token: str = "") -> None:
        self._token = token.encode()

    def admits(self, authorization: str) -> bool:
        """Compare in a time that tells nothing of the token.

        `authorization` holds the header's bytes as ASCII with surrogate escapes, or UTF-8.
        """
        scheme, _, token = authorization.partition(" ")
        presented = token.strip().encode("utf-8", "surrogateescape")
        return not self._token or (hmac.compare_digest(presented, self._token) and scheme.lower() == "bearer")


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where pages are served; the names of the settings are for error texts."""

    bind: str
    port: int
    token: str
    bind_setting: str
    """Such as `sink.metrics_bind`."""
    port_setting: str
    token_setting: str


def listen(endpoint: Endpoint) -> socket.socket | None:
    """Return a listening socket, None if the port is taken.

    Raises ListenError if the address is none of this machine's, or lets other machines in without a token.
    """
    if not endpoint.token and not _is_loopback(endpoint.bind):
        raise ListenError(
            f"{endpoint.bind_setting} {endpoint.bind} lets other machines in, and {endpoint.token_setting} is not set: "
            f"set {_variable(endpoint.token_setting)}, or {_variable(endpoint.bind_setting)} to 127.0.0.1"
        )
    try:
        family, kind, protocol, _, name = socket.getaddrinfo(
            endpoint.bind or None, endpoint.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, protocol)
    except (OSError, UnicodeError):
        raise ListenError(
            f"{endpoint.bind_setting} {endpoint.bind!r} is no address of this machine: "
            f"correct {_variable(endpoint.bind_setting)}"
        ) from None
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # connections that linger are no hindrance
        listener.bind(name)
        listener.listen()  # until it listens, others may bind the port too
    except OSError as failure:
        listener.close()
        if failure.errno == errno.EADDRINUSE:
            return None
        raise ListenError(
            f"cannot listen on port {endpoint.port} of {endpoint.bind} ({(failure.strerror or '').lower()}): "
            f"set {_variable(endpoint.port_setting)} and {_variable(endpoint.bind_setting)}, or the port to 0 for none"
        ) from None
    return listener


def port_taken(endpoint: Endpoint, ports: str) -> ListenError:
    """Return the error that `ports` of this endpoint are in use."""
    return ListenError(
        f"{ports} of {endpoint.bind} is in use: set {_variable(endpoint.port_setting)} to another, or to 0 for none"
    )


def _variable(setting: str) -> str:
    return f"CARTCAST_{setting.upper().replace('.', '__')}"


def _is_loopback(address: str) -> bool:
    """Whether only this machine reaches `address`; that it is no address at all is found out when it is bound."""
    try:
        found = {name[0] for *_, name in socket.getaddrinfo(address or None, 0, flags=socket.AI_PASSIVE)}
    except (OSError, UnicodeError):
        return True
    return all(ipaddress.ip_address(str(each).partition("%")[0]).is_loopback for each in found)


class Page(NamedTuple):
    """An answer."""

    status: HTTPStatus
    content_type: str
    body: bytes


class OperationalPages:
    """What `/metrics`, `/livez` and `/readyz` answer; `/metrics` asks for the token, unless it is empty."""

    def __init__(self, registry: CollectorRegistry, health: Health, token: str = "") -> None:
        self._registry = registry
        self._health = health
        self._access = Access(token)

    def answer(self, path: str, authorization: str, accept: str) -> Page:
        """Return the page at `path`, in the format that `accept` names; both header values as they came, or empty."""
        match path.partition("?")[0]:
            case "/livez":
                return _health_page(self._health.live())
            case "/readyz":
                return _health_page(self._health.ready())
            case "/metrics" if not self._access.admits(authorization):
                return _problem(HTTPStatus.UNAUTHORIZED, "give the token: Authorization: Bearer TOKEN")
            case "/metrics":
                body, content_type = exposition(self._registry, accept)
                return Page(HTTPStatus.OK, content_type, body)
        return _problem(HTTPStatus.NOT_FOUND, f"there are {', '.join(OPERATIONAL_PATHS)}")


def _health_page(report: HealthReport) -> Page:
    status = HTTPStatus.OK if report.ok else HTTPStatus.SERVICE_UNAVAILABLE
    return Page(status, "application/json", msgspec.json.encode(report.as_dict()))


def _problem(status: HTTPStatus, message: str) -> Page:
    return Page(status, "application/json", msgspec.json.encode({"error": message}))


@contextmanager
def serving(pages: OperationalPages, endpoint: Endpoint) -> Iterator[None]:
    """Serve the pages during the block; nothing if the port is 0. Raises ListenError."""
    if endpoint.port == 0:
        yield
        return
    listener = listen(endpoint)
    if listener is None:
        raise port_taken(endpoint, f"port {endpoint.port}")
    server = _Server(listener, pages)
    thread = Thread(target=server.serve_forever, args=[STOP_SECONDS], name="pages", daemon=True)
    thread.start()
    log.info("serving metrics", url=f"http://{endpoint.bind}:{endpoint.port}{METRICS_PATH}")
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, listener: socket.socket, pages: OperationalPages) -> None:
        super().__init__(listener.getsockname()[:2], _Handler, bind_and_activate=False)
        self.socket.close()
        self.socket = listener
        self.pages = pages

    def handle_error(self, request: object, client_address: object) -> None:  # noqa: ARG002 - the base's parameters
        """Log it: the base would print a traceback, also about a client that hung up."""
        log.debug("a request was not answered", exc_info=True)


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    timeout = CLIENT_SECONDS

    def do_GET(self) -> None:
        """Answer."""
        authorization = self.headers.get("Authorization", "").encode("latin-1", "replace")  # as http.server decodes it
        page = self.server.pages.answer(
            self.path, authorization.decode("utf-8", "surrogateescape"), self.headers.get("Accept", "")
        )
        self.send_response(page.status)
        self.send_header("Content-Type", page.content_type)
        self.send_header("Content-Length", str(len(page.body)))
        self.send_header("Cache-Control", "no-store")
        if page.status == HTTPStatus.UNAUTHORIZED:
            self.send_header("WWW-Authenticate", CHALLENGE)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(page.body)

    do_HEAD = do_GET  # noqa: N815

    def version_string(self) -> str:
        return "cartcast"

    def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002 - http.server's name
        """Say nothing: a scrape every few seconds is no news."""
