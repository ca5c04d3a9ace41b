"""The Faust application, put together."""

import asyncio
import ssl
import time
from collections.abc import Mapping
from functools import partial
from typing import Any, cast

import faust
from faust.types import TP

from model.checkpoint import Checkpoint
from model.events import score_type
from model.heads import HeadNames
from model.input_formats import decoder_of
from model.sequence import source_code
from model.states import StateCodec
from model.worker import InferenceWorker
from streams.agents import score_events
from streams.counts import Counts
from streams.fetch import Fetch
from streams.joint_scoring import JointScoring
from streams.lanes import Acknowledge, Lanes
from streams.pipeline import Pipeline
from streams.publisher import Publisher
from streams.settings import StreamSettings, Topics
from streams.tables import TABLE_NAME, SequenceStore
from streams.transport import BatchApp, FetchSchema, StoreTable


def create_app(
    settings: StreamSettings,
    *,
    publisher: Publisher,
    inference: InferenceWorker,
    checkpoint: Checkpoint,
) -> BatchApp:
    """Return the application that scores the events topic; `inference` serves the model of `checkpoint`."""
    config = checkpoint.model.config
    head_names = HeadNames(config.heads, checkpoint.category_names)
    codec = StateCodec(config.carried_floats, checkpoint.code)
    app = BatchApp(settings.topics.prefix, **_faust_settings(settings))
    table = _sequences_table(app, settings)
    app.counts = Counts()
    pipeline = Pipeline(
        topics=settings.topics,
        publisher=publisher,
        scoring=JointScoring(inference, codec, source_code(settings.source_identity), app.counts),
        model_version=checkpoint.version,
        clock_ms=lambda: time.time_ns() // 1_000_000,
        counts=app.counts,
        decode=decoder_of(settings.worker.input_format),
        make_score=score_type(config.horizons, head_names.fields),
        head_names=head_names,
    )
    app.fetch_min_bytes = settings.worker.fetch_min_bytes
    app.fetch_max_wait_ms = settings.worker.fetch_max_wait_ms
    _connect(app, table, pipeline, settings.topics)
    return app


def _faust_settings(settings: StreamSettings) -> dict[str, Any]:
    worker = settings.worker
    return {
        "broker": [f"kafka://{server}" for server in settings.client_config["bootstrap.servers"].split(",")],
        "broker_credentials": _credentials(settings.client_config),
        "broker_max_poll_records": worker.max_batch_events,
        "broker_commit_interval": worker.commit_interval_seconds,
        "broker_session_timeout": worker.session_timeout_seconds,
        "broker_heartbeat_interval": worker.session_timeout_seconds / 5,
        "broker_rebalance_timeout": max(worker.session_timeout_seconds, 30.0),
        "broker_request_timeout": max(worker.session_timeout_seconds * 2, 40.0),
        "consumer_group_instance_id": worker.instance_id,
        "consumer_auto_offset_reset": "earliest",
        "stream_buffer_maxsize": 8,  # fetches, not events
        "stream_wait_empty": True,  # a rebalance waits until started fetches are dealt with
        "store": "memory://",
        "table_standby_replicas": 0,
        "topic_partitions": settings.partitions,
        "topic_allow_declare": False,  # `cartcast topics create` does
        "topic_disable_leader": True,
        "web_enabled": False,
    }


def _sequences_table(app: BatchApp, settings: StreamSettings) -> StoreTable:
    table = StoreTable(
        app,
        name=TABLE_NAME,
        new_store=partial(SequenceStore, client_config=settings.client_config, topics=settings.topics),
        key_type=bytes,
        value_type=bytes,
        partitions=settings.partitions,
    )
    app.tables.add(table)
    return table


def store(table: StoreTable) -> SequenceStore:
    """Return the table's storage, which Faust makes when it is first asked for."""
    return cast("SequenceStore", table.data)


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
        lanes.reopen()

    app.source_topic, app.secure, app.drain = topics.events, secure, lanes.close
    app.on_partitions_assigned.connect(reopen, weak=False)
    app.agent(app.topic(topics.events, schema=FetchSchema()), name="score-events")(score_events(take))


def _credentials(client_config: Mapping[str, Any]) -> faust.SASLCredentials | faust.SSLCredentials | None:
    """Translate librdkafka's security properties into Faust's."""
    protocol = client_config.get("security.protocol", "PLAINTEXT")
    context = (
        ssl.create_default_context(cafile=client_config.get("ssl.ca.location")) if protocol.endswith("SSL") else None
    )
    if protocol == "SSL":
        return faust.SSLCredentials(context=context)
    if protocol.startswith("SASL"):
        return faust.SASLCredentials(
            username=client_config["sasl.username"],
            password=client_config["sasl.password"],
            mechanism=client_config["sasl.mechanism"],
            ssl_context=context,
        )
    return None
