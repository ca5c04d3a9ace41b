"""The OpenAPI document of the look-up API, generated from its messages; docs/contracts/openapi.json is a copy."""

from importlib.metadata import version
from typing import Any, Final, get_args

import msgspec

from streams.lookups.answers import (
    ForgetRequest,
    Goal,
    Item,
    KnownItems,
    Refusal,
    Shopper,
    ShopperExplanation,
    ShopperItems,
    SimilarItems,
    TakenEvents,
    UserResults,
)
from streams.lookups.item_query import (
    DEFAULT_EXCLUSIONS,
    DEFAULT_GOAL,
    DEFAULT_ITEMS,
    EXCLUSIONS,
    MOST_ITEMS,
    ItemsQuery,
    UsersQuery,
)

SHOPPER_PATH: Final = "/v1/users/{user_id}"
EXPLANATION_PATH: Final = "/v1/users/{user_id}/explanation"
ITEMS_PATH: Final = "/v1/items:batch"
ITEM_PATH: Final = "/v1/items/{item_id}"
SHOPPER_ITEMS_PATH: Final = "/v1/users/{user_id}/items"
SIMILAR_ITEMS_PATH: Final = "/v1/items/{item_id}/similar"
USERS_PATH: Final = "/v1/users:batch"
EVENTS_PATH: Final = "/v1/events"
OPENAPI_PATH: Final = "/v1/openapi.json"
_TOKEN: Final = "token"  # noqa: S105 - the scheme's name

_USER: Final = {
    "name": "user_id",
    "in": "path",
    "required": True,
    "description": "The shopper's id, percent-encoded UTF-8; at most 1,024 bytes",
    "schema": {"type": "string", "minLength": 1},
}
_ITEM: Final = {
    "name": "item_id",
    "in": "path",
    "required": True,
    "description": "The item's id, percent-encoded UTF-8; at most 1,024 bytes",
    "schema": {"type": "string", "minLength": 1},
}
_QUERY: Final = (
    ("k", "How many items", {"type": "integer", "minimum": 1, "maximum": MOST_ITEMS, "default": DEFAULT_ITEMS}),
    ("goal", "What the shopper should do next with them", {"enum": [*get_args(Goal)], "default": DEFAULT_GOAL}),
    (
        "exclude",
        f"What to leave out, by commas: {', '.join(EXCLUSIONS)}; empty: nothing",
        {"type": "string", "default": ",".join(DEFAULT_EXCLUSIONS)},
    ),
    (
        "category",
        "Only items of this category or below it, as the catalogue or events write it",
        {"type": "string", "minLength": 1},
    ),
    (
        "per_category",
        "At most so many items of each category; as many as there are if not given",
        {"type": "integer", "minimum": 1, "maximum": MOST_ITEMS},
    ),
)
_AN_EVENT: Final = {"type": "object"}
_EVENT: Final = {
    "name": "event_id",
    "in": "query",
    "required": False,
    "description": "The event to explain, one of the shopper's last 32; the last one if not given",
    "schema": {"type": "string", "minLength": 1, "maxLength": 1024},
}
_EVENTS: Final = {
    "required": True,
    "description": "An event as on the events topic (docs/contracts/event.schema.json, or of `worker.input_format`), "
    "or an array of at most 500. Its shopper becomes the record's key",
    "content": {"application/json": {"schema": {"anyOf": [_AN_EVENT, {"type": "array", "items": _AN_EVENT}]}}},
}
_REFUSALS: Final = {
    "400": "The id is not percent-encoded UTF-8, or the query or the body makes no sense",
    "401": "The worker has a token (`worker.web_token`), and the request does not show it",
    "404": "No event of this shopper was accepted, the event is not among the last 32, or the item is not known",
    "405": "The path is served by another method",
    "413": "The request has a body of more than 1,024 bytes (of many users, items or events, 256 KiB), or of unknown "
    "size",
    "415": "Events are sent with another Content-Type than application/json",
    "414": "The id, or the whole path, is too long",
    "421": "The Host header has a name that the worker does not know, and the worker has no token",
    "502": "What should be the worker that has the shopper answers with more than a worker does",
    "503": "The worker that has the shopper is starting, moving or busy, or Kafka takes no events: ask again after "
    "`Retry-After` seconds",
}


def openapi_document(*, recommends: bool = False) -> dict[str, Any]:
    """Return the OpenAPI 3.1 document of the API, of a worker that recommends items or of one that does not."""
    answers = [Shopper, ShopperExplanation, Item, ItemsQuery, KnownItems, Refusal, UsersQuery, UserResults]
    answers += [TakenEvents, ForgetRequest]
    answers += [ShopperItems, SimilarItems] if recommends else []
    _, schemas = msgspec.json.schema_components(answers, ref_template="#/components/schemas/{name}")
    parameters = [
        {"name": name, "in": "query", "required": False, "description": meaning, "schema": schema}
        for name, meaning, schema in _QUERY
    ]
    items = {
        SHOPPER_ITEMS_PATH: {"get": _operation("items", ShopperItems, [_USER, *parameters])},
        SIMILAR_ITEMS_PATH: {"get": _operation("similar_items", SimilarItems, [_ITEM, parameters[0]])},
    }
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Cartcast look-ups",
            "version": version("cartcast"),
            "description": "What a worker knows of one shopper, or of one item. Ask any worker: it forwards to the one "
            "that has the shopper; the catalogue is known to all.",
        },
        "paths": {
            SHOPPER_PATH: {
                "get": _operation("shopper", Shopper, [_USER]),
                "delete": _operation("forget", ForgetRequest, [_USER]),
            },
            EXPLANATION_PATH: {"get": _operation("explanation", ShopperExplanation, [_USER, _EVENT])},
            USERS_PATH: {"post": _operation("users", UserResults, [], asked=UsersQuery)},
            EVENTS_PATH: {"post": _operation("events", TakenEvents, []) | {"requestBody": _EVENTS}},
            ITEM_PATH: {"get": _operation("item", Item, [_ITEM])},
            ITEMS_PATH: {"post": _operation("known_items", KnownItems, [], asked=ItemsQuery)},
            **(items if recommends else {}),
        },
        "security": [{_TOKEN: []}, {}],
        "components": {
            "schemas": schemas,
            "securitySchemes": {
                _TOKEN: {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "The setting `worker.web_token`; nothing is asked for where it is empty",
                }
            },
        },
    }


def _operation(
    name: str,
    answer: type[msgspec.Struct],
    parameters: list[dict[str, Any]],
    *,
    asked: type[msgspec.Struct] | None = None,
) -> dict[str, Any]:
    refusals = {status: _response(meaning, Refusal) for status, meaning in _REFUSALS.items()}
    refusals["401"]["headers"] = {"WWW-Authenticate": {"schema": {"type": "string"}, "description": "`Bearer`"}}
    refusals["503"]["headers"] = {"Retry-After": {"schema": {"type": "integer"}, "description": "Seconds"}}
    return {
        "operationId": name,
        "summary": (answer.__doc__ or "").splitlines()[0],
        "parameters": parameters,
        **({} if asked is None else {"requestBody": {"required": True, "content": _content(asked)}}),
        "responses": {"200": _response("The answer", answer), **refusals},
    }


def _response(meaning: str, message: type[msgspec.Struct]) -> dict[str, Any]:
    return {"description": meaning, "content": _content(message)}


def _content(message: type[msgspec.Struct]) -> dict[str, Any]:
    return {"application/json": {"schema": {"$ref": f"#/components/schemas/{message.__name__}"}}}
