"""`cartcast simulate`."""

import typer


def simulate(context: typer.Context) -> None:
    """Not written yet."""
    raise typer.Exit(2)
