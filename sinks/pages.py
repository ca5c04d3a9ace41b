"""The sink's port: `/metrics` for Prometheus, `/livez` and `/readyz` for what starts and restarts processes.

Each request has a thread of its own, which reads what is in memory; none waits for Kafka or ClickHouse.
"""

import hmac
import ipaddress
import json
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socketserver import TCPServer
from threading import Thread
from typing import Final

import structlog
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

from service.health import Verdict
from sinks.errors import SinkError
from sinks.observe.health import Health
from sinks.settings import SinkSettings

METRICS_PATH: Final = "/metrics"
LIVE_PATH: Final = "/livez"
READY_PATH: Final = "/readyz"
CLIENT_SECONDS: Final = 10
"""How long a client may take to say what it wants."""
STOP_SECONDS: Final = 0.1
"""How soon it notices that it should stop."""

log = structlog.get_logger()

_Answer = tuple[HTTPStatus, str, bytes]
"""Status, content type, body."""


class Pages:
    """What the port serves; `/metrics` asks for `token`, unless it is empty."""

    def __init__(self, registry: CollectorRegistry, health: Health, token: str = "") -> None:
        self._registry = registry
        self._health = health
        self._token = token.encode()

    def answer(self, path: str, authorization: str, accept: str) -> _Answer:
        """Return the page at `path`, in the format that `accept` names; both header values as they came, or empty."""
        match path.partition("?")[0]:
            case "/livez":
                return _judged(self._health.live)
            case "/readyz":
                return _judged(self._health.ready)
            case "/metrics" if not self._admits(authorization):
                return _problem(HTTPStatus.UNAUTHORIZED, "give the sink's metrics_token: Authorization: Bearer TOKEN")
            case "/metrics":
                encode, content_type = choose_encoder(accept)
                return HTTPStatus.OK, content_type, encode(self._registry)
        return _problem(HTTPStatus.NOT_FOUND, f"there are {METRICS_PATH}, {LIVE_PATH} and {READY_PATH}")

    def _admits(self, authorization: str) -> bool:
        scheme, _, token = authorization.partition(" ")
        given = token.strip().encode("latin-1", "replace")  # as http.server decodes headers
        return not self._token or (hmac.compare_digest(given, self._token) and scheme.lower() == "bearer")


def _judged(judge: Callable[[], Verdict]) -> _Answer:
    verdict = judge()
    status = HTTPStatus.OK if verdict.ok else HTTPStatus.SERVICE_UNAVAILABLE
    return status, "application/json", json.dumps(verdict.as_dict()).encode()


def _problem(status: HTTPStatus, message: str) -> _Answer:
    return status, "application/json", json.dumps({"error": message}).encode()


@contextmanager
def serving(pages: Pages, settings: SinkSettings) -> Iterator[None]:
    """Serve the pages during the block; nothing if the port is 0. Raises SinkError."""
    if settings.metrics_port == 0:
        yield
        return
    _refuse_to_be_open(settings)
    server = _listening(settings, pages)
    thread = Thread(target=server.serve_forever, args=[STOP_SECONDS], name="pages", daemon=True)
    thread.start()
    log.info("serving metrics", url=f"http://{settings.metrics_bind}:{settings.metrics_port}{METRICS_PATH}")
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _refuse_to_be_open(settings: SinkSettings) -> None:
    if not settings.metrics_token.get_secret_value() and not _is_loopback(settings.metrics_bind):
        raise SinkError(
            f"sink.metrics_bind {settings.metrics_bind} lets other machines in, and sink.metrics_token is not set: "
            "set CARTCAST_SINK__METRICS_TOKEN, or CARTCAST_SINK__METRICS_BIND to 127.0.0.1"
        )


def _is_loopback(address: str) -> bool:
    """Whether only this machine reaches `address`; what is no address of any machine is told later."""
    try:
        found = {name[0] for *_, name in socket.getaddrinfo(address or None, 0, flags=socket.AI_PASSIVE)}
    except (OSError, UnicodeError):
        return True
    return all(ipaddress.ip_address(str(each).partition("%")[0]).is_loopback for each in found)


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, name: tuple[str, int], family: socket.AddressFamily, pages: Pages) -> None:
        self.address_family = family
        self.pages = pages
        super().__init__(name, _Handler)

    def server_bind(self) -> None:
        """Bind, and ask no name server who this machine is, as HTTPServer does."""
        TCPServer.server_bind(self)

    def handle_error(self, request: object, client_address: object) -> None:  # noqa: ARG002 - the base's parameters
        """Log it: the base would print a traceback, also about a client that hung up."""
        log.debug("a request was not answered", exc_info=True)


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    timeout = CLIENT_SECONDS

    def do_GET(self) -> None:
        """Answer."""
        authorization, accept = self.headers.get("Authorization", ""), self.headers.get("Accept", "")
        status, content_type, body = self.server.pages.answer(self.path, authorization, accept)
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-store")
        if status == HTTPStatus.UNAUTHORIZED:
            self.send_header("WWW-Authenticate", "Bearer")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    do_HEAD = do_GET  # noqa: N815

    def version_string(self) -> str:
        return "cartcast"

    def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002 - http.server's name
        """Say nothing: a scrape every few seconds is no news."""


def _listening(settings: SinkSettings, pages: Pages) -> _Server:
    port, address = settings.metrics_port, settings.metrics_bind
    try:
        family, _, _, _, name = socket.getaddrinfo(
            address or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        return _Server((str(name[0]), port), family, pages)
    except (OSError, UnicodeError) as failure:
        reason = "no such address" if isinstance(failure, socket.gaierror | UnicodeError) else failure.strerror
        raise SinkError(
            f"metrics cannot be served on port {port} of {address} ({str(reason).lower()}): "
            "set CARTCAST_SINK__METRICS_PORT and CARTCAST_SINK__METRICS_BIND, or the port to 0 for no metrics"
        ) from None
