"""`cartcast worker`."""

import typer


def worker(context: typer.Context) -> None:
    """Not written yet."""
    raise typer.Exit(2)
