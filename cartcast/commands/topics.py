"""`cartcast topics`: the pipeline's topics."""

import json
from dataclasses import asdict
from typing import Annotated

import typer

from cartcast.commands.shared.app import App
from cartcast.commands.shared.options import JsonLine, given, settings_of

app = App(help="Kafka topics of the pipeline.", no_args_is_help=True)


@app.callback()
def topics() -> None:
    """Kafka topics of the pipeline."""


@app.command()
def create(
    context: typer.Context,
    partitions: Annotated[
        int | None, typer.Option(min=1, help="Partitions of every topic; the setting kafka.partitions if not given.")
    ] = None,
    replication_factor: Annotated[
        int | None, typer.Option(min=1, help="Copies of every partition; the setting kafka.replication_factor.")
    ] = None,
    min_insync_replicas: Annotated[
        int | None, typer.Option(min=1, help="Copies that must have a record; the setting kafka.min_insync_replicas.")
    ] = None,
    as_json: JsonLine = False,
) -> None:
    """Create the topics for events, scores, dead letters and states that do not exist yet. Safe to repeat.

    All or none: every problem is reported before any topic is made. Existing topics are left as they are; where they
    differ from the settings, the difference is printed.

    Example: cartcast topics create --partitions 48 --replication-factor 3
    """
    from streams.topic_configs import TopicRetention, differing_topics
    from streams.topics import create_topics

    flags = given(partitions=partitions, replication_factor=replication_factor, min_insync_replicas=min_insync_replicas)
    kafka = settings_of(context, kafka=flags).kafka
    client_config, topics, replicas = kafka.client_config(), kafka.topics, kafka.replication_factor
    retention = TopicRetention(kafka.least_insync_replicas, kafka.retention_hours)
    created = create_topics(
        client_config, topics, partitions=kafka.partitions, replication_factor=replicas, retention=retention
    )
    differing = differing_topics(client_config, topics, replication_factor=replicas, retention=retention, new=created)
    if as_json:
        found = [asdict(each) for each in differing]
        print(json.dumps({"created": created, "partitions": kafka.partitions, "differing": found}))
        return
    for name in created:
        print(f"created {name} with {kafka.partitions} partitions, {replicas} of each")
    for each in differing:
        print(each.as_line())
    if not created:
        print(f"all topics of {kafka.topic_prefix} exist, with {kafka.partitions} partitions")
