"""`cartcast topics`."""

import typer

app = typer.Typer(help="Kafka topics of the pipeline.", no_args_is_help=True)


@app.command()
def create(context: typer.Context) -> None:
    """Not written yet."""
    raise typer.Exit(2)
