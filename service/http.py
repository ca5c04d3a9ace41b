"""The pages `/metrics`, `/livez` and `/readyz` of a process: who may read them, on which address, and what they say.

The sink serves them here, with a thread per request; the worker, whose look-ups run on its event loop, serves the same
`OperationalPages` beside them. Pages read what is in memory; none waits for Kafka or ClickHouse.
"""

import errno
import hmac
import ipaddress
import socket
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock, Thread
from typing import Any, Final, NamedTuple

import msgspec
import structlog
from prometheus_client import CollectorRegistry

from service.errors import ListenError
from service.health import Health, HealthReport
from service.hosts import WRONG_HOST, Hosts
from service.metrics import exposition

METRICS_PATH: Final = "/metrics"
LIVE_PATH: Final = "/livez"
READY_PATH: Final = "/readyz"
OPERATIONAL_PATHS: Final = (METRICS_PATH, LIVE_PATH, READY_PATH)
OPEN_PATHS: Final = frozenset({LIVE_PATH, READY_PATH})
"""What asks for no token."""
CHALLENGE: Final = 'Bearer realm="cartcast"'
"""`WWW-Authenticate` of a refusal (RFC 6750)."""
TWO_TOKENS: Final = "give one Authorization header"
CLIENT_SECONDS: Final = 10
"""How long a client may take to say what it wants; the sink's server closes a connection after it in any case."""
MAX_CONNECTIONS: Final = 256
"""Of one more the oldest is closed: whoever holds connections open keeps nobody else from asking."""
STOP_SECONDS: Final = 0.1
"""How soon the server notices that it should stop, or that a client has had its time."""
_REPEAT_SECONDS: Final = 60.0

log = structlog.get_logger()


class Access:
    """Admits requests by their Authorization header (RFC 6750); without a token, those that name this process."""

    def __init__(self, token: str = "", names: Iterable[str] = ()) -> None:
        """`names`: what Host may say, beside addresses and `localhost`, where there is no token."""
        self._token = token.encode()
        self._hosts = Hosts(names)

    def knows(self, host: str) -> bool:
        """Whether a request with this Host header is meant for this process; a token says so whatever the name."""
        return bool(self._token) or self._hosts.admits(host)

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
    if not endpoint.token and not is_loopback(endpoint.bind):
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


def is_loopback(address: str) -> bool:
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
    """What `/metrics`, `/livez` and `/readyz` answer; `/metrics` alone asks who asks."""

    def __init__(self, registry: CollectorRegistry, health: Health, access: Access) -> None:
        self._registry = registry
        self._health = health
        self._access = access

    def answer(self, path: str, host: str, authorization: str, accept: str) -> Page:
        """Return the page at `path`, in the format that `accept` names; header values as they came, or empty."""
        match path.partition("?")[0]:
            case "/livez":
                return _health_page(self._health.live())
            case "/readyz":
                return _health_page(self._health.ready())
            case "/metrics" if not self._access.knows(host):
                return problem(HTTPStatus.MISDIRECTED_REQUEST, WRONG_HOST)
            case "/metrics" if not self._access.admits(authorization):
                return problem(HTTPStatus.UNAUTHORIZED, "give the token: Authorization: Bearer TOKEN")
            case "/metrics":
                body, content_type = exposition(self._registry, accept)
                return Page(HTTPStatus.OK, content_type, body)
        return problem(HTTPStatus.NOT_FOUND, f"there are {', '.join(OPERATIONAL_PATHS)}")


def _health_page(report: HealthReport) -> Page:
    status = HTTPStatus.OK if report.ok else HTTPStatus.SERVICE_UNAVAILABLE
    return Page(status, "application/json", msgspec.json.encode(report.as_dict()))


def problem(status: HTTPStatus, message: str) -> Page:
    """Return a refusal in JSON."""
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


class AcceptFailures:
    """Says once a minute that connections cannot be accepted, which is tried again and again."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._said_at = -_REPEAT_SECONDS

    def note(self, failure: OSError) -> None:
        """Log the failure unless one was logged within the last minute."""
        now = self._clock()
        if now - self._said_at >= _REPEAT_SECONDS:
            self._said_at = now
            log.warning("connections to the pages cannot be accepted", reason=failure.strerror or str(failure))


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, listener: socket.socket, pages: OperationalPages) -> None:
        super().__init__(listener.getsockname()[:2], _Handler, bind_and_activate=False)
        self.socket.close()
        self.socket = listener
        self.pages = pages
        self._accept_failures = AcceptFailures()
        self._lock = Lock()
        self._began: dict[socket.socket, float] = {}
        """When each open connection was accepted, the oldest first."""

    def get_request(self) -> tuple[socket.socket, Any]:
        """Accept a connection, closing the oldest if there are too many."""
        try:
            connection, address = super().get_request()
        except OSError as failure:
            self._accept_failures.note(failure)
            time.sleep(STOP_SECONDS)  # the caller would try again at once, for as long as there is no descriptor
            raise
        with self._lock:
            while len(self._began) >= MAX_CONNECTIONS:
                self._end(next(iter(self._began)))
            self._began[connection] = time.monotonic()
        return connection, address

    def service_actions(self) -> None:
        """End connections that have had their time: a client that sends a byte now and then meets no other limit."""
        oldest = time.monotonic() - CLIENT_SECONDS
        with self._lock:
            for connection in [each for each, began in self._began.items() if began < oldest]:
                self._end(connection)

    def close_request(self, request: Any) -> None:  # noqa: ANN401 - the base's type
        """Close a connection that was answered."""
        with self._lock:
            self._began.pop(request, None)
        super().close_request(request)

    def _end(self, connection: socket.socket) -> None:
        """Wake the thread that waits for the client; it closes the connection."""
        del self._began[connection]
        with suppress(OSError):
            connection.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: object, client_address: object) -> None:  # noqa: ARG002 - the base's parameters
        """Log it, a client that hung up or was cut off without a traceback, which the base would print."""
        failure = sys.exception()
        log.debug("a request was not answered", exc_info=None if isinstance(failure, OSError) else failure)


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    timeout = CLIENT_SECONDS

    def do_GET(self) -> None:
        """Answer."""
        page = self._page()
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

    def _page(self) -> Page:
        given = self.headers.get_all("Authorization", [])
        if len(given) > 1:
            return problem(HTTPStatus.BAD_REQUEST, TWO_TOKENS)
        authorization = "".join(given).encode("latin-1", "replace")  # as http.server decodes it
        return self.server.pages.answer(
            self.path,
            self.headers.get("Host", ""),
            authorization.decode("utf-8", "surrogateescape"),
            self.headers.get("Accept", ""),
        )

    def version_string(self) -> str:
        return "cartcast"

    def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002 - http.server's name
        """Say nothing: a scrape every few seconds is no news."""
