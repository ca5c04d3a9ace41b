"""Forwarding a look-up to the worker that has the shopper, once, as it came or for its shoppers alone."""

from collections.abc import Mapping
from typing import Final
from urllib.parse import quote, unquote_to_bytes

import aiohttp
from aiohttp import web
from yarl import URL

from streams.lookups.problems import ProblemError
from streams.tables import TABLE_NAME
from streams.transport import BatchApp

_MAX_ANSWER_BYTES: Final = 1_000_000
"""Ten times what a worker answers: that it is one is known from Kafka's group, in which others may say anything."""
_MAX_ANSWERS_BYTES: Final = 64_000_000
"""The same for many users."""
_FORWARDED, _ONCE, _AGAIN = "X-Cartcast-Forwarded", "1", "2"
_ASKED_FOR: Final = "X-Cartcast-Asked-For"
_USERS: Final = "/v1/users/"
_NONE_NAMED: Final[Mapping[str, str]] = {}
_TIMEOUT: Final = aiohttp.ClientTimeout(total=5.0, connect=1.0)
_LONG_TIMEOUT: Final = aiohttp.ClientTimeout(total=30.0, connect=1.0)
_PASSED_BACK: Final = ("Content-Type", "Retry-After", "WWW-Authenticate")


async def forward(
    app: BatchApp, request: web.Request, user: bytes, *, joined_from: bytes | None = None
) -> web.Response:
    """Ask the worker that has the user's partition; a forwarded request is not forwarded again.

    Unless it asks for an id that is joined to the user, `joined_from`: then the user is asked for, once more.
    """
    url = _at(owner_of(app, request, user, joined=joined_from is not None), request)
    named = {}
    if joined_from is not None:
        _, slash, page = url.raw_path.removeprefix(_USERS).partition("/")
        url = url.with_path(_USERS + quote(user, safe="") + slash + page, encoded=True, keep_query=True)
        named = {_ASKED_FOR: quote(joined_from, safe="")}
    status, body, headers = await _asked(
        app, "GET", url, request, named=named, timeout=_TIMEOUT, most_bytes=_MAX_ANSWER_BYTES
    )
    return web.Response(status=status, body=body, headers=headers)


def asked_for(request: web.Request) -> str | None:
    """Return the id that was asked for first, if another worker asks for the user to whom it is joined."""
    given = request.headers.get(_ASKED_FOR)
    return None if given is None else unquote_to_bytes(given).decode(errors="replace")


async def forward_users(app: BatchApp, request: web.Request, owner: URL, body: bytes) -> tuple[int, bytes]:
    """Ask a worker for several of its users; returns status and body."""
    status, answer, _ = await _asked(
        app, "POST", _at(owner, request), request, body, timeout=_LONG_TIMEOUT, most_bytes=_MAX_ANSWERS_BYTES
    )
    return status, answer


def owner_of(app: BatchApp, request: web.Request, user: bytes, *, joined: bool = False) -> URL:
    """Return where the worker is that has the user's partition; raises ProblemError if a request cannot go there.

    One that was forwarded goes on only to the user to whom the id is `joined`, and from there no further.
    """
    if _FORWARDED in request.headers and not (joined and request.headers[_FORWARDED] == _ONCE):
        raise ProblemError(503, "moving", "the user's partition is moving between workers: ask again")
    try:
        owner = app.router.key_store(TABLE_NAME, user)
    except KeyError:
        raise ProblemError(503, "moving", "no worker has the user's partition at the moment: ask again") from None
    if owner == app.conf.canonical_url:
        raise ProblemError(503, "moving", "the user's partition is on its way to this worker: ask again")
    return owner


def _at(owner: URL, request: web.Request) -> URL:
    """Return the request's path and query at another worker, exactly as they came: requoted, an id could change."""
    asked = request.rel_url
    return URL.build(
        scheme=owner.scheme,
        authority=owner.raw_authority,
        path=asked.raw_path,
        query_string=asked.raw_query_string,
        encoded=True,
    )


def _passed_on(request: web.Request) -> dict[str, str]:
    """Return the headers with which another worker is asked: all workers of a group have one token."""
    kept = {name: request.headers[name] for name in ("Authorization",) if name in request.headers}
    return {_FORWARDED: _AGAIN if _FORWARDED in request.headers else _ONCE, **kept}


async def _asked(  # noqa: PLR0913 - a request
    app: BatchApp,
    method: str,
    url: URL,
    request: web.Request,
    body: bytes | None = None,
    *,
    named: Mapping[str, str] = _NONE_NAMED,
    timeout: aiohttp.ClientTimeout,  # noqa: ASYNC109 - aiohttp's
    most_bytes: int,
) -> tuple[int, bytes, dict[str, str]]:
    """Return status, body and headers that are passed back."""
    try:
        async with app.http_client.request(
            method, url, headers={**_passed_on(request), **named}, data=body, timeout=timeout, allow_redirects=False
        ) as answer:
            kept = {name: answer.headers[name] for name in _PASSED_BACK if name in answer.headers}
            return answer.status, await _body(answer, most_bytes), kept
    except (aiohttp.ClientError, TimeoutError):
        raise ProblemError(
            503, "owner_away", "the worker that has the user does not answer, or serves no look-ups: ask again"
        ) from None


async def _body(answer: aiohttp.ClientResponse, most_bytes: int) -> bytes:
    body = bytearray()
    async for part in answer.content.iter_any():
        body += part
        if len(body) > most_bytes:
            answer.close()
            raise ProblemError(502, "owner_answer", "what should be the worker that has the user answers at length")
    return bytes(body)
