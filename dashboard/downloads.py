"""The whole list of shoppers as a file: streamed from ClickHouse as it comes, however many there are."""

from collections.abc import Iterator
from dataclasses import fields
from itertools import chain
from typing import Final
from urllib.parse import urlencode

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import QueryParams
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from dashboard import config
from dashboard.clickhouse import Database
from dashboard.csv_export import BYTE_ORDER_MARK
from dashboard.queries import shoppers
from dashboard.queries.range import Range
from dashboard.queries.shoppers import Filters
from service.errors import CartcastError

PATH: Final = "/download/shoppers.csv"
_FILTERS: Final = tuple(field.name for field in fields(Filters) if field.name != "span")


def link(filters: Filters, order: str, horizon: str) -> str:
    """Return the address of everybody who passes the filters, relative to the pages."""
    chosen = {name: getattr(filters, name) for name in _FILTERS if getattr(filters, name)}
    return f"{PATH[1:]}?{urlencode({**filters.span.bound(), **chosen, 'order': order, 'horizon': horizon})}"


class Downloads:
    """ASGI middleware that answers PATH and hands on everything else."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] != PATH or scope["method"] != "GET":
            await self._app(scope, receive, send)
            return
        answer = await run_in_threadpool(_answer, Request(scope).query_params)
        await answer(scope, receive, send)


def _answer(asked: QueryParams) -> Response:
    """Return the file, or in a line why there is none: nothing is sent before ClickHouse has begun to answer."""
    try:
        filters = Filters(Range.of_seconds(asked["since"], asked["until"]), **{n: asked.get(n, "") for n in _FILTERS})
        sql, parameters = shoppers.everybody(filters, asked["order"], asked["horizon"])
    except (KeyError, ValueError):
        return PlainTextResponse("This address is not complete: take the link of the page Shoppers.\n", 400)
    try:
        rows = Database(config.clickhouse()).csv(sql, parameters)
        first = next(rows, b"")
    except CartcastError as failure:
        return PlainTextResponse(f"{failure}\n", 503)
    name = {"Content-Disposition": 'attachment; filename="cartcast-shoppers.csv"', "Cache-Control": "no-store"}
    return StreamingResponse(_marked(first, rows), media_type="text/csv; charset=utf-8", headers=name)


def _marked(first: bytes, rest: Iterator[bytes]) -> Iterator[bytes]:
    return chain([BYTE_ORDER_MARK + first], rest)
