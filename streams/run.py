"""Running one worker: from a checkpoint and settings to a process that scores until it is told to stop."""

import io
import logging
import sys
from typing import Final

import faust
import numpy as np
import structlog
import torch

from model.append import Source
from model.batch import batch_of
from model.checkpoint import Checkpoint
from model.errors import CartcastError
from model.events import MIN_EVENT_TIME_MS, Event
from model.scoring import begin
from model.states import StateCodec
from model.worker import InferenceWorker, Scorer
from streams.app import create_app
from streams.publisher import Publisher
from streams.settings import StreamSettings
from streams.transport import BatchApp

_SWITCH_INTERVAL_SECONDS: Final = 0.0005
"""How long a thread may keep the interpreter from others that wait; a score passes through four threads."""

_log: Final = structlog.get_logger()


def run_worker(settings: StreamSettings, checkpoint: Checkpoint, device: torch.device) -> None:
    """Score the events topic until SIGTERM or SIGINT, then drain and commit.

    Raises CartcastError if the stream failed for a reason that a user can act on; other failures keep their traceback.
    """
    torch.set_num_threads(1)  # a worker is one process a core
    sys.setswitchinterval(_SWITCH_INTERVAL_SECONDS)
    carried_floats = checkpoint.model.config.carried_floats
    inference = InferenceWorker(Scorer(checkpoint, device), max_events=4 * settings.worker.max_batch_events)
    inference.start(carried_floats)
    publisher = Publisher(settings.client_config, linger_ms=settings.worker.linger_ms)
    publisher.start()
    app = create_app(settings, publisher=publisher, inference=inference, checkpoint=checkpoint)
    _warm_up(StateCodec(carried_floats, checkpoint.code))
    _log.info("starting", model=checkpoint.version, device=str(device), events_topic=settings.topics.events)
    try:
        _run_until_stopped(app)
    finally:
        publisher.stop()
        inference.stop()
        _log.info("stopped", **app.counts.as_dict())


def _warm_up(codec: StateCodec) -> None:
    """Append one event to a state that nobody keeps: what numpy loads at its first use must not delay a shopper."""
    states = codec.gather([None])
    batch = batch_of([Event(event_id="e", user_id="u", type="view", ts=MIN_EVENT_TIME_MS)] * 2)
    begin(states, np.zeros(len(batch), np.int64), batch, Source(0, np.arange(len(batch))))


def _run_until_stopped(app: BatchApp) -> None:
    """Run Faust's worker, which handles the signals; turn its exit into a return or an exception."""
    logging.getLogger("mode").addFilter(_is_a_surprise)
    said = io.StringIO()
    try:
        faust.Worker(
            app, override_logging=False, redirect_stdouts=False, quiet=True, stdout=said, stderr=said
        ).execute_from_commandline()
    except SystemExit as end:
        failure = app.failure or app.crash_reason
        if isinstance(failure, CartcastError):
            raise failure from None
        if end.code:
            sys.stderr.write(said.getvalue())
            raise


def _is_a_surprise(record: logging.LogRecord) -> bool:
    """Tell whether a log record reports a bug: failures that a user can act on are told once, in one line."""
    return not (record.exc_info and isinstance(record.exc_info[1], CartcastError))
