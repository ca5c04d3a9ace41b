"""`cartcast init`: a settings file to begin with."""

import json
from pathlib import Path
from typing import Annotated, Final

import typer

from cartcast.commands.shared.options import JsonLine
from service.errors import OutputError, UsageError

_DEFAULT: Final = Path("cartcast.yml")


def init(
    file: Annotated[Path, typer.Argument(metavar="[FILE]", help="File to write.")] = _DEFAULT,
    force: Annotated[bool, typer.Option("--force", help="Replace a file that is there.")] = False,
    as_json: JsonLine = False,
) -> None:
    """Write a settings file with every setting, what it means and its default, all commented out.

    Example: cartcast init cartcast.yml
    """
    from cartcast.settings import Settings
    from cartcast.settings.template import template

    try:
        with file.open("w" if force else "x", encoding="utf-8") as out:
            out.write(template(Settings, file.name))
    except FileExistsError:
        raise UsageError(f"{file} is there already: name another file, or replace it with --force") from None
    except OSError as failure:
        raise OutputError(f"{file} cannot be written: {(failure.strerror or '').lower()}") from None
    if as_json:
        print(json.dumps({"file": str(file)}))
        return
    print(f"wrote {file}: take the # from what you set, then `cartcast --config {file} doctor`")
