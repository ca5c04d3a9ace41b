"""`cartcast sink`: the process that writes scores to ClickHouse."""

import gc
import json
from threading import Event
from typing import TYPE_CHECKING, Annotated

import typer

from cartcast.settings import Settings, load_settings
from service.kafka import refuse_if_refused
from service.logging import configure_logging
from service.stopping import stop_event
from streams.settings import Topics

if TYPE_CHECKING:
    from sinks.consumer import Sink
    from sinks.observe.background import Companions, Run
    from sinks.observe.lag_table import LagRecorder
    from sinks.observe.samples import Sampler
    from sinks.probe import Probe

LETTERS = "dead letters"
"""What the part that stores dead letters is called in the log and in metrics."""

ENDING_SECONDS = 30.0
"""How long SIGTERM may take: ten seconds to store what was read, fifteen for a commit that Kafka does not answer."""
TOO_LATE = (
    f"the sink was not done {ENDING_SECONDS:g} seconds after it was told to stop: ended without it; no row is lost or "
    "doubled, what was not committed is stored by the next sink; look whether Kafka answers (`cartcast doctor`)"
)

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
    """Write scores and dead letters to ClickHouse until SIGTERM or Ctrl-C; several sinks share the work.

    Beside them it samples how far the consumer groups are behind. With CARTCAST_SINK__METRICS_PORT it serves /metrics,
    /livez and /readyz.

    Example: cartcast sink --url http://127.0.0.1:8123 --block-rows 50000
    """
    settings = load_settings(
        context.obj,
        clickhouse=_given(url=url, database=database),
        kafka=_given(bootstrap_servers=bootstrap_servers, topic_prefix=topic_prefix),
        sink=_given(block_rows=block_rows, block_seconds=block_seconds, instance_id=instance_id),
    )
    configure_logging(settings.log)
    if settings.kafka.security_protocol != "PLAINTEXT":
        refuse_if_refused(settings.kafka.client_config())
    with stop_event(ENDING_SECONDS, TOO_LATE) as stop:
        counts = _run(settings, stop)
    if as_json:
        print(json.dumps(counts))


def _given(**flags: object) -> dict[str, object]:
    return {name: flag for name, flag in flags.items() if flag is not None}


def _run(settings: Settings, stop: Event) -> dict[str, int]:
    """Compose the sink of its parts and run it until `stop` is set; returns what it did."""
    from sinks.observe.background import Companions  # noqa: PLC0415 - loads the ClickHouse client
    from sinks.observe.health import Health  # noqa: PLC0415
    from sinks.observe.metrics import sink_metrics  # noqa: PLC0415
    from sinks.pages import Pages, serving  # noqa: PLC0415

    gc.set_threshold(GARBAGE_THRESHOLD)
    letters, lag, samples, probes = _letters(settings), _lag(settings), _samples(settings), _probes(settings)
    runs: dict[str, Run] = {f"{name} probe": probe.run for name, probe in probes.items()}
    runs[LETTERS] = letters.run
    if lag is not None:
        runs["consumer lag"] = lag.run
    if samples is not None:
        runs["samples"] = samples.run
    scores = _scores(settings, Companions(runs))
    parts = {"scores": scores, LETTERS: letters}
    pages = Pages(
        sink_metrics(parts, lambda: () if lag is None else lag.latest, samples),
        Health(parts, probes, stalled_seconds=settings.sink.stalled_seconds),
        settings.sink.metrics_token.get_secret_value(),
    )
    with serving(pages, settings.sink):
        scores.run(stop)
    return scores.counts.as_dict()


def _scores(settings: Settings, beside: "Companions") -> "Sink":
    """Return the sink of scores; `beside` runs with it."""
    from sinks.consumer import Sink  # noqa: PLC0415 - loads the ClickHouse client
    from sinks.dead_letters import KafkaDeadLetters  # noqa: PLC0415
    from sinks.kafka import TopicIdentity, open_consumer  # noqa: PLC0415
    from sinks.partition import BlockLimits  # noqa: PLC0415
    from sinks.table import ClickHouseTable  # noqa: PLC0415

    client_config, topics = settings.kafka.client_config(), settings.kafka.topics
    return Sink(
        open_consumer(client_config, _groups(topics)[topics.scores], settings.sink),
        topics.scores,
        ClickHouseTable(settings.clickhouse),
        KafkaDeadLetters(client_config, scores_topic=topics.scores, topic=topics.dead_letters),
        topic_id=TopicIdentity(client_config, topics.scores),
        limits=BlockLimits(settings.sink.block_rows, settings.sink.block_seconds),
        beside=beside,
    )


def _groups(topics: Topics) -> dict[str, str]:
    """Consumer groups by the topic that they read; Faust names the workers' after its application."""
    return {
        topics.events: topics.prefix,
        topics.scores: f"{topics.prefix}-sink",
        topics.dead_letters: f"{topics.prefix}-sink-dead-letters",
    }


def _lag(settings: Settings) -> "LagRecorder | None":
    """Return what samples consumer lag; None if the settings turn it off."""
    from sinks.observe.lag import LagSampler  # noqa: PLC0415 - loads the ClickHouse client
    from sinks.observe.lag_table import LagRecorder  # noqa: PLC0415

    if not settings.sink.lag_seconds:
        return None
    topics_by_group = {group: topic for topic, group in _groups(settings.kafka.topics).items()}
    sampler = LagSampler(settings.kafka.client_config(), topics_by_group)
    return LagRecorder(sampler, settings.clickhouse, seconds=settings.sink.lag_seconds)


def _samples(settings: Settings) -> "Sampler | None":
    """Return what asks ClickHouse for what only metrics show; None if nobody sees them, or the settings turn it off."""
    from sinks.observe.samples import Sampler  # noqa: PLC0415 - loads the ClickHouse client

    if not (settings.sink.metrics_port and settings.sink.sample_seconds):
        return None
    return Sampler(settings.clickhouse, seconds=settings.sink.sample_seconds)


def _probes(settings: Settings) -> "dict[str, Probe]":
    """Return what /livez and /readyz know of the outside; nothing if they are not served."""
    from sinks.letters import TABLE as LETTERS_TABLE  # noqa: PLC0415 - loads the ClickHouse client
    from sinks.probe import AskClickHouse, AskKafka, Probe  # noqa: PLC0415
    from sinks.table import TABLE  # noqa: PLC0415

    if not settings.sink.metrics_port:
        return {}
    return {
        "kafka": Probe(AskKafka(settings.kafka.client_config())),
        "clickhouse": Probe(AskClickHouse(settings.clickhouse, (TABLE, LETTERS_TABLE))),
    }


def _letters(settings: Settings) -> "Sink":
    """Return a sink of dead letters."""
    from sinks.consumer import Sink  # noqa: PLC0415 - loads the ClickHouse client
    from sinks.kafka import TopicIdentity, open_consumer  # noqa: PLC0415
    from sinks.letters import LIMITS, DeadLettersTable, Unstorable, letters_of  # noqa: PLC0415

    client_config, topics = settings.kafka.client_config(), settings.kafka.topics
    return Sink(
        open_consumer(client_config, _groups(topics)[topics.dead_letters], settings.sink),
        topics.dead_letters,
        DeadLettersTable(settings.clickhouse),
        Unstorable(),
        topic_id=TopicIdentity(client_config, topics.dead_letters),
        limits=LIMITS,
        read=letters_of,
    )
