"""`cartcast sink`: the process that writes scores to ClickHouse."""

import gc
import json
import signal
from threading import Event
from typing import Annotated

import typer

from cartcast.logging import configure_logging
from cartcast.settings import Settings, load_settings

GARBAGE_THRESHOLD = 200_000
"""New containers before Python looks for cycles: a block's records are many and in none, and each look costs as much
as reading their headers does."""


def sink(
    context: typer.Context,
    url: Annotated[str | None, typer.Option(help="ClickHouse, over HTTP or HTTPS.")] = None,
    database: Annotated[str | None, typer.Option(help="Database of the table.")] = None,
    bootstrap_servers: Annotated[str | None, typer.Option(help="Kafka brokers, host:port,host:port.")] = None,
    topic_prefix: Annotated[str | None, typer.Option(help="Prefix of the topics' names.")] = None,
    block_rows: Annotated[int | None, typer.Option(min=1, help="Most rows of one insert.")] = None,
    block_seconds: Annotated[
        float | None, typer.Option(min=0.001, help="Longest time a row waits for its block to fill.")
    ] = None,
    instance_id: Annotated[
        str | None, typer.Option(help="Kafka group.instance.id, its own for each sink: no rebalance at a restart.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object as the last line.")] = False,
) -> None:
    """Write the scores topic to ClickHouse until SIGTERM or Ctrl-C; several sinks share the work.

    Example: cartcast sink --url http://127.0.0.1:8123 --block-rows 50000
    """
    settings = load_settings(
        context.obj,
        clickhouse=_given(url=url, database=database),
        kafka=_given(bootstrap_servers=bootstrap_servers, topic_prefix=topic_prefix),
        sink=_given(block_rows=block_rows, block_seconds=block_seconds, instance_id=instance_id),
    )
    configure_logging(settings.log)
    stop = Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    counts = _run(settings, stop)
    if as_json:
        print(json.dumps(counts))


def _given(**flags: object) -> dict[str, object]:
    return {name: flag for name, flag in flags.items() if flag is not None}


def _run(settings: Settings, stop: Event) -> dict[str, int]:
    """Compose the sink of its parts and run it until `stop` is set; returns what it did."""
    from sinks.consumer import Sink  # noqa: PLC0415 - loads the ClickHouse client
    from sinks.dead_letters import KafkaDeadLetters  # noqa: PLC0415
    from sinks.kafka import TopicIdentity, open_consumer  # noqa: PLC0415
    from sinks.partition import BlockLimits  # noqa: PLC0415
    from sinks.table import ClickHouseTable  # noqa: PLC0415

    gc.set_threshold(GARBAGE_THRESHOLD)
    client_config, topics = settings.kafka.client_config(), settings.kafka.topics
    running = Sink(
        open_consumer(client_config, f"{topics.prefix}-sink", settings.sink),
        topics.scores,
        ClickHouseTable(settings.clickhouse),
        KafkaDeadLetters(client_config, scores_topic=topics.scores, topic=topics.dead_letters),
        topic_id=TopicIdentity(client_config, topics.scores),
        limits=BlockLimits(settings.sink.block_rows, settings.sink.block_seconds),
    )
    running.run(stop)
    return running.counts.as_dict()
