"""The real ClickHouse engine behind the real ClickHouse HTTP interface, for this machine.

`python -m cartcast.local.clickhouse_server --path DIR --port PORT` serves DIR on 127.0.0.1 until SIGTERM, SIGINT or,
when its stdin is a pipe, until the process that holds the other end is gone. Any ClickHouse client that speaks HTTP
works. Requests of web pages are refused: whoever asks must know the password, name this machine and come from no other
origin. Left out, because nothing here needs it: sessions (each request stands alone), compressed answers (a client must
accept plain ones), external tables, users other than the one given.
"""

import argparse
import asyncio
import hmac
import os
import signal
import stat
import sys
import uuid
from base64 import b64decode
from binascii import Error as Base64Error
from collections.abc import Callable, Generator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from aiohttp import web
from multidict import CIMultiDictProxy

from cartcast.local.clickhouse_engine import Engine, EngineError
from cartcast.local.clickhouse_native import CUSTOM_SERIALIZATION_REVISION, for_protocol_version
from cartcast.local.clickhouse_protocol import (
    ACCESS_DENIED,
    AUTHENTICATION_FAILED,
    BadRequestError,
    Statement,
    Summary,
    decompress,
    error_code,
    http_status,
    parse_statement,
)
from service.errors import LocalStackError
from service.hosts import Hosts
from service.http import TWO_TOKENS

HOST = "127.0.0.1"
MAX_BODY_BYTES = 4 << 30
MAX_STATEMENTS_AT_ONCE = 16
STOP_TIMEOUT_SECONDS = 5.0
T = TypeVar("T")


def _names_protocol(statement: Statement) -> bool:
    """Whether the client reads the format Native as it is since some version, which Grafana's does."""
    named = statement.protocol_version >= CUSTOM_SERIALIZATION_REVISION
    return named and statement.reads and statement.format == "Native"


class ClickHouseServer:
    """Answers HTTP requests with one engine; `credentials` None asks for none."""

    def __init__(self, engine: Engine, credentials: tuple[str, str] | None = None) -> None:
        self._hosts = Hosts()
        self._engine = engine
        self._credentials = credentials
        self._threads = ThreadPoolExecutor(MAX_STATEMENTS_AT_ONCE, thread_name_prefix="statement")

    def application(self) -> web.Application:
        """Return the web application: `/ping` and `/`, as ClickHouse has them."""
        app = web.Application(client_max_size=MAX_BODY_BYTES)
        app.router.add_get("/ping", self._ping)
        app.router.add_get("/", self._answer)
        app.router.add_post("/", self._answer)
        return app

    def close(self) -> None:
        """Wait for what still runs and give the directory back."""
        self._threads.shutdown(cancel_futures=True)
        self._engine.close()

    async def _ping(self, _request: web.Request) -> web.Response:
        return web.Response(text="Ok.\n")

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        query_id = request.query.get("query_id") or str(uuid.uuid4())
        try:
            statement = await self._read(request, query_id)
            if not statement.sql.strip():
                return web.Response(text="Ok.\n")
            if _names_protocol(statement):
                return await self._execute(statement, for_protocol_version)
            if statement.streams:
                return await self._stream(request, statement)
            return await self._execute(statement)
        except (BadRequestError, EngineError) as failure:
            return _error_response(str(failure), query_id)

    async def _read(self, request: web.Request, query_id: str) -> Statement:
        parameters = dict(request.query)
        self._refuse_web_pages(request)
        self._authenticate(parameters, request.headers)
        if request.content_type == "multipart/form-data":
            parameters |= await _form_fields(request)
            body = b""
        else:  # also `curl -d`, which calls its body form-encoded
            raw = await request.read()
            body = decompress(raw, request.headers.get("Content-Encoding", ""))
        read_only = request.method == "GET"
        return parse_statement(parameters, request.headers, body, query_id=query_id, read_only=read_only)

    def _refuse_web_pages(self, request: web.Request) -> None:
        """Raise BadRequestError for what a browser sends on behalf of a page that is not ours: there is none of ours.

        Host names this machine unless the page's name was made to resolve to it (DNS rebinding); Origin and
        Sec-Fetch-Site tell of every other page. An address that somebody types into a browser is let in.
        """
        headers = request.headers
        is_ours = self._hosts.admits(headers.get("Host", ""))
        from_page = "Origin" in headers or headers.get("Sec-Fetch-Site", "none") != "none"
        if not is_ours or from_page:
            raise BadRequestError(ACCESS_DENIED, "Requests of web pages are refused. (ACCESS_DENIED)")

    def _authenticate(self, parameters: Mapping[str, str], headers: CIMultiDictProxy[str]) -> None:
        if len(headers.getall("Authorization", [])) > 1:
            raise BadRequestError(AUTHENTICATION_FAILED, f"{TWO_TOKENS}. (AUTHENTICATION_FAILED)")
        if self._credentials is None:
            return
        user, password = given_credentials(parameters, headers)
        right_user, right_password = self._credentials
        if not (user == right_user and hmac.compare_digest(password.encode(), right_password.encode())):
            raise BadRequestError(
                AUTHENTICATION_FAILED,
                f"{user}: Authentication failed: password is incorrect, or there is no user with such name. "
                "(AUTHENTICATION_FAILED)",
            )

    async def _execute(self, statement: Statement, written: Callable[[bytes], bytes] = bytes) -> web.Response:
        answer, summary = await self._in_thread(self._engine.execute, statement)
        answer = await self._in_thread(written, answer)
        headers = self._headers(statement, summary)
        if not answer and not statement.reads:
            del headers["X-ClickHouse-Format"]  # its absence tells a client that the statement has no answer
        return web.Response(body=answer, headers=headers)

    async def _stream(self, request: web.Request, statement: Statement) -> web.StreamResponse:
        """Send the answer block by block; the first one is waited for, so that most failures get their status."""
        blocks = self._engine.stream(statement)
        try:
            first = await self._in_thread(next, blocks, b"")
            response = web.StreamResponse(headers=self._headers(statement, Summary()))
            await response.prepare(request)
            await self._send(request, response, first, blocks)
        except ConnectionResetError:  # the client has gone: nobody is left to tell
            pass
        finally:
            await asyncio.shield(self._in_thread(blocks.close))
        return response

    async def _send(
        self, request: web.Request, response: web.StreamResponse, first: bytes, blocks: Generator[bytes, None, None]
    ) -> None:
        try:
            block = first
            while block:
                await response.write(block)
                block = await self._in_thread(next, blocks, b"")
            await response.write_eof()
        except EngineError as failure:  # too late for a status: say it in the body, then break the connection off
            await response.write(f"\n{failure}\n".encode())
            if request.transport is not None:
                request.transport.abort()

    async def _in_thread(self, function: Callable[..., T], *arguments: object) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, function, *arguments)

    def _headers(self, statement: Statement, summary: Summary) -> dict[str, str]:
        return {
            "Content-Type": "text/plain; charset=UTF-8",
            "X-ClickHouse-Format": statement.format,
            "X-ClickHouse-Query-Id": statement.query_id,
            "X-ClickHouse-Summary": summary.header(),
            "X-ClickHouse-Timezone": self._engine.timezone,
        }


def given_credentials(parameters: Mapping[str, str], headers: Mapping[str, str]) -> tuple[str, str]:
    """Return user and password from the headers or parameters that ClickHouse reads, `default` and none if absent."""
    scheme, _, token = headers.get("Authorization", "").partition(" ")
    if scheme.lower() == "basic":
        try:
            user, _, password = b64decode(token, validate=True).decode().partition(":")
        except (Base64Error, UnicodeDecodeError):
            raise BadRequestError(
                AUTHENTICATION_FAILED, "Invalid Basic authentication. (AUTHENTICATION_FAILED)"
            ) from None
        return user, password
    user = headers.get("X-ClickHouse-User") or parameters.get("user") or "default"
    return user, headers.get("X-ClickHouse-Key") or parameters.get("password") or ""


async def _form_fields(request: web.Request) -> dict[str, str]:
    fields = await request.post()
    files = [name for name, value in fields.items() if not isinstance(value, str)]
    if files:
        raise BadRequestError(48, f"External tables are not supported: {', '.join(files)}. (NOT_IMPLEMENTED)")
    return {name: str(value) for name, value in fields.items()}


def _error_response(message: str, query_id: str) -> web.Response:
    code = error_code(message)
    headers = {"X-ClickHouse-Exception-Code": str(code), "X-ClickHouse-Query-Id": query_id}
    return web.Response(status=http_status(code), text=f"{message}\n", headers=headers)


async def serve(engine: Engine, port: int, credentials: tuple[str, str] | None, stop: asyncio.Event) -> None:
    """Answer on 127.0.0.1:`port` until `stop` is set; says on stdout when it is ready."""
    server = ClickHouseServer(engine, credentials)
    runner = web.AppRunner(
        server.application(), access_log=None, auto_decompress=False, shutdown_timeout=STOP_TIMEOUT_SECONDS
    )
    await runner.setup()
    try:
        site = web.TCPSite(runner, HOST, port)
        await site.start()
        print(f"ready http://{HOST}:{runner.addresses[0][1]}", flush=True)  # noqa: T201 - told to whoever started it
        await stop.wait()
    except OSError as failure:
        reason = os.strerror(failure.errno) if failure.errno else str(failure)
        raise LocalStackError(f"ClickHouse cannot listen on {HOST}:{port} ({reason}): give another port") from None
    finally:
        engine.cancel_all()
        await runner.cleanup()
        server.close()


def _stop_when_told(stop: asyncio.Event) -> None:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    stdin = sys.__stdin__.fileno() if sys.__stdin__ else -1
    if stdin >= 0 and stat.S_ISFIFO(os.fstat(stdin).st_mode):
        loop.add_reader(stdin, lambda: stop.set() if not os.read(stdin, 4096) else None)


async def _run(arguments: argparse.Namespace) -> None:
    stop = asyncio.Event()
    _stop_when_told(stop)
    credentials = None
    if arguments.user:
        password = arguments.password_file.read_text().strip() if arguments.password_file else ""
        credentials = (arguments.user, password)
    engine = await asyncio.to_thread(Engine, arguments.path)
    await serve(engine, arguments.port, credentials, stop)


def _absolute(path: str) -> Path:
    return Path(path).absolute()


def main() -> None:
    """Serve until told to stop; exit code 0, or 1 with one line on stderr."""
    parser = argparse.ArgumentParser(prog="python -m cartcast.local.clickhouse_server", description=__doc__)
    parser.add_argument("--path", type=_absolute, required=True, help="data directory, made if missing")
    parser.add_argument("--port", type=int, required=True, help="0 for any free one; it is printed")
    parser.add_argument("--user", default="", help="without it, everybody is let in")
    parser.add_argument("--password-file", type=_absolute)
    arguments = parser.parse_args()
    os.chdir("/")  # the engine, when it is loaded, takes a config.xml of the current folder for its own
    try:
        asyncio.run(_run(arguments))
    except LocalStackError as failure:
        print(f"cartcast: {failure}", file=sys.stderr)  # noqa: T201 - a user reads it
        sys.exit(1)


if __name__ == "__main__":
    main()
