"""The schemas of docs/contracts, ready to validate with."""

import json
from functools import cache
from pathlib import Path
from typing import Any

from confluent_kafka import Message
from jsonschema import Draft202012Validator

CONTRACTS = Path(__file__).parents[2] / "docs" / "contracts"


@cache
def validator(name: str) -> Draft202012Validator:
    """Return the validator of `docs/contracts/{name}.schema.json`, which must be a schema."""
    schema = json.loads((CONTRACTS / f"{name}.schema.json").read_bytes())
    Draft202012Validator.check_schema(schema)
    return Draft202012Validator(schema)


def headers_of(headers: list[tuple[str, Any]]) -> dict[str, str]:
    """Return headers as their schema has them; fail if one is there twice."""
    assert len({name for name, _ in headers}) == len(headers)
    return {name: value.decode() for name, value in headers}


def check_scores_on_the_topic(messages: list[Message]) -> None:
    """Fail if a score is not as its contract says; one of twenty is looked at."""
    assert messages
    for message in messages[::20]:
        validator("score").validate(json.loads(message.value()))
        validator("score-headers").validate(headers_of(message.headers()))
