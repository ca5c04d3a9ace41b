"""Running one worker: from a checkpoint and settings to a process that scores until it is told to stop."""

import gc
import io
import logging
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import faust
import structlog
import torch

from model.checkpoint import Checkpoint
from model.core.compiled import is_machine_code_kept
from model.inference import InferenceWorker, Scorer
from model.items.catalogue import Catalogue, no_vectors
from service.errors import CartcastError
from service.probe import Probe
from streams.app import create_app
from streams.catalogue import CatalogueReader
from streams.level import LevelWatch
from streams.lookups.item_rules import RulesFile
from streams.lookups.listener import open_listener
from streams.observe.partitions import PartitionWatch
from streams.observe.spans import open_spans
from streams.observe.watchdog import Watchdog
from streams.publisher import Publisher
from streams.scoring import Inference
from streams.settings import StreamSettings
from streams.topics import check_unchanged
from streams.transport import BatchApp
from streams.warm_up import compile_core

_SWITCH_INTERVAL_SECONDS: Final = 0.0005
"""How long a thread may keep the interpreter from others that wait; a score passes through four threads."""

_log: Final = structlog.get_logger()


def run_worker(settings: StreamSettings, checkpoint: Checkpoint, device: torch.device) -> None:
    """Score the events topic until SIGTERM or SIGINT, then drain and commit.

    Raises CartcastError if the stream failed for a reason that a user can act on; other failures keep their traceback.
    """
    torch.set_num_threads(1)  # a worker is one process a core
    sys.setswitchinterval(_SWITCH_INTERVAL_SECONDS)
    listener, rules = open_listener(settings.worker), RulesFile(settings.worker.item_rules)
    if not is_machine_code_kept():
        _log.info("compiling what scores events for this processor; takes about a minute, once")
    compile_core()
    with _inference(checkpoint, device, 4 * settings.worker.max_batch_events) as inference:
        _run(settings, checkpoint, device, inference, listener, rules)


@contextmanager
def _inference(checkpoint: Checkpoint, device: torch.device, max_events: int) -> Iterator[Inference]:
    """Run the model in the threads of the partitions, or in one that owns a GPU."""
    scorer = Scorer(checkpoint, device)
    if device.type == "cpu":
        yield scorer
        return
    worker = InferenceWorker(scorer, max_events=max_events)
    worker.start()
    yield worker
    worker.stop()


def _run(  # noqa: PLR0913, PLR0917 - what a worker is made of
    settings: StreamSettings,
    checkpoint: Checkpoint,
    device: torch.device,
    inference: Inference,
    listener: socket.socket | None,
    rules: RulesFile,
) -> None:
    spans = open_spans(settings.trace)
    publisher = Publisher(settings.client_config)
    probe = Probe(lambda: publisher.ask(settings.topics.scores))
    level = LevelWatch(settings.worker.checkpoint, checkpoint, lambda: time.time_ns() // 1_000_000)
    items = CatalogueReader(settings.client_config, settings.topics.items, _catalogue(checkpoint))
    app = create_app(
        settings,
        publisher=publisher,
        inference=inference,
        checkpoint=checkpoint,
        device=device,
        listener=listener,
        spans=spans,
        kafka_answers=lambda: probe.answers,
        items=items,
        rules=rules,
        level=level,
    )
    _log.info(
        "starting",
        model=checkpoint.version,
        device=str(device),
        state_bytes=checkpoint.codec.dtype.itemsize,
        events_topic=settings.topics.events,
        look_ups=None if listener is None else str(app.conf.canonical_url),
    )
    watchdog = Watchdog(
        app.liveness,
        app.followed,
        stalled_seconds=settings.worker.stalled_seconds,
        drain_seconds=settings.worker.drain_seconds,
        kafka_answers=lambda: probe.answers,
        kafka_answered_since=probe.answered_since,
        stopping=lambda: app.should_stop,
    )
    partitions = PartitionWatch(
        lambda: check_unchanged(settings.client_config, settings.topics, settings.partitions),
        app.end,
    )
    probe.start()
    watchdog.start()
    partitions.start()
    items.start()
    rules.start()
    level.start()
    _freeze_garbage_collector()
    try:
        _run_until_stopped(app)
    finally:
        rules.stop()
        level.stop()
        items.stop()
        partitions.stop()
        probe.stop()
        spans.close()
        watchdog.stop()
        _log.info("stopped", **app.counts.as_dict())


def _catalogue(checkpoint: Checkpoint) -> Catalogue:
    """Return a catalogue that begins with the items that the model has learnt from, if it has any, in its order."""
    if (model := checkpoint.items) is None:
        return Catalogue(0, no_vectors, 0)
    catalogue = Catalogue(model.config.dimension, model.embed, model.config.vector_size)
    catalogue.add_described(model.columns, model.item_ids)
    return catalogue


def _freeze_garbage_collector() -> None:
    """Exclude what is loaded, and stays, from garbage collection: one pass over all of it halts scoring for 0.1 s."""
    gc.collect()
    gc.freeze()


def _run_until_stopped(app: BatchApp) -> None:
    """Run Faust's worker, which handles the signals; turn its exit into a return or an exception."""
    logging.getLogger("mode").addFilter(_is_a_bug)
    output = io.StringIO()
    try:
        faust.Worker(
            app, override_logging=False, redirect_stdouts=False, quiet=True, stdout=output, stderr=output
        ).execute_from_commandline()
    except SystemExit as end:
        failure = app.failure or app.crash_reason
        if isinstance(failure, CartcastError):
            raise failure from None
        if end.code:
            sys.stderr.write(output.getvalue())
            raise


def _is_a_bug(record: logging.LogRecord) -> bool:
    """Whether a log record reports a bug; failures that a user can act on are reported once, in one line."""
    return not (record.exc_info and isinstance(record.exc_info[1], CartcastError))
