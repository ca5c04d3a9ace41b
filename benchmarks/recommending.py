"""What recommending on the topic costs a worker: events a second with a recommendation at every tenth, and without.

The clock stops when every score and every recommendation is on its topic. Runs without and with them take turns, and
medians count; the CPU of worker and broker says what a machine that does other things besides would not show.
`.venv/bin/python -m benchmarks.recommending --events 150000 --items 5000,50000 --rounds 3`
"""

import argparse
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Final

import numpy as np
import torch

from benchmarks.bench import Bench, Scale
from benchmarks.events import CATEGORIES, Shop
from benchmarks.processes import Family, started_here
from benchmarks.recommendations import neighbours_of
from benchmarks.results import Speed
from benchmarks.sampling import Watch, speed_of
from benchmarks.topics import Broker
from benchmarks.worker import running_workers, topics_of
from cartcast.local.stack import local_stack
from model.checkpoint import DEFAULT_CHECKPOINT, load_checkpoint, save_checkpoint
from model.items.columns import columns_of
from model.items.item import Item
from model.items.network import GOALS, NextItemConfig, NextItemNetwork
from model.items.ranker import ItemModel
from model.items.transitions import KINDS

TRIGGERS: Final = ("cart", "checkout")
"""A tenth of the events."""
SHOPPERS: Final = 20_000
WARM_UP_EVENTS: Final = 40_000


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--events", type=int, default=150_000)
    options.add_argument("--items", default="5000,50000", help="sizes of catalogues, by commas")
    options.add_argument("--rounds", type=int, default=1, help="how often each is measured")
    given = options.parse_args()
    scale = Scale("quick", given.events, WARM_UP_EVENTS, SHOPPERS, 1, 0.0, 0, 0)
    with (
        tempfile.TemporaryDirectory() as folder,
        local_stack(Path(folder) / "stack", _report, with_clickhouse=False, preferred_ports=False) as stack,
    ):
        usage = Family([started_here("kafka.Kafka")]).usage
        bench = Bench(stack, Broker(stack.bootstrap_servers), usage, Path(folder), Path(folder), scale, _report)
        for items in map(int, given.items.split(",")):
            checkpoint = checkpoint_of(Path(folder) / f"checkpoint-{items}", items)
            runs = [
                [_speed(bench, items, checkpoint, events, number) for events in ("", ",".join(TRIGGERS))]
                for number in range(given.rounds)
            ]
            print(f"{items:,} items: {_compared(*zip(*runs, strict=True))}")


def _compared(without: Sequence[Speed], with_them: Sequence[Speed]) -> str:
    """Return medians in a line."""
    speeds = [median(run.events_per_second for run in runs) for runs in (without, with_them)]
    cpu_us = [median(run.program_us + run.broker_us for run in runs) for runs in (without, with_them)]
    return (
        f"{speeds[0]:,.0f} events/s without, {speeds[1]:,.0f} with: {speeds[1] / speeds[0]:.0%}; "
        f"{cpu_us[0]:.1f} and {cpu_us[1]:.1f} us of CPU an event, worker and broker: {cpu_us[0] / cpu_us[1]:.0%}"
    )


def _speed(bench: Bench, items: int, checkpoint: Path, events: str, number: int) -> Speed:
    """Measure a worker that recommends at these types of event, by commas; `number` tells runs apart."""
    shop = Shop(bench.scale.all_events, bench.scale.shoppers, items=items)
    with topics_of(f"recommending-{items}-{bool(events):d}-{number}", bench) as topics:
        records = list(shop.records())
        bench.broker.fill(topics.events, records)
        wanted = sum(b'"type":"%s"' % kind.encode() in value for _, value in records for kind in events.split(","))
        settings = {"CARTCAST_RECOMMENDATIONS__EVENTS": events}
        with running_workers(topics, bench, 1, "--checkpoint", str(checkpoint), environment=settings) as workers:

            def results() -> int:
                """Count events whose results are out, those without a recommendation as far as the others are."""
                scores = bench.broker.count(topics.scores)
                if not wanted:
                    return scores
                return min(scores, bench.broker.count(topics.recommendations) * shop.events // wanted)

            watch = Watch(results, workers.usage, bench.broker_usage, workers.check, workers.started_seconds)
            watch.until(shop.events)
        return speed_of(watch.samples, bench.scale.warm_up_events, shop.events)


def checkpoint_of(directory: Path, items: int) -> Path:
    """Write the model that ships with a model of items that knows all of them, each with all its neighbours."""
    random, config = np.random.default_rng(1), NextItemConfig()
    torch.manual_seed(1)
    known = [
        Item(f"item-{number:06d}", title=f"thing {number}", category=f"category-{number % CATEGORIES:03d}", price=9.5)
        for number in range(items)
    ]
    model = ItemModel(
        network=NextItemNetwork(config, items).eval(),
        neighbours={kind: neighbours_of(items, config.neighbours, random) for kind in KINDS},
        columns=columns_of(known),
        item_ids=tuple(item.item_id for item in known),
        counts=random.integers(0, 100, (1 + len(GOALS), items)),
        exposures=np.ones(items + 1),
    )
    shipped = load_checkpoint(DEFAULT_CHECKPOINT)
    save_checkpoint(directory, shipped.model, calibration=shipped.calibration, metrics={}, training={}, items=model)
    return directory


def _report(line: str) -> None:
    sys.stderr.write(f"{line}\n")


if __name__ == "__main__":
    main()
