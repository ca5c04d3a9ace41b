"""What a change of a contract would break for those who read the messages: a released schema beside the present one.

Readers let pass what they do not know, so a field or header may be added. What they know must stay as it was: no field
goes away, none that was always there may be missing, and none holds what the released schema does not allow. Every
keyword of JSON Schema restricts, so each that was released must still be there, and be no looser.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

Schema = Mapping[str, Any]

_ANNOTATIONS: Final = frozenset({"$schema", "$id", "title", "description", "examples", "default", "format"})
_AT_LEAST: Final = frozenset({"minimum", "exclusiveMinimum", "minLength", "minItems"})
_AT_MOST: Final = frozenset({"maximum", "exclusiveMaximum", "maxLength", "maxItems"})


def broken_promises(released: Schema, present: Schema, where: str = "the message") -> Iterator[str]:
    """Yield a sentence for each thing that readers of the released schema may meet unprepared."""
    for keyword, promise in released.items():
        if keyword in _ANNOTATIONS:
            continue
        if keyword not in present:
            yield f"{where}: `{keyword}` is gone, which was {promise}"
        else:
            yield from _JUDGES.get(keyword, _judge_equal)(keyword, promise, present[keyword], where)


def missing_columns(released: Mapping[str, Mapping[str, str]], present: Mapping[str, Any]) -> Iterator[str]:
    """Yield a sentence for each column of a released table or view that is gone or has another type.

    `released` has types by column by table, `present` is what `data_dictionary.tables` returns.
    """
    for table, columns in released.items():
        if table not in present:
            yield f"{table} is gone"
            continue
        for column, kind in columns.items():
            found = present[table]["columns"].get(column, {}).get("type")
            if found != kind:
                yield f"{table}: column {column} was {kind}, and is {found or 'gone'}"


def _judge_fields(keyword: str, promise: Schema, now: Schema, where: str) -> Iterator[str]:
    for name, schema in promise.items():
        if name not in now:
            yield f"{where}: {name} is gone from `{keyword}`"
        else:
            yield from broken_promises(schema, now[name], f"{where}.{name}")


def _judge_items(_: str, promise: Schema, now: Schema, where: str) -> Iterator[str]:
    yield from broken_promises(promise, now, f"{where}[]")


def _judge_required(_: str, promise: list[str], now: list[str], where: str) -> Iterator[str]:
    for name in promise:
        if name not in now:
            yield f"{where}: {name} may be missing now"


def _judge_dependent(keyword: str, promise: Mapping[str, list[str]], now: Schema, where: str) -> Iterator[str]:
    for name, needed in promise.items():
        yield from _judge_required(keyword, needed, now.get(name, []), f"{where} with {name}")


def _judge_type(_: str, promise: str | list[str], now: str | list[str], where: str) -> Iterator[str]:
    allowed = set(_listed(promise)) | ({"integer"} if "number" in _listed(promise) else set())
    for kind in _listed(now):
        if kind not in allowed:
            yield f"{where}: may be {kind} now, was {' or '.join(_listed(promise))}"


def _judge_enum(_: str, promise: list[Any], now: list[Any], where: str) -> Iterator[str]:
    for value in now:
        if value not in promise:
            yield f"{where}: may be {value!r} now, which was not among the values"


def _judge_least(keyword: str, promise: float, now: float, where: str) -> Iterator[str]:
    if now < promise:
        yield f"{where}: `{keyword}` is {now} now, was {promise}"


def _judge_most(keyword: str, promise: float, now: float, where: str) -> Iterator[str]:
    if now > promise:
        yield f"{where}: `{keyword}` is {now} now, was {promise}"


def _judge_equal(keyword: str, promise: Any, now: Any, where: str) -> Iterator[str]:
    if now != promise:
        yield f"{where}: `{keyword}` is {now} now, was {promise}"


def _listed(kinds: str | list[str]) -> list[str]:
    return [kinds] if isinstance(kinds, str) else kinds


_JUDGES: Final[Mapping[str, Callable[[str, Any, Any, str], Iterator[str]]]] = {
    "properties": _judge_fields,
    "patternProperties": _judge_fields,
    "items": _judge_items,
    "required": _judge_required,
    "dependentRequired": _judge_dependent,
    "type": _judge_type,
    "enum": _judge_enum,
    **dict.fromkeys(_AT_LEAST, _judge_least),
    **dict.fromkeys(_AT_MOST, _judge_most),
}
