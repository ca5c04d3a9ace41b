"""Every generated file, and what writes it. A test compares each with what stands in the repository."""

import json
from collections.abc import Callable, Mapping
from typing import Any, Final

from cartcast.reference import (
    capacity_page,
    cli_page,
    contract_pages,
    data_dictionary,
    metrics_page,
    settings_page,
    topics_page,
)
from cartcast.reference.asyncapi import asyncapi_document
from streams.lookups.openapi import openapi_document


def json_text(document: Callable[[], Any]) -> Callable[[], str]:
    """Return a function that returns the document as it stands in its file."""
    return lambda: json.dumps(document(), indent=2, ensure_ascii=False) + "\n"


FILES: Final[Mapping[str, Callable[[], str]]] = {
    **{f"docs/contracts/{name}": json_text(schema) for name, schema in contract_pages.SCHEMAS.items()},
    "docs/contracts/asyncapi.json": json_text(asyncapi_document),
    "docs/contracts/openapi.json": json_text(openapi_document),
    "docs/contracts/tables.json": json_text(data_dictionary.tables),
    "docs/data-dictionary.md": data_dictionary.page,
    "docs/reference/cli.md": cli_page.page,
    "docs/metrics.md": metrics_page.page,
    "docs/reference/topics.md": topics_page.page,
    "docs/reference/messages.md": contract_pages.messages_page,
    "docs/reference/http-api.md": contract_pages.http_page,
    "docs/settings.md": settings_page.page,
    "docs/capacity.md": capacity_page.page,
}
