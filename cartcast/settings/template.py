"""A settings file in which every setting stands with its meaning and its default, commented out."""

import json
from collections.abc import Iterator
from textwrap import wrap
from typing import Any, Final

from pydantic import BaseModel

from cartcast.settings.fields import SettingField, setting_fields

_HEAD: Final = """\
# Settings of Cartcast. Each one below has its default: take the `#` from its line and from that of its section.
# Stronger than this file are files of CARTCAST_SECRETS_DIR, variables such as CARTCAST_KAFKA__BOOTSTRAP_SERVERS, and
# flags. `cartcast --config {file} config show` says what is in force, and where it comes from.
"""
_WIDTH: Final = 100


def template(tree: type[BaseModel], file: str) -> str:
    """Return the text of the file, which sets nothing."""
    return _HEAD.format(file=file) + "\n".join(_lines(tree)) + "\n"


def _lines(tree: type[BaseModel]) -> Iterator[str]:
    section = ""
    for field in setting_fields(tree):
        branch, name = field.name.split(".")
        if branch != section:
            section = branch
            yield f"\n#{branch}:"
        for line in wrap(f"{field.description}: {field.allowed}", _WIDTH):
            yield f"#  # {line}"
        yield f"#  {_setting(name, field)}"


def _setting(name: str, field: SettingField) -> str:
    if field.is_secret:
        return f"{name}_file: /run/secrets/{name}"
    return f"{name}: {_in_yaml(field.default)}"


def _in_yaml(default: Any) -> str:  # noqa: ANN401 - of any setting
    """Return a default as YAML takes it; what JSON says is YAML."""
    return json.dumps(default if isinstance(default, bool | int | float | str) or default is None else str(default))
