"""What shoppers' states take, how long a worker needs to read them all back, and how many it can take."""

import shutil
import time
from pathlib import Path
from typing import Final

from benchmarks.bench import Bench
from benchmarks.events import Shop
from benchmarks.processes import available_memory
from benchmarks.producer import start_producer
from benchmarks.results import ManyShoppers, States
from benchmarks.worker import running_workers, topics_of, watch_of
from service.errors import LocalStackError
from streams.observe.metrics import RESTORE_SECONDS

SPARE_MEMORY_SHARE: Final = 0.1
"""A worker whose shoppers do not fit is stopped while so much of the machine's memory is left."""

DISK_BYTES_A_SHOPPER: Final = 3000
"""What the broker keeps of an event, its score and the state, with room to spare."""


def run_states(bench: Bench) -> States:
    """Score one event each of many shoppers, then start another worker that has to read all their states."""
    shoppers = bench.scale.state_shoppers
    with topics_of("states", bench) as topics:
        with running_workers(topics, bench) as workers:
            few = bench.scale.warm_up_events
            bench.broker.fill(topics.events, Shop(few, shoppers=1).records())
            watch = watch_of(workers, bench)
            watch.until(few)
            workers.wait_for_commit()
            empty = workers.usage().memory_bytes  # with one shopper, and all buffers
            bench.broker.fill(topics.events, Shop(shoppers, shoppers, in_turn=True, first=few).records())
            watch.until(few + shoppers)
            workers.wait_for_commit()
            full = workers.usage().memory_bytes
        changelog = _log_bytes(bench.directory, topics.changelog) / shoppers
        with running_workers(topics, bench) as workers:
            workers.wait_until_ready()
            ready = time.monotonic() - workers.started_seconds
            restored = workers.metrics()[RESTORE_SECONDS.name, ""]
    return States(
        shoppers=shoppers,
        memory_bytes_a_shopper=(full - empty) / shoppers,
        changelog_bytes_a_shopper=changelog,
        restore_seconds=restored,
        ready_seconds=ready,
    )


class _NoMoreError(LocalStackError):
    """The worker takes no more shoppers, or must not."""


def run_many_shoppers(bench: Bench) -> ManyShoppers:
    """Stream ever new shoppers through one worker, until all are scored or the machine's memory is nearly gone."""
    shop = Shop(bench.scale.many_shoppers, bench.scale.many_shoppers, in_turn=True)
    needed = shop.shoppers * DISK_BYTES_A_SHOPPER
    if shutil.disk_usage(bench.directory).free < needed:
        raise LocalStackError(f"{shop.shoppers:,} shoppers need {needed / 1e9:.0f} GB of disk in {bench.directory}")
    with topics_of("many", bench) as topics, running_workers(topics, bench) as workers:
        watch, ended = watch_of(workers, bench), "every shopper was scored"

        def check() -> None:
            child = workers.each[0].child
            if child.exit_status is not None:
                raise _NoMoreError(f"the worker ended: {child.last_words()}")
            left, whole = available_memory()
            if left < SPARE_MEMORY_SHARE * whole:
                raise _NoMoreError(f"stopped when {SPARE_MEMORY_SHARE:.0%} of the machine's memory was left")

        watch.check = check
        start_producer(workers.children, bench.stack.bootstrap_servers, topics.events, shop)
        try:
            watch.until(shop.events)
        except _NoMoreError as reason:
            ended = str(reason)
    scored = [sample for sample in watch.samples if sample.results] or watch.samples[-1:]
    return ManyShoppers(
        shoppers=scored[-1].results,
        memory_bytes=max(sample.program.memory_bytes for sample in watch.samples),
        events_per_second=(scored[-1].results - scored[0].results) / max(scored[-1].seconds - scored[0].seconds, 1e-9),
        ended=ended,
    )


def _log_bytes(directory: Path, topic: str) -> int:
    """Return what a topic's partitions take on the broker's disk."""
    folders = (directory / "stack" / "kafka" / "data").glob(f"{topic}-[0-9]*")
    return sum(segment.stat().st_size for folder in folders for segment in folder.glob("*.log"))
