"""Every setting as its class declares it: name, variable, meaning, what is allowed, default."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from pydantic import BaseModel, SecretStr

PREFIX: Final = "CARTCAST_"
_UNITS: Final = {
    "seconds": "seconds",
    "ms": "milliseconds",
    "hours": "hours",
    "days": "days",
    "bytes": "bytes",
    "rows": "rows",
    "events": "events",
}
_FORMATS: Final = {
    "path": "a path",
    "password": "a secret",
    "date-time": "a time such as 2026-01-31T00:00:00Z",
}


@dataclass(frozen=True)
class SettingField:
    """One setting; `name` is its path in the tree, such as `kafka.partitions`."""

    name: str
    description: str
    allowed: str
    default: object
    is_secret: bool

    @property
    def variable(self) -> str:
        """The name of its environment variable."""
        return variable_of(*self.name.split("."))

    @property
    def unit(self) -> str:
        """The unit that its name ends with; empty if it has none."""
        return _UNITS.get(self.name.rpartition("_")[2], "")


def variable_of(*path: str) -> str:
    """Return the environment variable of a path in the tree."""
    return PREFIX + "__".join(path).upper()


def setting_fields(tree: type[BaseModel]) -> Iterator[SettingField]:
    """Yield every setting of a tree whose branches are classes of settings."""
    for branch, holder in branches(tree).items():
        properties = holder.model_json_schema()["properties"]
        for name, field in holder.model_fields.items():
            default = field.get_default(call_default_factory=True)
            yield SettingField(
                f"{branch}.{name}",
                field.description or "",
                _described(properties[name]),
                default,
                is_secret=isinstance(default, SecretStr),
            )


def branches(tree: type[BaseModel]) -> dict[str, type[BaseModel]]:
    """Return the classes of a tree's branches by name."""
    return {
        name: field.annotation
        for name, field in tree.model_fields.items()
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel)
    }


def _described(schema: dict[str, Any]) -> str:
    """Return which values a JSON schema allows."""
    choices = [each for each in schema.get("anyOf", [schema]) if each.get("type") != "null"]
    return " or ".join(_one_kind(each) for each in choices)


def _one_kind(schema: dict[str, Any]) -> str:
    if "enum" in schema:
        return "one of " + ", ".join(map(str, schema["enum"]))
    kind = schema.get("type")
    if kind == "boolean":
        return "true or false"
    if kind in ("integer", "number"):
        return ("a whole number" if kind == "integer" else "a number") + _range(schema)
    if "pattern" in schema:
        return f"text that matches {schema['pattern']}"
    if (known := _FORMATS.get(schema.get("format", ""))) is not None:
        return known
    return "text, not empty" if schema.get("minLength") else "text"


def _range(schema: dict[str, Any]) -> str:
    if "minimum" in schema and "maximum" in schema:
        return f" from {schema['minimum']} to {schema['maximum']}"
    least = f"at least {schema['minimum']}" if "minimum" in schema else ""
    above = f"above {schema['exclusiveMinimum']}" if "exclusiveMinimum" in schema else ""
    most = f"at most {schema['maximum']}" if "maximum" in schema else ""
    bounds = [bound for bound in (least, above, most) if bound]
    return " " + " and ".join(bounds) if bounds else ""
