"""The `--format` option of every command that reads event files."""

from typing import Annotated

import typer

from model.formats import FORMATS
from service.errors import UsageError


def _known(name: str) -> str:
    if name not in FORMATS:
        raise UsageError(f"--format {name}: unknown; choose one of {', '.join(FORMATS)}")
    return name


FormatName = Annotated[
    str, typer.Option("--format", callback=_known, help=f"What the files hold: {', '.join(FORMATS)}.", metavar="NAME")
]
