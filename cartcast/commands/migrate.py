"""`cartcast migrate`."""

import typer


def migrate(context: typer.Context) -> None:
    """Not written yet."""
    raise typer.Exit(2)
