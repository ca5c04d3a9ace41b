"""`cartcast replay`."""

import typer


def replay(context: typer.Context) -> None:
    """Not written yet."""
    raise typer.Exit(2)
