"""What is wrong with a setting, in one line: its name, what is allowed, and where the value came from."""

import difflib
import re
from collections.abc import Collection, Mapping
from typing import Any, Final

from pydantic import BaseModel, ValidationError

from cartcast.settings.fields import SettingField, branches, setting_fields
from cartcast.settings.sources import Layer, origin_of

SHOWN_LENGTH: Final = 80
_USER_INFO: Final = re.compile(r"(?<=://)[^/\s@]*@")
_QUERY: Final = re.compile(r"(?<=://)(\S+?\?)\S+")
_DEFAULT: Final = "default"


def first_wrong_setting(failure: ValidationError, tree: type[BaseModel], layers: Collection[Layer]) -> str:
    """Return the line for the first error; it holds no secret."""
    first = failure.errors()[0]
    place = tuple(str(part) for part in first["loc"])
    fields = {field.name: field for field in setting_fields(tree)}
    if first["type"] == "extra_forbidden":
        return _unknown(place, tree, layers)
    if first["type"] == "model_type":
        return f"setting {place[0]}: holds settings of its own, not a value{_from(origin_of(layers, place))}"
    if first["type"] == "value_error":
        return _senseless(place, first, fields, layers)
    name = ".".join(place[:2])
    field = fields.get(name)
    must = f"must be {field.allowed}" if field else str(first["msg"]).lower()
    shown = None if field is None or field.is_secret or not _can_be_shown(first["input"]) else masked(first["input"])
    return f"setting {name}: {must}{_from(origin_of(layers, place[:2]), shown)}"


def masked(value: object) -> object:
    """Hide user, password and query inside an address."""
    return _QUERY.sub(r"\1***", _USER_INFO.sub("***@", value)) if isinstance(value, str) else value


def _can_be_shown(value: object) -> bool:
    return isinstance(value, str | int | float) and len(str(value)) <= SHOWN_LENGTH


def _from(origin: str | None, shown: object = None) -> str:
    given = "" if shown is None else f"given: {shown!r}, "
    return f" ({given}from {origin or _DEFAULT})"


def _unknown(place: tuple[str, ...], tree: type[BaseModel], layers: Collection[Layer]) -> str:
    name, holder = ".".join(place), tree
    if len(place) > 1:
        holder = branches(tree)[place[0]]
    known = list(holder.model_fields)
    close = difflib.get_close_matches(place[-1], known, n=1)
    if close:
        hint = f"did you mean {'.'.join((*place[:-1], close[0]))}?"
    else:
        hint = f"{place[0] + ' has' if len(place) > 1 else 'there are'} {', '.join(known)}"
    return f"setting {name}: there is no such setting{_from(origin_of(layers, place))}; {hint}"


def _senseless(
    place: tuple[str, ...], error: Mapping[str, Any], fields: Mapping[str, SettingField], layers: Collection[Layer]
) -> str:
    """Return the message of a rule about several settings, with the sources of those that it names."""
    message = str(error["ctx"]["error"])
    names = {".".join(place)} if len(place) > 1 else {f"{place[0]}.{word}" for word in re.findall(r"\w+", message)}
    origins = [origin_of(layers, tuple(name.split("."))) for name in fields if name in names]
    sources = list(dict.fromkeys(origin for origin in origins if origin))
    return f"setting {'.'.join(place)}: {message}{_from(', '.join(sources) or None)}"
