"""`cartcast up`."""

import typer


def up(context: typer.Context) -> None:
    """Not written yet."""
    raise typer.Exit(2)
