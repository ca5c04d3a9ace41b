"""`cartcast doctor`."""

import typer


def doctor(context: typer.Context) -> None:
    """Not written yet."""
    raise typer.Exit(2)
