"""Keys that stand twice in one object of a JSON line: every reader takes the last, the first is lost."""

import json
import re
from typing import Any, Final

import orjson

_KEY: Final = re.compile(rb'(?<!\\)"\s*:')


def repeated_key(line: bytes) -> str | None:
    """Return a key that stands twice in one object of a line; None if there is none, and of what is no JSON.

    Lines are compared with what is left of them when they have been read; few are looked at key by key.
    """
    if not line.lstrip().startswith(b"{"):
        return None
    try:
        read = orjson.dumps(orjson.loads(line))
    except (orjson.JSONDecodeError, orjson.JSONEncodeError):
        return None
    if len(_KEY.findall(line)) == len(_KEY.findall(read)):
        return None
    found: list[str] = []
    try:
        json.loads(line, object_pairs_hook=lambda pairs: _dict(pairs, found))
    except (ValueError, RecursionError):
        return None
    return found[0] if found else None


def _dict(pairs: list[tuple[str, Any]], found: list[str]) -> dict[str, Any]:
    """Return an object; a key that it names twice is added to `found`."""
    read = dict(pairs)
    if len(read) < len(pairs):
        keys = [key for key, _ in pairs]
        found.append(next(key for key in keys if keys.count(key) > 1))
    return read
