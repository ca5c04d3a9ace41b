"""`cartcast topics`: the pipeline's topics."""

import json
from typing import Annotated

import typer

from cartcast.settings import load_settings
from streams.topics import create_topics

app = typer.Typer(help="Kafka topics of the pipeline.", no_args_is_help=True)


@app.callback()
def topics() -> None:
    """Kafka topics of the pipeline."""


@app.command()
def create(
    context: typer.Context,
    partitions: Annotated[
        int | None, typer.Option(min=1, help="Partitions of every topic; the setting kafka.partitions if not given.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object as the last line.")] = False,
) -> None:
    """Create the topics for events, scores, dead letters and states that do not exist yet. Safe to repeat.

    Example: cartcast topics create --partitions 8
    """
    flags = {} if partitions is None else {"kafka": {"partitions": partitions}}
    kafka = load_settings(context.obj, **flags).kafka
    created = create_topics(
        kafka.client_config(),
        kafka.topics,
        partitions=kafka.partitions,
        replication_factor=kafka.replication_factor,
    )
    if as_json:
        print(json.dumps({"created": created, "partitions": kafka.partitions}))
        return
    for name in created:
        print(f"created {name} with {kafka.partitions} partitions")
    if not created:
        print(f"all topics of {kafka.topic_prefix} exist, with {kafka.partitions} partitions")
