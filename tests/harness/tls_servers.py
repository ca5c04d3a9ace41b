"""Servers that a test puts in front of others: TLS for a server that speaks none, and an endpoint that gives tokens."""

import asyncio
import json
import ssl
import threading
import time
from base64 import b64encode, urlsafe_b64encode
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from secrets import token_hex
from typing import Any

from aiohttp import web

Respond = Callable[[web.Request, bytes], web.Response | None]
"""Answers a request itself, or returns None to have it passed on."""


@contextmanager
def tls_front(
    target: str, certificate: Path, *, client_ca: Path | None = None, instead: Respond | None = None
) -> Iterator[str]:
    """Serve `target`, a plain HTTP address, under https; with `client_ca` only to clients that it has signed."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate)
    if client_ca is not None:
        context.load_verify_locations(client_ca)
        context.verify_mode = ssl.CERT_REQUIRED

    async def pass_on(request: web.Request) -> web.StreamResponse:
        import aiohttp  # noqa: PLC0415

        body = await request.read()
        if instead is not None and (answer := instead(request, body)) is not None:
            return answer
        kept = {
            name: value
            for name, value in request.headers.items()
            if name.lower() not in {"host", "content-length", "transfer-encoding"}
        }
        async with (
            aiohttp.ClientSession(auto_decompress=False) as session,
            session.request(request.method, f"{target}{request.path_qs}", data=body, headers=kept) as answered,
        ):
            content = await answered.read()
            dropped = {"content-length", "transfer-encoding", "connection"}
            headers = {name: value for name, value in answered.headers.items() if name.lower() not in dropped}
            return web.Response(status=answered.status, body=content, headers=headers)

    with _serving(pass_on, context) as port:
        yield f"https://127.0.0.1:{port}"


@contextmanager
def token_endpoint(client_id: str, client_secret: str, certificate: Path) -> Iterator[str]:
    """Serve unsigned tokens (RFC 7519, section 6) under https to this client, as an identity provider would."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate)
    expected = "Basic " + b64encode(f"{client_id}:{client_secret}".encode()).decode()

    async def give(request: web.Request) -> web.StreamResponse:
        form = await request.post()
        if request.headers.get("Authorization") != expected or form.get("grant_type") != "client_credentials":
            return web.json_response({"error": "invalid_client"}, status=401)
        now = int(time.time())
        claims = {"sub": client_id, "iat": now, "exp": now + 600, "jti": token_hex(4), "scope": form.get("scope", "")}
        token = f"{_part({'alg': 'none', 'typ': 'JWT'})}.{_part(claims)}."
        return web.json_response({"access_token": token, "token_type": "Bearer", "expires_in": 600})

    with _serving(give, context) as port:
        yield f"https://127.0.0.1:{port}/token"


def _part(content: dict[str, Any]) -> str:
    return urlsafe_b64encode(json.dumps(content).encode()).decode().rstrip("=")


@contextmanager
def _serving(
    handler: Callable[[web.Request], Coroutine[Any, Any, web.StreamResponse]], context: ssl.SSLContext
) -> Iterator[int]:
    """Run an HTTPS server in a thread of its own; yields its port."""
    loop = asyncio.new_event_loop()
    application = web.Application(client_max_size=1 << 30)
    application.router.add_route("*", "/{path:.*}", handler)
    runner = web.AppRunner(application, access_log=None, auto_decompress=False, shutdown_timeout=1.0)

    async def start() -> int:
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
        return int(runner.addresses[0][1])

    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    port = asyncio.run_coroutine_threadsafe(start(), loop).result()
    try:
        yield port
    finally:
        asyncio.run_coroutine_threadsafe(runner.cleanup(), loop).result()
        asyncio.run_coroutine_threadsafe(_end_handshakes(loop), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


async def _end_handshakes(loop: asyncio.AbstractEventLoop) -> None:
    """Close connections that never came to speak HTTP, of which the server knows nothing.

    A transport that is still open when it is collected warns, in whichever test runs then.
    """
    accepting = asyncio.all_tasks(loop) - {asyncio.current_task(loop)}
    for transport in list(loop._transports.values()):
        transport.abort()
    await asyncio.gather(*accepting, return_exceptions=True)
    for transport in list(loop._transports.values()):
        transport.abort()
    await asyncio.sleep(0)  # what abort() put off
    await asyncio.sleep(0)
