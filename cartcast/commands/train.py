"""`cartcast train`."""

import typer


def train(context: typer.Context) -> None:
    """Not written yet."""
    raise typer.Exit(2)
