"""JSON Schemas as tables of Markdown: a row for each field, those of objects within under dotted names."""

from collections.abc import Iterator, Mapping
from typing import Any, Final, TypeAlias

Schema: TypeAlias = Mapping[str, Any]

_LIMITS: Final = {
    "minimum": "at least {}",
    "exclusiveMinimum": "above {}",
    "maximum": "at most {}",
    "exclusiveMaximum": "below {}",
    "minLength": "at least {} long",
    "maxLength": "at most {} long",
    "minItems": "at least {} of them",
    "maxItems": "at most {} of them",
    "format": "{}",
}
_HEAD: Final = "| field | type | |\n| --- | --- | --- |\n"


def table(schema: Schema) -> str:
    """Return the table of an object's fields, or in a line what else it is."""
    rows = [f"| {name} | {kind} | {says} |\n" for name, kind, says in _rows(schema, "")]
    return _HEAD + "".join(rows) if rows else f"{type_of(schema)}. {cell(schema.get('description', ''))}\n"


def inlined(schema: Schema) -> Schema:
    """Return a schema with its own definitions (`$defs`) in place of what refers to them."""
    definitions = schema.get("$defs", {})

    def filled(part: Any) -> Any:  # noqa: ANN401 - any JSON
        if isinstance(part, Mapping):
            meant = definitions.get(str(part.get("$ref", "")).removeprefix("#/$defs/"), {})
            return {name: filled(value) for name, value in {**meant, **part}.items() if not (meant and name == "$ref")}
        return [filled(each) for each in part] if isinstance(part, list) else part

    return {name: filled(part) for name, part in schema.items() if name != "$defs"}


def type_of(schema: Schema) -> str:
    """Return what values a schema admits, in words; schemas of components are links to their headings."""
    if "$ref" in schema:
        name = str(schema["$ref"]).rsplit("/", 1)[-1]
        return f"[{name}](#{name.lower()})"
    for alternatives in ("anyOf", "oneOf"):
        if alternatives in schema:
            return " or ".join(dict.fromkeys(type_of(each) for each in schema[alternatives]))
    if "const" in schema or "enum" in schema:
        return ", ".join(f"`{value}`" for value in schema.get("enum", [schema.get("const")]))
    kinds = schema.get("type", "any value")
    return " or ".join(_named(str(kind), schema) for kind in ([kinds] if isinstance(kinds, str) else kinds))


def cell(text: str) -> str:
    """Return a text as it may stand in a cell of a table."""
    return " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;")


def _named(kind: str, schema: Schema) -> str:
    if kind == "array" and "items" in schema:
        return f"array of {type_of(schema['items'])}"
    if kind == "object" and isinstance(schema.get("additionalProperties"), Mapping):
        return f"object of {type_of(schema['additionalProperties'])}"
    return kind


def _rows(schema: Schema, within: str) -> Iterator[tuple[str, str, str]]:
    required = schema.get("required", ())
    for name, field in schema.get("properties", {}).items():
        path = f"{within}{name}"
        limits = [words.format(field[limit]) for limit, words in _LIMITS.items() if limit in field]
        says = [str(field.get("description", "")), ", ".join(limits), "" if name in required else "optional"]
        yield f"`{path}`", cell(type_of(field)), cell("; ".join(filter(None, says)))
        yield from _rows(field, f"{path}.")
        yield from _rows(field.get("items", {}), f"{path}[].")
