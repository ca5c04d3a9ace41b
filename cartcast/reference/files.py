"""Every generated file, and what writes it. A test compares each with what stands in the repository."""

import json
from collections.abc import Callable, Mapping
from typing import Any, Final

from cartcast.reference import capacity_page, cli_page, data_dictionary, metrics_page, settings_page, topics_page
from cartcast.reference.asyncapi import asyncapi_document
from cartcast.reference.event_schema import event_schema
from cartcast.reference.header_schemas import dead_letter_headers_schema, score_headers_schema
from cartcast.reference.item_schema import item_schema
from cartcast.reference.recommendation_schema import recommendation_schema
from cartcast.reference.score_schema import score_schema
from streams.lookups.openapi import openapi_document


def json_text(document: Callable[[], Any]) -> Callable[[], str]:
    """Return a function that returns the document as it stands in its file."""
    return lambda: json.dumps(document(), indent=2, ensure_ascii=False) + "\n"


FILES: Final[Mapping[str, Callable[[], str]]] = {
    "docs/contracts/event.schema.json": json_text(event_schema),
    "docs/contracts/item.schema.json": json_text(item_schema),
    "docs/contracts/score.schema.json": json_text(score_schema),
    "docs/contracts/score-headers.schema.json": json_text(score_headers_schema),
    "docs/contracts/recommendation.schema.json": json_text(recommendation_schema),
    "docs/contracts/dead-letter-headers.schema.json": json_text(dead_letter_headers_schema),
    "docs/contracts/asyncapi.json": json_text(asyncapi_document),
    "docs/contracts/openapi.json": json_text(openapi_document),
    "docs/contracts/tables.json": json_text(data_dictionary.tables),
    "docs/data-dictionary.md": data_dictionary.page,
    "docs/reference/cli.md": cli_page.page,
    "docs/metrics.md": metrics_page.page,
    "docs/reference/topics.md": topics_page.page,
    "docs/settings.md": settings_page.page,
    "docs/capacity.md": capacity_page.page,
}
