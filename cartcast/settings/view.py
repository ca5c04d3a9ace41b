"""The effective settings as a person and a machine read them: each value with its source, no secret."""

from dataclasses import dataclass
from typing import Any, Final

from pydantic import SecretStr

from cartcast.settings import Loaded, Settings
from cartcast.settings.errors import masked
from cartcast.settings.fields import setting_fields
from cartcast.settings.sources import origin_of

MASK: Final = "********"
DEFAULT: Final = "default"


@dataclass(frozen=True)
class Shown:
    """One setting: its name, its value fit to be shown, and where the value came from."""

    name: str
    value: object
    source: str


def shown_settings(loaded: Loaded) -> list[Shown]:
    """Return every setting in the order of the tree; a secret that is set is masked, also inside an address."""
    plain = loaded.settings.model_dump(mode="json")
    return [
        Shown(field.name, _fit(loaded, field.name, plain), origin_of(loaded.layers, _place(field.name)) or DEFAULT)
        for field in setting_fields(Settings)
    ]


def as_tree(shown: list[Shown]) -> dict[str, dict[str, dict[str, object]]]:
    """Return the same as nested objects with `value` and `source`."""
    tree: dict[str, dict[str, dict[str, object]]] = {}
    for each in shown:
        branch, name = _place(each.name)
        tree.setdefault(branch, {})[name] = {"value": each.value, "source": each.source}
    return tree


def as_lines(shown: list[Shown]) -> list[str]:
    """Return one line a setting: name, value, source."""
    texts = [(each.name, _as_text(each.value), each.source) for each in shown]
    wide, wider = (max(len(text[column]) for text in texts) for column in (0, 1))
    return [f"{name:<{wide}}  {value:<{wider}}  {source}" for name, value, source in texts]


def _place(name: str) -> tuple[str, ...]:
    return tuple(name.split("."))


def _fit(loaded: Loaded, name: str, plain: dict[str, Any]) -> object:
    branch, leaf = _place(name)
    value = getattr(getattr(loaded.settings, branch), leaf)
    if isinstance(value, SecretStr):
        return MASK if value.get_secret_value() else ""
    return masked(plain[branch][leaf])


def _as_text(value: object) -> str:
    return "-" if value is None or value == "" else str(value).lower() if isinstance(value, bool) else str(value)
