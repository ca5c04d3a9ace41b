"""`cartcast demo`."""

import typer


def demo(context: typer.Context) -> None:
    """Not written yet."""
    raise typer.Exit(2)
