"""`cartcast topics`: the pipeline's topics."""

import json
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from cartcast.commands.shared.app import App
from cartcast.commands.shared.options import BootstrapServers, JsonLine, TopicPrefix, given, settings_of

if TYPE_CHECKING:
    from service.kafka_settings import KafkaSettings

app = App(help="Kafka topics of the pipeline.", no_args_is_help=True)


@app.callback()
def topics() -> None:
    """Kafka topics of the pipeline."""


@app.command()
def create(
    context: typer.Context,
    partitions: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=100_000,
            help="Partitions of every topic but that of items, also of those that have fewer; else kafka.partitions.",
        ),
    ] = None,
    replication_factor: Annotated[
        int | None, typer.Option(min=1, help="Copies of every partition; the setting kafka.replication_factor.")
    ] = None,
    min_insync_replicas: Annotated[
        int | None, typer.Option(min=1, help="Copies that must have a record; the setting kafka.min_insync_replicas.")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask before partitions are added.")] = False,
    as_json: JsonLine = False,
) -> None:
    """Create the topics that do not exist yet, of events, scores, recommendations, states and others. Safe to repeat.

    All or none: every problem is reported before any topic is made. Existing topics are left as they are; where they
    differ from the settings, the difference is printed. With --partitions, those that have fewer get more, all of them:
    shoppers whose partition is another one then begin anew, which is said first, and asked on a terminal.

    Example: cartcast topics create --partitions 48 --replication-factor 3
    """
    from streams.topic_configs import TopicRetention, differing_topics, partitions_of
    from streams.topics import create_topics, grow_topics

    flags = given(partitions=partitions, replication_factor=replication_factor, min_insync_replicas=min_insync_replicas)
    kafka = settings_of(context, kafka=flags).kafka
    client_config, topics, replicas = kafka.client_config(), kafka.topics, kafka.replication_factor
    retention = TopicRetention(kafka.least_insync_replicas, kafka.retention_hours)
    grown: dict[str, int] = {}
    if partitions is not None and _wants_growth(kafka, yes=yes):
        grown = grow_topics(client_config, topics, partitions)
    created = create_topics(
        client_config, topics, partitions=kafka.partitions, replication_factor=replicas, retention=retention
    )
    differing = differing_topics(client_config, topics, replication_factor=replicas, retention=retention, new=created)
    if as_json:
        found = [asdict(each) for each in differing]
        print(json.dumps({"created": created, "grown": grown, "partitions": kafka.partitions, "differing": found}))
        return
    for name, before in grown.items():
        print(f"grew {name} from {before} to {kafka.partitions} partitions")
    for name in created:
        count = partitions_of(topics, kafka.partitions)[name]
        print(f"created {name} with {count} partition{'s' if count > 1 else ''}, {replicas} of each")
    for each in differing:
        print(each.as_line())
    if grown:
        print("start every worker again")
    if not created:
        print(f"all topics of {kafka.topic_prefix} exist, with {kafka.partitions} partitions")


@app.command(name="list")
def list_(
    context: typer.Context,
    bootstrap_servers: BootstrapServers = None,
    topic_prefix: TopicPrefix = None,
    as_json: JsonLine = False,
) -> None:
    """List the pipeline's topics: partitions, copies, and how many records each has now.

    Example: cartcast topics list
    """
    from streams.topics import listed_topics

    kafka = settings_of(context, kafka=given(bootstrap_servers=bootstrap_servers, topic_prefix=topic_prefix)).kafka
    found = listed_topics(kafka.client_config(), kafka.topics)
    if as_json:
        print(json.dumps({"topics": [asdict(each) for each in found]}))
        return
    wide = max(len(each.name) for each in found)
    print(f"{'topic':<{wide}}  {'partitions':>10}  {'copies':>6}  {'records':>13}")
    for each in found:
        if not each.partitions:
            print(f"{each.name:<{wide}}  does not exist: run `cartcast topics create`")
            continue
        print(f"{each.name:<{wide}}  {each.partitions:>10}  {each.copies:>6}  {each.records:>13,}")


def _wants_growth(kafka: "KafkaSettings", *, yes: bool) -> bool:
    """Whether topics are to grow: warns of what that means, and asks whoever sits at a terminal."""
    from streams.topics import smaller_topics, staying_share

    smaller = smaller_topics(kafka.client_config(), kafka.topics, kafka.partitions)
    if not smaller:
        return False
    least = min(smaller.values())
    moving = 100 * (1 - staying_share(least, kafka.partitions))
    print(
        f"cartcast: the topics of {kafka.topic_prefix} grow from {least} to {kafka.partitions} partitions: about "
        f"{moving:.0f} % of the shoppers move to another partition and begin anew there, as if never seen. "
        "Workers end within a minute and have to be started again.",
        file=sys.stderr,
    )
    if not yes and sys.stdin.isatty():
        typer.confirm("Add the partitions?", abort=True, err=True)
    return True
