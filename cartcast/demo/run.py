"""The demo itself: start everything, let the shoppers in, watch until all is stored, then check every event."""

import shutil
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

from cartcast.demo.comparison import Comparison
from cartcast.demo.delays import DelaySummary
from cartcast.demo.live import LiveReader
from cartcast.demo.next_items import ask_next_items, no_next_items
from cartcast.demo.pace import Pace
from cartcast.demo.pipeline import DemoPipeline, running_pipeline
from cartcast.demo.rows import StoredRows
from cartcast.demo.screen import Screen
from cartcast.demo.shop import DemoShop
from cartcast.demo.shoppers import Shoppers
from cartcast.demo.verify import verify
from cartcast.demo.view import Snapshot
from cartcast.demo.watch import Watch
from cartcast.local.signals import StopRequested, acknowledge_stop, stop_signals_raise
from cartcast.local.stack import Report
from model.events import Event
from model.simulator import Simulation
from service.errors import CartcastError
from service.kafka_settings import KafkaSettings
from streams.item_topic import ItemProducer

PREPARED_EVENTS: Final = 500_000
"""Up to so many events are simulated before the clock starts, so that it does not measure the simulator."""
LOOK_SECONDS: Final = 0.4
CLOSE_LOOK_SECONDS: Final = 0.05


@dataclass(frozen=True)
class DemoOptions:
    """What the user asked for."""

    events: int | None
    """None: until Ctrl-C"""
    users: int
    pace: Pace
    workers: int
    dashboard: bool
    """serve the pages that analysts open"""
    reads_along: bool
    """follow the topics while they fill, and ask for items, for the live view; costs a little of the speed"""


@dataclass(frozen=True)
class DemoResult:
    """How it ended."""

    last: Snapshot
    seconds: float
    """from the first event produced to the last row stored"""
    comparison: Comparison | None = None
    """None: it was stopped before all was stored"""
    delay: DelaySummary | None = None


def run_demo(  # noqa: PLR0913, PLR0917 - what to do, where, with whom, and whom to tell
    options: DemoOptions,
    directory: Path | None,
    config_file: Path | None,
    simulation: Simulation,
    screen: Screen,
    report: Report,
) -> DemoResult:
    """Run it. A stop signal ends it early: with a partial result, or with StopRequested during start-up.

    Raises CartcastError.
    """
    with (
        stop_signals_raise(),
        _stack_directory(directory) as stack_directory,
        running_pipeline(
            stack_directory,
            config_file,
            options.workers,
            report,
            dashboard=options.dashboard,
            recommends=options.reads_along,
        ) as pipeline,
        ExitStack() as block,
    ):
        kafka = pipeline.settings.kafka
        producer = block.enter_context(ItemProducer(kafka.client_config(), kafka.topics.items))
        shoppers, shop = _shoppers(options, pipeline), DemoShop(simulation, producer)
        events = _prepare(options, shop, report)
        shop.open()
        pipeline.wait_until_ready()
        report(f"worker and sink are ready: letting the shoppers in, {options.pace}")
        if pipeline.dashboard_url is not None:
            report(f"open the dashboard: {pipeline.dashboard_url}")
        return _let_in(shoppers, shop.with_items(events), options, pipeline, screen)


@contextmanager
def _stack_directory(given: Path | None) -> Iterator[Path]:
    """Yield the directory that was given, or a temporary one of which only the logs stay, and these after a failure."""
    if given is not None:
        yield given
        return
    temporary = Path(tempfile.mkdtemp(prefix="cartcast-demo-"))
    try:
        yield temporary
    except CartcastError:
        shutil.rmtree(temporary / "kafka", ignore_errors=True)
        shutil.rmtree(temporary / "clickhouse", ignore_errors=True)
        raise
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    shutil.rmtree(temporary, ignore_errors=True)


def _prepare(options: DemoOptions, shop: DemoShop, report: Report) -> Iterable[Event]:
    if options.events is None or options.events > PREPARED_EVENTS:
        return shop.events()
    report(f"simulating {options.events:,} events of {options.users:,} shoppers")
    return list(shop.events())


def _shoppers(options: DemoOptions, pipeline: DemoPipeline) -> Shoppers:
    kafka = pipeline.settings.kafka
    return Shoppers(_uncompressed(kafka), kafka.topics, options.pace.schedule(), keep_ids=options.events is not None)


def _let_in(
    shoppers: Shoppers, events: Iterable[Event], options: DemoOptions, pipeline: DemoPipeline, screen: Screen
) -> DemoResult:
    kafka = pipeline.settings.kafka
    with ExitStack() as block:
        rows = block.enter_context(StoredRows(pipeline.settings.clickhouse))
        live = block.enter_context(_reader(pipeline)) if options.reads_along else None
        watch = block.enter_context(
            Watch(
                kafka.client_config(),
                kafka.topics,
                rows.count,
                shoppers,
                live,
                total_events=options.events,
                where=_where(pipeline),
            )
        )
        block.enter_context(screen)
        complete = _follow(watch, shoppers, events, pipeline, screen)
        seconds = watch.seconds
        watch.look()
        if not complete:
            return DemoResult(_finish(screen, watch, "stopped"), seconds)
        _finish(screen, watch, "checking every event, score and row")
        comparison, delay = verify(kafka.client_config(), kafka.topics, shoppers.event_ids, rows.event_ids())
        found = "nothing lost, nothing doubled" if comparison.is_exact else "NOT EXACT: see the summary"
        return DemoResult(_finish(screen, watch, found), seconds, comparison, delay)


def _reader(pipeline: DemoPipeline) -> LiveReader:
    kafka, token = pipeline.settings.kafka, pipeline.settings.worker.web_token.get_secret_value()
    url = pipeline.look_ups()
    ask = no_next_items if url is None else partial(ask_next_items, url, token)
    return LiveReader(kafka.client_config(), kafka.topics, ask)


def _finish(screen: Screen, watch: Watch, note: str) -> Snapshot:
    last = watch.snapshot(note)
    screen.finish(last)
    return last


def _uncompressed(kafka: KafkaSettings) -> dict[str, Any]:
    """Compression saves a network that a demo on one machine does not have."""
    return {**kafka.client_config(), "compression.type": "none"}


def _follow(watch: Watch, shoppers: Shoppers, events: Iterable[Event], pipeline: DemoPipeline, screen: Screen) -> bool:
    """Look until all rows are stored or nothing has moved for a minute; False if a stop signal came first."""
    try:
        shoppers.start(events)
        while not (watch.is_complete or watch.is_stalled):
            pipeline.check()
            screen.show(watch.snapshot())
            if watch.is_nearly_complete:
                time.sleep(CLOSE_LOOK_SECONDS)
                watch.look_at_rows()
            else:
                time.sleep(LOOK_SECONDS)
                watch.look()
    except StopRequested:
        acknowledge_stop()
        shoppers.stop()
        return False
    return True


def _where(pipeline: DemoPipeline) -> str:
    servers = f"Kafka {pipeline.stack.bootstrap_servers} · ClickHouse {pipeline.stack.clickhouse_url}"
    pages = pipeline.dashboard_url
    return servers if pages is None else f"dashboard {pages} · {servers}"
