"""The look-up API on a worker: `GET /v1/users/{id}` and what explains it, answered by the worker that has the shopper.

It runs on the event loop that scores: a page copies a table value, or has a thread explain it, and nothing else. A
request for a shopper of another worker is forwarded to it, once. Whatever goes wrong is answered in JSON, in a sentence
that a client may see.
"""

import asyncio
import re
from collections.abc import Awaitable, Callable, Collection, Mapping
from functools import lru_cache, partial
from typing import Any, Final, TypeVar
from urllib.parse import unquote_to_bytes

import msgspec
import structlog
from aiohttp import web
from aiohttp.http_exceptions import LineTooLong
from faust.web.views import View
from yarl import URL

from model.events import MAX_ID_BYTES
from service.hosts import WRONG_HOST
from service.http import (
    CHALLENGE,
    OPEN_PATHS,
    OPERATIONAL_PATHS,
    TWO_TOKENS,
    Access,
    OperationalPages,
)
from service.partitioner import partition_of
from service.pseudonyms import NO_PSEUDONYMS, Pseudonyms
from streams.catalogue import CatalogueReader
from streams.lookups import openapi
from streams.lookups.answering import item_answer, item_answers
from streams.lookups.answers import KnownItems, Problem, Refusal
from streams.lookups.forwarding import asked_for, forward
from streams.lookups.intake import EventIntake, ForgetIntake
from streams.lookups.item_query import InvalidQuery, ItemQuery, ItemsQuery, Recommender, number_asked
from streams.lookups.lookup import JoinedError, Lookup, NotHereError, UnknownShopperError
from streams.lookups.problems import REFUSED, ProblemError, problem_of
from streams.lookups.users import ManyUsers
from streams.transport import BatchApp

MAX_BODY_BYTES: Final = 1024
MAX_LIST_BODY_BYTES: Final = 256 * 1024
"""Of a request for many users or items, or of events."""
_ID: Final = re.compile(r"\{(\w+)\}")
_ROUTED_ID: Final = r"{\1:[^/]+}"
"""aiohttp's own pattern takes no braces, which an id may hold."""
_BROKEN_ESCAPE: Final = re.compile("%(?![0-9A-Fa-f]{2})")
MAX_PATH_BYTES: Final = 2 * 3 * MAX_ID_BYTES + 256
"""Two ids, every byte of them percent-encoded."""
_KEPT_QUERIES: Final = 256
"""A shop asks the same ones over and over."""
_POSTED: Final = (openapi.USERS_PATH, openapi.ITEMS_PATH, openapi.EVENTS_PATH)
_RETRY_SECONDS: Final = "1"
_HEADERS: Final = {"Server": "cartcast", "Cache-Control": "no-store"}
"""Of every answer: it is about a person, and out of date a moment later."""

_log: Final = structlog.get_logger()
_encode: Final = msgspec.json.Encoder().encode

_Query = TypeVar("_Query")
_LookUp = Callable[[bytes, int], Awaitable[msgspec.Struct]]
"""From a user and the user's partition to an answer."""
_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def application_options(access: Access) -> dict[str, Any]:
    """Return what aiohttp's application is made with."""

    @web.middleware
    async def answer_in_json(request: web.Request, handler: _Handler) -> web.StreamResponse:
        response = await _answer(request, handler, access)
        response.headers.update(_HEADERS)
        return response

    return {"middlewares": [answer_in_json], "client_max_size": MAX_LIST_BODY_BYTES}


def refuse(status: int, failure: BaseException | None) -> web.Response:
    """Answer a request that could not be read, or whose handler failed beyond what the middleware sees."""
    if isinstance(failure, LineTooLong):
        return _refusal(414, Problem("too_long", f"the path or a header is longer than {MAX_PATH_BYTES} bytes"))
    if status < 500:
        return _refusal(status, Problem("bad_request", "this is not HTTP as it should be"))
    return _failed(failure)


class Pages:
    """The API's pages."""

    def __init__(  # noqa: PLR0913 - who answers
        self,
        app: BatchApp,
        look_up: Lookup,
        partitions: int,
        operational: OperationalPages,
        *,
        items: CatalogueReader | None = None,
        recommender: Recommender | None = None,
        intake: EventIntake | None = None,
        forget: ForgetIntake | None = None,
        pseudonyms: Pseudonyms = NO_PSEUDONYMS,
    ) -> None:
        """Items are answered for if there is a reader of them, and recommended if there is somebody who does.

        Events are taken by `intake`, requests to forget a shopper by `forget`. Whoever is asked for is known by
        `pseudonyms`.
        """
        self._app = app
        self._look_up = look_up
        self._partitions = partitions
        self._operational = operational
        self._items = items
        self._recommender = recommender
        self._intake = intake
        self._forget = forget
        self._pseudonyms = pseudonyms
        self._many = ManyUsers(app, look_up, partitions, recommender, pseudonyms)
        self._openapi = _encode(openapi.openapi_document(recommends=recommender is not None))

    def serve(self) -> None:
        """Put the pages on the application's web server, before it starts."""
        pages: dict[str, Any] = {
            openapi.EXPLANATION_PATH: self.explanation,
            openapi.ITEM_PATH: self.item,
            openapi.SHOPPER_ITEMS_PATH: self.shopper_items,
            openapi.SIMILAR_ITEMS_PATH: self.similar_items,
            openapi.OPENAPI_PATH: self.openapi,
            **dict.fromkeys(OPERATIONAL_PATHS, self.operational),
        }
        for path, page in pages.items():
            self._app.page(_ID.sub(_ROUTED_ID, path))(page)
        shopper = type("Shopper", (View,), {"get": self.shopper, "delete": self.forget})
        self._app.page(_ID.sub(_ROUTED_ID, openapi.SHOPPER_PATH))(shopper)
        self._app.page(openapi.USERS_PATH)(type("Users", (View,), {"post": self.users}))
        self._app.page(openapi.ITEMS_PATH)(type("Items", (View,), {"post": self.items}))
        self._app.page(openapi.EVENTS_PATH)(type("Events", (View,), {"post": self.events}))

    async def shopper(self, request: web.Request, **_: str) -> web.Response:
        return await self._answered(request, self._user_of(request), self._look_up.shopper)

    async def forget(self, request: web.Request, **_: str) -> web.Response:
        """Ask, whether or not anybody knows the shopper: their events may be on the way."""
        if self._forget is None:
            raise web.HTTPNotFound
        return _json(200, await self._forget.take(self._user_of(request)))

    async def users(self, request: web.Request) -> web.Response:
        return _json(200, await self._many.answer(request, await request.read()))

    async def events(self, request: web.Request) -> web.Response:
        if self._intake is None:
            raise web.HTTPNotFound
        if request.content_type != "application/json":  # what a browser does not send to another's server unasked
            raise ProblemError(415, "content_type", "send events as Content-Type: application/json")
        return _json(200, await self._intake.take(await request.read()))

    async def explanation(self, request: web.Request, **_: str) -> web.Response:
        user, event_id = self._user_of(request), _event_of(request)
        return await self._answered(request, user, partial(self._look_up.explanation, event_id=event_id))

    async def item(self, request: web.Request, **_: str) -> web.Response:
        if self._items is None:
            raise web.HTTPNotFound
        if (known := item_answer(self._items.catalogue, _id_of(request, "item"))) is None:
            raise _unknown_item(self._items)
        return _json(200, known)

    async def items(self, request: web.Request) -> web.Response:
        if self._items is None:
            raise web.HTTPNotFound
        asked = _items_asked(await request.read())
        if not self._items.is_complete:
            raise _reading()
        return _json(200, KnownItems(self._look_up.topic, item_answers(self._items.catalogue, asked)))

    async def shopper_items(self, request: web.Request, **_: str) -> web.Response:
        if self._recommender is None:
            raise web.HTTPNotFound
        user, query = self._user_of(request), _query_of(request, ItemQuery.of)
        return await self._answered(request, user, partial(self._recommender.items, query=query))

    async def similar_items(self, request: web.Request, **_: str) -> web.Response:
        if self._recommender is None or self._items is None:
            raise web.HTTPNotFound
        item, count = _id_of(request, "item"), _query_of(request, number_asked)
        if item_answer(self._items.catalogue, item) is None:
            raise _unknown_item(self._items)
        row = self._items.catalogue.row_of(item.decode())
        try:
            return _json(200, await self._recommender.similar(row, count))
        except REFUSED as refused:
            raise problem_of(refused) from None

    async def openapi(self, _: web.Request) -> web.Response:
        return web.Response(body=self._openapi, content_type="application/json")

    async def operational(self, request: web.Request) -> web.Response:
        headers = (request.headers.get(name, "") for name in ("Host", "Authorization", "Accept"))
        page = self._operational.answer(request.path, *headers)
        return web.Response(status=page.status, body=page.body, headers={"Content-Type": page.content_type})

    def _user_of(self, request: web.Request) -> bytes:
        """Return the key of the user in the path."""
        return self._pseudonyms.of(_id_of(request, "user").decode()).encode()

    def _partition(self, user: bytes) -> int:
        return partition_of(user, self._partitions)

    async def _answered(
        self, request: web.Request, user: bytes, answer: _LookUp, joined_from: bytes | None = None
    ) -> web.Response:
        """Answer for a user, who may be the one to whom an id is joined, or forward the request to who can."""
        asked = asked_for(request) if joined_from is None else joined_from.decode()
        try:
            found = await answer(user, self._partition(user))
            return _json(200, found if asked is None else msgspec.structs.replace(found, asked_for=asked))
        except JoinedError as joined:
            if asked is not None:  # joined ids are not followed from one to the next
                raise problem_of(UnknownShopperError()) from None
            return await self._answered(request, joined.user, answer, joined_from=user)
        except NotHereError:
            return await forward(self._app, request, user, joined_from=joined_from)
        except REFUSED as refused:
            raise problem_of(refused) from None


def _id_of(request: web.Request, whose: str) -> bytes:
    """Return the user's or item's id in the path, as the keys of its topic have it."""
    if _BROKEN_ESCAPE.search(request.raw_path.partition("?")[0]):
        raise ProblemError(
            400, "bad_request", f"the {whose} id is not percent-encoded: a % stands without two hex digits"
        )
    given = unquote_to_bytes(request.rel_url.raw_path.split("/")[3])
    if len(given) > MAX_ID_BYTES:
        raise ProblemError(414, "too_long", f"the {whose} id has {len(given)} bytes, more than {MAX_ID_BYTES}")
    try:
        given.decode()
    except UnicodeDecodeError:
        raise ProblemError(400, "bad_request", f"the {whose} id is not percent-encoded UTF-8") from None
    return given


def _query_of(request: web.Request, read: Callable[[Mapping[str, Collection[str]]], _Query]) -> _Query:
    try:
        query: _Query = _read_query(request.rel_url.raw_query_string, read)
    except InvalidQuery as invalid:
        raise ProblemError(400, "bad_request", str(invalid)) from None
    return query


@lru_cache(_KEPT_QUERIES)
def _read_query(written: str, read: Callable[[Mapping[str, Collection[str]]], _Query]) -> _Query:
    asked = URL.build(query_string=written, encoded=True).query
    return read({name: asked.getall(name) for name in asked})


def _items_asked(body: bytes) -> Collection[str]:
    try:
        return dict.fromkeys(msgspec.json.decode(body, type=ItemsQuery).item_ids)
    except (msgspec.DecodeError, UnicodeDecodeError) as invalid:
        raise ProblemError(400, "bad_request", f"the body is not as the OpenAPI document says: {invalid}") from None


def _reading() -> ProblemError:
    return ProblemError(503, "reading", "the worker is reading the items topic: ask again")


def _unknown_item(items: CatalogueReader) -> ProblemError:
    if not items.is_complete:
        return _reading()
    return ProblemError(404, "unknown_item", "the item is not in the catalogue, and no event that counts named it")


def _event_of(request: web.Request) -> str | None:
    given = request.rel_url.query.getall("event_id", [])
    if not given:
        return None
    if len(given) > 1 or not 0 < len(given[0].encode(errors="replace")) <= MAX_ID_BYTES:
        raise ProblemError(400, "bad_request", f"give event_id once, with 1 to {MAX_ID_BYTES} bytes")
    return given[0]


async def _answer(request: web.Request, handler: _Handler, access: Access) -> web.StreamResponse:
    try:
        _check_size(request)
        if request.path not in OPEN_PATHS:
            _check_access(request, access)
        return await handler(request)
    except ProblemError as refused:
        return _refusal(refused.status, refused.problem)
    except web.HTTPException as failure:
        return _refusal(failure.status, _problem(failure), failure.headers.get("Allow"))
    except asyncio.CancelledError:
        raise
    except Exception as failure:  # noqa: BLE001 - a page that fails must not end the worker, nor tell why
        return _failed(failure)


def _check_access(request: web.Request, access: Access) -> None:
    given = request.headers.getall("Authorization", [])
    if len(given) > 1:
        raise ProblemError(400, "bad_request", TWO_TOKENS)
    if not access.knows(request.headers.get("Host", "")):
        raise ProblemError(421, "wrong_host", f"{WRONG_HOST} in worker.web_names")
    if not access.admits("".join(given)):
        raise ProblemError(401, "unauthorized", "give the worker's web_token: Authorization: Bearer TOKEN")


def _check_size(request: web.Request) -> None:
    if len(request.raw_path) > MAX_PATH_BYTES:
        raise ProblemError(414, "too_long", f"the path has more than {MAX_PATH_BYTES} bytes")
    most = MAX_LIST_BODY_BYTES if request.path in _POSTED else MAX_BODY_BYTES
    if request.can_read_body and not (request.content_length or most + 1) <= most:
        raise ProblemError(413, "body", f"no body of more than {most} bytes, or of unknown size, is read")


def _problem(failure: web.HTTPException) -> Problem:
    match failure.status:
        case 404:
            return Problem("no_such_path", f"there is nothing here; {openapi.OPENAPI_PATH} says what there is")
        case 405:
            return Problem(
                "method",
                f"only GET and HEAD are served, POST by {', '.join(_POSTED)}, and DELETE by {openapi.SHOPPER_PATH}",
            )
    return Problem("bad_request", failure.reason)


def _failed(failure: BaseException | None) -> web.Response:
    _log.error("a look-up failed", exc_info=failure)
    return _refusal(500, Problem("internal", "the look-up failed; the worker's log says why"))


def _refusal(status: int, problem: Problem, allow: str | None = None) -> web.Response:
    response = _json(status, Refusal(problem))
    if status == 503:
        response.headers["Retry-After"] = _RETRY_SECONDS
    if status == 401:
        response.headers["WWW-Authenticate"] = CHALLENGE
    if allow is not None:
        response.headers["Allow"] = allow
    return response


def _json(status: int, message: msgspec.Struct) -> web.Response:
    return web.Response(status=status, body=_encode(message), content_type="application/json", headers=_HEADERS)
