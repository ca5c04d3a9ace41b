"""`cartcast sink`: the process that writes scores to ClickHouse."""

import json
from typing import Annotated, Final

import typer

from cartcast.commands.shared.options import (
    BootstrapServers,
    ClickHouseUrl,
    JsonLine,
    TopicPrefix,
    given,
    settings_of,
)
from service.stopping import stop_event

ENDING_SECONDS: Final = 30.0
"""How long SIGTERM may take: ten seconds to store what was read, fifteen for a commit that Kafka does not answer."""
TOO_LATE: Final = (
    f"the sink was not done {ENDING_SECONDS:g} seconds after it was told to stop: ended without it; no row is lost or "
    "doubled, what was not committed is stored by the next sink; look whether Kafka answers (`cartcast doctor`)"
)


def sink(
    context: typer.Context,
    url: ClickHouseUrl = None,
    database: Annotated[str | None, typer.Option(help="Database of the table.")] = None,
    bootstrap_servers: BootstrapServers = None,
    topic_prefix: TopicPrefix = None,
    block_rows: Annotated[int | None, typer.Option(min=1, help="Most rows of one insert.")] = None,
    block_seconds: Annotated[
        float | None, typer.Option(min=0.001, help="Longest time a row waits for its block to fill.")
    ] = None,
    instance_id: Annotated[
        str | None, typer.Option(help="Kafka group.instance.id, its own for each sink: no rebalance at a restart.")
    ] = None,
    as_json: JsonLine = False,
) -> None:
    """Write scores and dead letters to ClickHouse until SIGTERM or Ctrl-C; several sinks share the work.

    With the setting recommendations.events, recommendations as well.

    Beside them it samples how far the consumer groups are behind. With CARTCAST_SINK__METRICS_PORT it serves /metrics,
    /livez and /readyz.

    Example: cartcast sink --url http://127.0.0.1:8123 --block-rows 50000
    """
    from service.kafka import require_access
    from service.logging import configure_logging
    from sinks.run import Connections, run_sink

    settings = settings_of(
        context,
        clickhouse=given(url=url, database=database),
        kafka=given(bootstrap_servers=bootstrap_servers, topic_prefix=topic_prefix),
        sink=given(block_rows=block_rows, block_seconds=block_seconds, instance_id=instance_id),
    )
    configure_logging(settings.log)
    client_config = settings.kafka.client_config()
    if settings.kafka.security_protocol != "PLAINTEXT":
        require_access(client_config)
    connections = Connections(
        client_config,
        settings.kafka.topics,
        settings.clickhouse,
        settings.kafka.signatures,
        recommends=bool(settings.recommendations.types),
    )
    with stop_event(ENDING_SECONDS, TOO_LATE) as stop:
        counts = run_sink(connections, settings.sink, stop)
    if as_json:
        print(json.dumps(counts))
