"""Running one sink: from settings to a process that stores what workers publish until it is told to stop."""

import gc
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from threading import Event
from typing import Any, Final

import structlog

from service.clickhouse_settings import ClickHouseSettings
from service.errors import RefusedError, UnavailableError
from service.hosts import names_in
from service.http import Access, Endpoint, OperationalPages, serving
from service.kafka import TopicIdentity
from service.kafka_settings import Topics
from service.liveness import Liveness
from service.probe import Probe
from service.signatures import NO_SIGNATURES, Signatures
from sinks.blocks import Origin
from sinks.consumer import Beside, Sink, nothing_beside
from sinks.dead_letters import KafkaDeadLetters
from sinks.erasing import RowEraser
from sinks.forgetting import NOBODY, Forgetting, forgotten_at
from sinks.judge import ResultJudge, ScoreJudge
from sinks.kafka import SourceEnd, first_and_end_offset, open_consumer
from sinks.letters import LIMITS, DeadLettersTable, Unstorable, judge_letter, letter_records
from sinks.letters import TABLE as LETTERS_TABLE
from sinks.observe.background import Background, Run
from sinks.observe.health import AskClickHouse, AskKafka, sink_health
from sinks.observe.lag import LagSampler
from sinks.observe.lag_table import LagRecorder
from sinks.observe.metrics import sink_metrics
from sinks.observe.samples import Sampler
from sinks.observe.watchdog import Watchdog
from sinks.partition import BlockLimits
from sinks.recommendations import RecommendationJudge
from sinks.settings import SinkSettings
from sinks.table import RECOMMENDATIONS_TABLE, TABLE, ClickHouseTable

SCORES: Final = "scores"
LETTERS: Final = "dead letters"
RECOMMENDATIONS: Final = "recommendations"
FORGETTING: Final = "forgetting"
"""What the parts are called in the log and in metrics."""

_GARBAGE_THRESHOLD: Final = 200_000
"""New containers before Python looks for cycles: a block's records are many and in none, and each look costs as much
as reading their headers does."""

_log: Final = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Connections:
    """What a sink is connected to."""

    client_config: Mapping[str, Any]
    topics: Topics
    clickhouse: ClickHouseSettings
    signatures: Signatures = NO_SIGNATURES
    recommends: bool = False
    """Whether workers are set to recommend on the topic."""
    forgets: bool = True
    """Whether there is a topic that says who is to be forgotten."""

    @property
    def groups(self) -> dict[str, str]:
        """Consumer groups by the topic that they read; Faust names the workers' after its application."""
        prefix = self.topics.prefix
        recommendations = {self.topics.recommendations: f"{prefix}-sink-recommendations"} if self.recommends else {}
        return {
            self.topics.events: prefix,
            self.topics.scores: f"{prefix}-sink",
            self.topics.dead_letters: f"{prefix}-sink-dead-letters",
            **recommendations,
        }

    @property
    def forgetting(self) -> Forgetting:
        """What deletes the rows of shoppers who are to be forgotten."""
        results = (self.topics.scores, self.topics.recommendations)
        groups = {topic: group for topic, group in self.groups.items() if topic in results}
        group = f"{self.topics.prefix}-sink-forget"
        return Forgetting(self.client_config, self.topics.forget, group, groups, RowEraser(self.clickhouse))


def run_sink(connections: Connections, settings: SinkSettings, stop: Event) -> dict[str, int]:
    """Store until `stop` is set; return how many scores were stored, skipped as repeats, and dead letters.

    Raises CartcastError if waiting will not help.
    """
    gc.set_threshold(_GARBAGE_THRESHOLD)
    connections = _with_what_is_there(connections)
    beside = {LETTERS: _letters_sink(connections, settings)}
    if connections.recommends:
        beside[RECOMMENDATIONS] = _recommendations_sink(connections, settings)
    probes, lag, samples = _probes(connections, settings), _lag(connections, settings), _samples(connections, settings)
    background: dict[str, Run] = {f"{name} probe": probe.run for name, probe in probes.items()}
    background |= {name: part.run for name, part in beside.items()}
    forgetting = connections.forgetting
    if connections.forgets:
        background[FORGETTING] = partial(forgetting.run, settings)
    if lag is not None:
        background["consumer lag"] = lag.run
    if samples is not None:
        background["samples"] = samples.run
    turns = {name: part.liveness for name, part in beside.items()}
    background["watchdog"] = Watchdog(turns, _asks(connections).values(), settings.stalled_seconds).run
    scores = _scores_sink(connections, settings, Background(background))
    parts = {SCORES: scores, **beside}
    turns |= {SCORES: scores.liveness, **({FORGETTING: forgetting.liveness} if connections.forgets else {})}
    pages = OperationalPages(
        sink_metrics(parts, lambda: () if lag is None else lag.latest, samples, lambda: forgetting.pending),
        sink_health(parts, probes, stalled_seconds=settings.stalled_seconds),
        Access(settings.metrics_token.get_secret_value(), names_in(settings.metrics_names)),
    )
    with serving(pages, endpoint(settings)):
        scores.run(stop)
    return scores.counts.as_dict()


def endpoint(settings: SinkSettings) -> Endpoint:
    """Return where the pages are served."""
    return Endpoint(
        settings.metrics_bind,
        settings.metrics_port,
        settings.metrics_token.get_secret_value(),
        bind_setting="sink.metrics_bind",
        port_setting="sink.metrics_port",
        token_setting="sink.metrics_token",  # noqa: S106 - the name of the setting
    )


def _with_what_is_there(connections: Connections) -> Connections:
    """Leave recommendations out, with a warning, if their topic is missing: scores are stored without."""
    if connections.recommends and (missing := _missing(connections, connections.topics.recommendations)):
        _log.warning("recommendations are not stored", reason=missing)
        connections = replace(connections, recommends=False)
    if missing := _missing(connections, connections.topics.forget):
        if not _missing(connections, connections.topics.scores):  # else the sink ends, and says why itself
            _log.warning("nobody is forgotten", reason=missing)
        connections = replace(connections, forgets=False)
    return connections


def _missing(connections: Connections, topic: str) -> str:
    """Return why a topic cannot be read; empty if it is there, or Kafka is away."""
    try:
        TopicIdentity(connections.client_config, topic)()
    except RefusedError as missing:
        return str(missing)
    except UnavailableError:
        pass  # the part waits for Kafka itself
    return ""


def _scores_sink(connections: Connections, settings: SinkSettings, background: Background) -> Sink:
    topic, table = connections.topics.scores, ClickHouseTable(connections.clickhouse)
    return _results_sink(connections, settings, topic, table, ScoreJudge, beside=background)


def _recommendations_sink(connections: Connections, settings: SinkSettings) -> Sink:
    table = ClickHouseTable(connections.clickhouse, RECOMMENDATIONS_TABLE)
    return _results_sink(connections, settings, connections.topics.recommendations, table, RecommendationJudge)


def _results_sink(  # noqa: PLR0913 - what a sink of results is made of
    connections: Connections,
    settings: SinkSettings,
    topic: str,
    table: ClickHouseTable,
    judge_of: type[ResultJudge],
    *,
    beside: Beside = nothing_beside,
) -> Sink:
    client_config, events = connections.client_config, connections.topics.events
    liveness = Liveness()
    consumer = open_consumer(client_config, connections.groups[topic], settings, liveness)

    def origin(partition: int) -> Origin:
        judge, end = judge_of(events, partition, connections.signatures), SourceEnd(consumer, events, partition)
        forgotten = NOBODY
        if connections.forgets:
            _, until = first_and_end_offset(consumer, topic, partition)
            forgotten = forgotten_at(client_config, connections.topics.forget, partition, until)
        return Origin((events, partition), judge, end, forgotten)

    return Sink(
        consumer,
        topic,
        table,
        KafkaDeadLetters(client_config, source_topic=topic, topic=connections.topics.dead_letters),
        liveness=liveness,
        topic_id=TopicIdentity(client_config, topic),
        origin=origin,
        limits=BlockLimits(settings.block_rows, settings.block_seconds),
        beside=beside,
    )


def _letters_sink(connections: Connections, settings: SinkSettings) -> Sink:
    client_config, topic, liveness = connections.client_config, connections.topics.dead_letters, Liveness()
    return Sink(
        open_consumer(client_config, connections.groups[topic], settings, liveness),
        topic,
        DeadLettersTable(connections.clickhouse),
        Unstorable(),
        liveness=liveness,
        topic_id=TopicIdentity(client_config, topic),
        origin=lambda partition: Origin((topic, partition), judge_letter, lambda offset: offset + 1),
        limits=LIMITS,
        read=letter_records,
    )


def _lag(connections: Connections, settings: SinkSettings) -> LagRecorder | None:
    """Return what samples consumer lag; None if the settings turn it off."""
    if not settings.lag_seconds:
        return None
    topics_by_group = {group: topic for topic, group in connections.groups.items()}
    sampler = LagSampler(connections.client_config, topics_by_group)
    return LagRecorder(sampler, connections.clickhouse, seconds=settings.lag_seconds)


def _samples(connections: Connections, settings: SinkSettings) -> Sampler | None:
    """Return what asks ClickHouse for what only metrics show; None if nobody sees them, or the settings turn it off."""
    if not (settings.metrics_port and settings.sample_seconds):
        return None
    return Sampler(connections.clickhouse, seconds=settings.sample_seconds)


def _probes(connections: Connections, settings: SinkSettings) -> dict[str, Probe]:
    """Return what the health pages know of the servers; nothing if they are not served."""
    if not settings.metrics_port:
        return {}
    return {name: Probe(ask) for name, ask in _asks(connections).items()}


def _asks(connections: Connections) -> dict[str, Callable[[], None]]:
    """Return questions that each server answers in seconds, if it answers."""
    tables = (TABLE, LETTERS_TABLE, *([RECOMMENDATIONS_TABLE] if connections.recommends else []))
    return {
        "kafka": AskKafka(connections.client_config),
        "clickhouse": AskClickHouse(connections.clickhouse, tables),
    }
