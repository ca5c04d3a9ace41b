"""The OpenAPI and the AsyncAPI document as pages to read: docs/reference/http-api.md and docs/reference/messages.md.

They are plain tables: a renderer would be a script of somebody else's on every page.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from cartcast.reference.asyncapi import asyncapi_document
from cartcast.reference.event_schema import event_schema
from cartcast.reference.header_schemas import dead_letter_headers_schema, score_headers_schema
from cartcast.reference.item_schema import item_schema
from cartcast.reference.recommendation_schema import recommendation_schema
from cartcast.reference.schema_tables import cell, inlined, table, type_of
from cartcast.reference.score_schema import score_schema
from streams.lookups.openapi import openapi_document

SCHEMAS: Final[Mapping[str, Callable[[], Any]]] = {
    "event.schema.json": event_schema,
    "item.schema.json": item_schema,
    "score.schema.json": score_schema,
    "score-headers.schema.json": score_headers_schema,
    "recommendation.schema.json": recommendation_schema,
    "dead-letter-headers.schema.json": dead_letter_headers_schema,
}
"""The files of docs/contracts that the AsyncAPI document refers to."""
_HTTP: Final = """# HTTP API

Written by `make reference` from the OpenAPI {version} document, [openapi.json](../contracts/openapi.json); do not edit.
[Look-ups over HTTP](../api.md) tells how to use it.

{description}

"""
_MESSAGES: Final = """# Messages

Written by `make reference` from the AsyncAPI {version} document, [asyncapi.json](../contracts/asyncapi.json), not by
hand.
[Consume the scores](../how-to/consume-the-scores.md) tells how to use them. `{{prefix}}` is the setting
`kafka.topic_prefix`, `cartcast` if nobody sets it.

"""


def http_page() -> str:
    """Return the page of the OpenAPI document: each request, then each schema."""
    document = openapi_document()
    parts = [_HTTP.format(version=document["openapi"], description=document["info"]["description"])]
    for path, operations in document["paths"].items():
        parts += [_operation(method.upper(), path, operation) for method, operation in operations.items()]
    parts.append("## Schemas\n\n")
    for name, schema in document["components"]["schemas"].items():
        parts.append(f"### {name}\n\n{_sentence(schema)}{table(schema)}\n")
    return "".join(parts).rstrip() + "\n"


def messages_page() -> str:
    """Return the page of the AsyncAPI document: each topic with who writes and reads it, and its records."""
    document = asyncapi_document()
    parts = [_MESSAGES.format(version=document["asyncapi"])]
    for name, channel in document["channels"].items():
        operations = [each for each in document["operations"].values() if each["channel"]["$ref"].endswith(f"/{name}")]
        parts.append(f"## `{channel['address']}`\n\n{channel['description']}\n\n")
        parts.append("".join(f"- {each['summary']}\n" for each in operations) + "\n")
        parts += [_message(document["components"]["messages"][message]) for message in channel["messages"]]
    return "".join(parts).rstrip() + "\n"


def _operation(method: str, path: str, operation: Mapping[str, Any]) -> str:
    return (
        f"## {method} `{path}`\n\n{operation['summary']}\n\n"
        + "".join(_parameters(operation.get("parameters", [])))
        + _body(operation.get("requestBody"))
        + "| answer | when | body |\n| --- | --- | --- |\n"
        + "".join(
            f"| {code} | {cell(answer['description'])} | {_content(answer)} |\n"
            for code, answer in sorted(operation["responses"].items())
        )
        + "\n"
    )


def _parameters(parameters: list[Mapping[str, Any]]) -> Iterator[str]:
    if parameters:
        yield "| parameter | in | type | |\n| --- | --- | --- | --- |\n"
        for each in parameters:
            name, where, kind = f"`{each['name']}`", each["in"], cell(type_of(each["schema"]))
            yield f"| {name} | {where} | {kind} | {cell(each.get('description', ''))} |\n"
        yield "\n"


def _body(body: Mapping[str, Any] | None) -> str:
    return f"Body: {_content(body)}. {cell(body.get('description', ''))}".strip() + "\n\n" if body else ""


def _content(of: Mapping[str, Any]) -> str:
    """Return the media types of a body or an answer with what they hold."""
    kinds = (f"`{name}`: {cell(type_of(content.get('schema', {})))}" for name, content in of.get("content", {}).items())
    return ", ".join(kinds)


def _message(message: Mapping[str, Any]) -> str:
    key = message["bindings"]["kafka"]["key"]["description"]
    payload = _schema(message["payload"])
    parts = [f"**{message['title']}**: {message['summary']}.\n\nKey: {key}.\n\n"]
    if "headers" in message:
        headers = _schema(message["headers"])
        parts.append(f"Headers. {_sentence(headers)}{table(headers)}\n")
    parts.append(f"Value, `{message['contentType']}`. {_sentence(payload)}{table(payload)}\n")
    return "".join(parts)


def _schema(of: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the schema of a message's part; one that lies in a file of its own is looked up."""
    schema: Mapping[str, Any] = of.get("schema", of)
    if "$ref" in schema:
        return inlined(SCHEMAS[schema["$ref"].removeprefix("./")]())
    return schema


def _sentence(schema: Mapping[str, Any]) -> str:
    return f"{schema['description']}\n\n" if "description" in schema and "properties" in schema else ""
