"""Forwarding a look-up to the worker that has the shopper, once, as it came."""

from typing import Final

import aiohttp
from aiohttp import web
from yarl import URL

from streams.lookups.answers import Problem
from streams.tables import TABLE_NAME
from streams.transport import BatchApp

_MAX_ANSWER_BYTES: Final = 1_000_000
"""Ten times what a worker answers: that it is one is known from Kafka's group, in which others may say anything."""
_FORWARDED: Final = "X-Cartcast-Forwarded"
_TIMEOUT: Final = aiohttp.ClientTimeout(total=5.0, connect=1.0)
_PASSED_BACK: Final = ("Content-Type", "Retry-After", "WWW-Authenticate")


class ProblemError(Exception):
    """The request is answered with this problem."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.problem = Problem(code, message)


async def forward(app: BatchApp, request: web.Request, user: bytes) -> web.Response:
    """Ask the worker that has the user's partition; a forwarded request is not forwarded again."""
    if _FORWARDED in request.headers:
        raise ProblemError(503, "moving", "the user's partition is moving between workers: ask again")
    try:
        owner = app.router.key_store(TABLE_NAME, user)
    except KeyError:
        raise ProblemError(503, "moving", "no worker has the user's partition at the moment: ask again") from None
    if owner == app.conf.canonical_url:
        raise ProblemError(503, "moving", "the user's partition is on its way to this worker: ask again")
    return await _asked(app, _at(owner, request), _passed_on(request))


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
    return {_FORWARDED: "1", **kept}


async def _asked(app: BatchApp, url: URL, headers: dict[str, str]) -> web.Response:
    try:
        async with app.http_client.get(url, headers=headers, timeout=_TIMEOUT, allow_redirects=False) as answer:
            kept = {name: answer.headers[name] for name in _PASSED_BACK if name in answer.headers}
            return web.Response(status=answer.status, body=await _body(answer), headers=kept)
    except (aiohttp.ClientError, TimeoutError):
        raise ProblemError(
            503, "owner_away", "the worker that has the user does not answer, or serves no look-ups: ask again"
        ) from None


async def _body(answer: aiohttp.ClientResponse) -> bytes:
    body = bytearray()
    async for part in answer.content.iter_any():
        body += part
        if len(body) > _MAX_ANSWER_BYTES:
            answer.close()
            raise ProblemError(502, "owner_answer", "what should be the worker that has the user answers at length")
    return bytes(body)
