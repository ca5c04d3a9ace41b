"""`cartcast sink`."""

import typer


def sink(context: typer.Context) -> None:
    """Not written yet."""
    raise typer.Exit(2)
