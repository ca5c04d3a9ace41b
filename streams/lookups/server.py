"""aiohttp's server on a socket that listens already, with limits on what clients may hold.

A client that connects and says little, or nothing, costs a file descriptor: each has a time to send a request's head,
and of more connections than a limit the oldest that is not being answered is closed.
"""

import asyncio
import socket
from collections.abc import Callable
from functools import partial
from typing import Any, Final, cast

from aiohttp import web

from service.http import CLIENT_SECONDS, MAX_CONNECTIONS, AcceptFailures

KEPT_SECONDS: Final = 30.0
"""How long a connection may wait for its next request."""
_RETRY_SECONDS: Final = 0.5

Refuse = Callable[[int, BaseException | None], web.Response]
"""What answers a request that cannot even be read; takes aiohttp's status and exception."""


class ListeningSite(web.BaseSite):
    """Serves a socket; what is not even HTTP is answered as the application answers everything else."""

    def __init__(self, runner: web.AppRunner, listener: socket.socket, refuse: Refuse) -> None:
        super().__init__(runner)
        self._listener = listener
        self._refuse = refuse

    @property
    def name(self) -> str:
        return str(self._listener.getsockname())

    async def start(self) -> None:
        """Serve, with a handler and an accept loop of our own.

        aiohttp's handler answers bad requests in plain text and waits for a head for ever; asyncio's loop logs a
        traceback for each of a hundred attempts when no file descriptor is left, several times a second.
        """
        await super().start()
        server = cast("web.Server", self._runner.server)
        connections: Connections = {}
        handler = partial(
            LimitedHandler, server, self._refuse, connections, loop=asyncio.get_running_loop(), **server._kwargs
        )
        self._server = cast("asyncio.AbstractServer", _Accepting(self._listener, handler))


class _Accepting:
    """The part of asyncio's server that a site uses."""

    def __init__(self, listener: socket.socket, handler: "Callable[[], LimitedHandler]") -> None:
        self._listener = listener
        self._handler = handler
        self._failures = AcceptFailures()
        listener.setblocking(False)
        self._task = asyncio.create_task(self._accept())

    def close(self) -> None:
        """Listen no more; connections that are open are the runner's to close."""
        self._task.cancel()
        self._listener.close()

    async def _accept(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                connection, _ = await loop.sock_accept(self._listener)
                await loop.connect_accepted_socket(self._handler, connection)
            except OSError as failure:
                self._failures.note(failure)
                await asyncio.sleep(_RETRY_SECONDS)


class LimitedHandler(web.RequestHandler):
    """aiohttp's handler of one connection."""

    __slots__ = ("_connections", "_head_timer", "_refuse")

    def __init__(
        self,
        server: web.Server,
        refuse: Refuse,
        connections: "Connections",
        **kwargs: Any,  # noqa: ANN401 - aiohttp's own arguments
    ) -> None:
        super().__init__(server, **kwargs)
        self._refuse = refuse
        self._connections = connections
        self._head_timer: asyncio.TimerHandle | None = None

    @property
    def waits_for_client(self) -> bool:
        """Whether no request of it is being answered."""
        return self._current_request is None and not self._messages

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Let the oldest connection go if there are too many, and give this one a time to send a head."""
        super().connection_made(transport)
        if len(self._connections) >= MAX_CONNECTIONS:
            self._make_room()
        self._connections[self] = None
        self._head_timer = self._loop.call_later(CLIENT_SECONDS, self.force_close)

    def data_received(self, data: bytes) -> None:
        """Stop the clock at the first head; aiohttp's own limit is for those that follow."""
        super().data_received(data)
        if self._head_timer is not None and not self.waits_for_client:
            self._head_timer.cancel()
            self._head_timer = None

    def connection_lost(self, exc: BaseException | None) -> None:
        """Forget the connection."""
        self._connections.pop(self, None)
        if self._head_timer is not None:
            self._head_timer.cancel()
        super().connection_lost(exc)

    def _make_room(self) -> None:
        oldest = next((each for each in self._connections if each.waits_for_client), next(iter(self._connections)))
        del self._connections[oldest]  # at once: the end of its transport is told later
        oldest.force_close()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Answer as the application does, instead of in HTML and with a traceback in the log."""
        del request, message
        response = self._refuse(status, exc)
        response.force_close()
        return response


Connections = dict[LimitedHandler, None]
"""Those of one site, the oldest first."""
