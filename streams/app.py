"""The Faust application, put together."""

import asyncio
import os
import socket
import time
import uuid
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, Final, cast

import torch
from faust.types import TP

from model.checkpoint import Checkpoint
from model.core.encode import OwnFields
from model.explain import Explainer
from model.formats.records import decoder_of
from model.items.moments import Triggers
from model.sequence import source_code
from model.shop import Shop
from model.states import StateCodec
from service.health import Health
from service.http import OperationalPages
from service.kafka_settings import Topics
from streams.agents import score_events
from streams.catalogue import CatalogueReader
from streams.changelog import next_record
from streams.consent import Consent
from streams.fetch import Fetch
from streams.following import Following
from streams.forgetting import ForgetFollower
from streams.growth import AskedEverywhere
from streams.identity import Identity
from streams.lanes import Acknowledge, Lanes
from streams.level import LevelWatch
from streams.lookups.intake import EventIntake, ForgetIntake
from streams.lookups.item_query import Recommender
from streams.lookups.item_rules import NO_FILE, RulesFile
from streams.lookups.listener import advertised_url, page_access
from streams.lookups.lookup import Lookup
from streams.lookups.recommending import ItemRecommender
from streams.lookups.suggester import Suggester
from streams.lookups.web import Pages, application_options, refuse
from streams.membership import PATIENCE_SECONDS, Membership
from streams.observe.counts import WorkerCounts
from streams.observe.device_use import device_use
from streams.observe.health import worker_health
from streams.observe.metrics import Readings, worker_metrics
from streams.observe.restore import Restore
from streams.observe.spans import NO_SPANS, Spans
from streams.pipeline import Pipeline
from streams.publisher import Publisher
from streams.recommendations import Recommendations
from streams.scoring import Inference, Scoring
from streams.security import faust_credentials
from streams.settings import RecommendationSettings, StreamSettings
from streams.sweep import Sweep
from streams.tables import TABLE_NAME, SequenceStore
from streams.transport import AddressAssignor, BatchApp, BatchConsumer, FetchSchema, KeyRouter, StoreTable

_CPU: Final = torch.device("cpu")
_BEAT_SECONDS: Final = 1.0
_DAY_MS: Final = 86_400_000
_SMALL_BYTES: Final = 1 << 16


def create_app(  # noqa: PLR0913 - what an application is put together from
    settings: StreamSettings,
    *,
    publisher: Publisher,
    inference: Inference,
    checkpoint: Checkpoint,
    device: torch.device = _CPU,
    listener: socket.socket | None = None,
    spans: Spans = NO_SPANS,
    kafka_answers: Callable[[], bool] = lambda: True,
    items: CatalogueReader | None = None,
    recommender: Recommender | None = None,
    rules: RulesFile = NO_FILE,
    level: LevelWatch | None = None,
) -> BatchApp:
    """Return the application that scores the events topic; `inference` serves the model of `checkpoint`.

    Look-ups, metrics and health are served on the socket `listener`, if there is one; `items` reads the catalogue.
    What a shopper is likeliest to want next is asked of `recommender`, or of the checkpoint if it recommends; then the
    shop's `rules` hold. `level` says by how much logits are shifted.
    """
    config = checkpoint.model.config
    codec = checkpoint.codec
    app = BatchApp(settings.topics.prefix, **_faust_settings(settings), **_web_settings(settings, listener))
    asked = AskedEverywhere(settings.client_config, settings.topics.forget, settings.partitions)
    table = _sequences_table(app, settings, codec, asked)
    app.counts = WorkerCounts()
    look_up = _look_up(table, codec, checkpoint, settings)
    if recommender is None and items is not None and checkpoint.items is not None:
        suggester = Suggester(items.catalogue, checkpoint.items, version=checkpoint.version, rules=rules)
        recommender = ItemRecommender(look_up, suggester)
    recommendations = _recommendations(settings, checkpoint, recommender)
    identity = Identity(
        settings.topics.identity,
        settings.topics.forget,
        settings.partitions,
        codec,
        app.counts,
        app.timings,
        _now_ms,
        most_claims=settings.worker.most_claims,
    )
    forget = ForgetFollower(settings.topics.forget, _now_ms, app.counts, identity)
    following = Following(settings.client_config, settings.topics.events, [identity, forget], app.end, app.followed)
    pipeline = Pipeline(
        topics=settings.topics,
        sweep=_sweep(settings, app.counts, identity, asked),
        publisher=publisher,
        scoring=Scoring(
            inference,
            codec,
            source_code(settings.source_identity),
            partitions=settings.partitions,
            clock_ahead_ms=int(settings.worker.clock_ahead_seconds * 1000),
            catalogue=items.catalogue if items is not None and checkpoint.items is not None else None,
            levels=lambda: checkpoint.levels if level is None else level.content,
            triggers=None if recommendations is None else _triggers(settings.recommendations, config.shop),
        ),
        threads=ThreadPoolExecutor(max(os.cpu_count() or 1, 2), "score"),
        small_bytes=_SMALL_BYTES if device.type == "cpu" else 0,  # a GPU scores partitions together
        model_version=checkpoint.version,
        clock_ms=_now_ms,
        counts=app.counts,
        timings=app.timings,
        spans=spans,
        decode=Consent(decoder_of(settings.worker.input_format, config.shop), settings.worker.consent),
        horizons=config.horizons,
        head_names=checkpoint.head_names,
        own_fields=OwnFields.of(config.shop) if config.shop.has_own_events else None,
        signatures=settings.signatures,
        recommendations=recommendations,
        identity=identity,
        following=following,
    )
    app.fetch_min_bytes = settings.worker.fetch_min_bytes
    app.fetch_max_wait_ms = settings.worker.fetch_max_wait_ms
    app.client_rack = settings.client_config.get("client.rack")
    app.membership = _membership(app, settings)
    _connect(app, table, pipeline, settings.topics)
    if listener is not None:
        health = _health(app, table, settings, kafka_answers)
        readings = _readings(app, table, settings.topics.events, publisher, health, device, items, level)
        registry = worker_metrics(app.counts, model=checkpoint.version, readings=readings)
        operational = OperationalPages(registry, health, page_access(settings.worker))
        parts: dict[str, Any] = {
            "items": items,
            "recommender": recommender,
            "intake": EventIntake(settings.client_config, settings.topics, pipeline.decode, settings.pseudonyms),
            "pseudonyms": settings.pseudonyms,
            "forget": ForgetIntake(settings.client_config, settings.topics.forget, settings.partitions),
        }
        _serve(app, listener, Pages(app, look_up, settings.partitions, operational, **parts))
    return app


def _sweep(settings: StreamSettings, counts: WorkerCounts, identity: Identity, asked: AskedEverywhere) -> Sweep:
    days = settings.worker.state_days
    return Sweep(
        _now_ms,
        counts,
        state_ms=None if days is None else round(days * _DAY_MS),
        forgotten_ms=settings.events_retention_ms,
        identity=identity,
        next_record=partial(next_record, settings.client_config, settings.topics.events),
        asked=asked,
    )


def _recommendations(
    settings: StreamSettings, checkpoint: Checkpoint, recommender: Recommender | None
) -> Recommendations | None:
    """Return what makes recommendations for their topic; None if they are off."""
    if not settings.recommendations.types or not isinstance(recommender, ItemRecommender):
        return None
    return Recommendations(
        recommender.suggester.for_states,
        settings.recommendations.query,
        checkpoint.version,
        checkpoint.model.config.shop.event_types,
        threads=ThreadPoolExecutor(max(os.cpu_count() or 1, 2), "recommend"),
        clock_ms=_now_ms,
        signatures=settings.signatures,
    )


def _triggers(settings: RecommendationSettings, shop: Shop) -> Triggers:
    return Triggers.of(settings.types, shop, every_ms=round(settings.every_seconds * 1000))


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


def _membership(app: BatchApp, settings: StreamSettings) -> Membership:
    patience = min(PATIENCE_SECONDS, settings.worker.stalled_seconds or PATIENCE_SECONDS)
    worker, partitions = settings.worker, settings.partitions
    return Membership(app.conf.id, worker.instance_id, app.liveness, app.end, partitions, patience_seconds=patience)


def _look_up(table: StoreTable, codec: StateCodec, checkpoint: Checkpoint, settings: StreamSettings) -> Lookup:
    return Lookup(
        lambda: store(table),
        codec,
        Explainer(checkpoint),
        model=checkpoint.version,
        topic=settings.topics.events,
        source_code=source_code(settings.source_identity),
    )


def _health(app: BatchApp, table: StoreTable, settings: StreamSettings, kafka_answers: Callable[[], bool]) -> Health:
    return worker_health(
        app.liveness,
        restored=lambda: store(table).restored,
        kafka_answers=kafka_answers,
        stopping=lambda: app.should_stop,
        stalled_seconds=settings.worker.stalled_seconds,
    )


def _readings(  # noqa: PLR0913, PLR0917 - whose parts are read
    app: BatchApp,
    table: StoreTable,
    topic: str,
    publisher: Publisher,
    health: Health,
    device: torch.device,
    items: CatalogueReader | None,
    level: LevelWatch | None,
) -> Readings:
    return Readings(
        topic=topic,
        timings=app.timings,
        liveness=app.liveness,
        restore=store(table).restore,
        lags=lambda: cast("BatchConsumer", app.consumer).lags(),
        queue=lambda: (publisher.queue_bytes, publisher.queue_messages),
        device=device_use(device).read,
        shoppers=lambda: [len(states) for states in store(table).partitions.values()],
        items=dict if items is None else items.counts,
        items_refused=dict if items is None else lambda: items.refused,
        shifts=dict if level is None else level.now,
        ready=lambda: health.ready().ok,
    )


def _web_settings(settings: StreamSettings, listener: socket.socket | None) -> dict[str, Any]:
    if listener is None:
        # Workers know each other's partitions by their URLs: one without look-ups must not pass for another.
        return {"web_enabled": False, "canonical_url": f"http://{uuid.uuid4().hex}.invalid"}
    return {
        "web_enabled": True,
        "web_port": listener.getsockname()[1],
        "canonical_url": advertised_url(settings.worker, listener),
        "web_application_options": application_options(page_access(settings.worker)),
        "Router": KeyRouter,
    }


def _serve(app: BatchApp, listener: socket.socket, pages: Pages) -> None:
    app.listener, app.refuse = listener, refuse
    pages.serve()


def _faust_settings(settings: StreamSettings) -> dict[str, Any]:
    worker = settings.worker
    return {
        "broker": [f"kafka://{server}" for server in settings.client_config["bootstrap.servers"].split(",")],
        "broker_credentials": faust_credentials(settings.client_config),
        "broker_max_poll_records": worker.max_batch_events,
        "broker_commit_interval": worker.commit_interval_seconds,
        "broker_session_timeout": worker.session_timeout_seconds,
        "broker_heartbeat_interval": worker.session_timeout_seconds / 5,
        "broker_rebalance_timeout": max(worker.session_timeout_seconds, 30.0),
        "broker_request_timeout": max(worker.session_timeout_seconds * 2, 40.0),
        "consumer_group_instance_id": worker.instance_id,
        "PartitionAssignor": AddressAssignor,
        "consumer_auto_offset_reset": "earliest",
        "stream_buffer_maxsize": 8,  # fetches, not events
        "stream_wait_empty": True,  # a rebalance waits until started fetches are dealt with
        "store": "memory://",
        "table_standby_replicas": 0,
        "topic_partitions": settings.partitions,
        "topic_allow_declare": False,  # `cartcast topics create` does
        "topic_disable_leader": True,
    }


def _sequences_table(app: BatchApp, settings: StreamSettings, codec: StateCodec, asked: AskedEverywhere) -> StoreTable:
    table = StoreTable(
        app,
        name=TABLE_NAME,
        new_store=partial(
            SequenceStore,
            client_config=settings.client_config,
            topics=settings.topics,
            codec=codec,
            source_code=source_code(settings.source_identity),
            signatures=settings.signatures,
            recommends=bool(settings.recommendations.types),
            followed=[settings.topics.identity, settings.topics.forget],  # who is forgotten may have claimed before
            asked=asked,
            restore=Restore(on_records=app.liveness.progressed),
        ),
        key_type=bytes,
        value_type=bytes,
        partitions=settings.partitions,
    )
    app.tables.add(table)
    return table


def store(table: StoreTable) -> SequenceStore:
    """Return the table's storage, which Faust makes when it is first asked for."""
    return cast("SequenceStore", table.data)


async def _close(pipeline: Pipeline) -> None:
    if pipeline.following is not None:
        await asyncio.to_thread(pipeline.following.stop)
    await pipeline.publisher.close()


def _connect(app: BatchApp, table: StoreTable, pipeline: Pipeline, topics: Topics) -> None:
    """Join the agent, the lanes and the table to the application's life."""
    crashes: set[asyncio.Task[None]] = set()

    def crash(failure: Exception) -> None:
        app.failure = app.failure or failure
        crashes.add(asyncio.get_running_loop().create_task(app.crash(failure)))

    lanes = Lanes(crash)

    async def take(fetch: Fetch, acknowledge: Acknowledge) -> None:
        await lanes.put(fetch, acknowledge, pipeline, store(table).partitions.get(fetch.partition))

    async def secure() -> Mapping[TP, int]:
        return {TP(topics.events, partition): offset for partition, offset in (await lanes.secure()).items()}

    async def reopen(*_: object, **__: object) -> None:
        lanes.reopen(pipeline, store(table).partitions.values())
        app.liveness.rebalanced(assigned=True)
        app.liveness.turned()  # the timer below begins later

    async def revoked(*_: object, **__: object) -> None:
        app.liveness.rebalanced(assigned=False)

    async def beat() -> None:
        app.liveness.turned()
        if pipeline.publisher.waits_for_kafka:
            app.liveness.progressed()

    app.timer(interval=_BEAT_SECONDS)(beat)

    app.source_topic, app.secure, app.drain = topics.events, secure, lanes.close
    app.close = partial(_close, pipeline)
    app.on_partitions_assigned.connect(reopen, weak=False)
    app.on_partitions_revoked.connect(revoked, weak=False)
    app.agent(app.topic(topics.events, schema=FetchSchema()), name="score-events")(score_events(take))
