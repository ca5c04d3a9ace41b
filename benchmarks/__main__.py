"""`make bench`: Cartcast beside other stream processors, on this machine, in one run.

Starts a real Kafka (and for the whole pipeline the real ClickHouse engine) without Docker, fetches the peers once,
measures one program after the other, several times over, and prints the figures and one JSON line, which is also kept
in build/bench.json. A part that fails is one line in the report; the rest goes on. Linux only: CPU and memory are read
from /proc. `make bench ARGS=quick` does less of everything.
"""

import argparse
import os
import platform
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Final

from clickhouse_connect.driver.exceptions import ClickHouseError
from confluent_kafka import KafkaException

from benchmarks.bench import FULL, QUICK, Bench, Report, Scale
from benchmarks.peers import CORES, PEERS, Peer
from benchmarks.pipeline import LOADS, LOW_RATE, run_delay, run_pipeline, running_plant
from benchmarks.processes import PROC, Family, available_memory, cpu_name, started_here
from benchmarks.recommendations import run_recommendations
from benchmarks.report import figures, of_a_speed, write_page
from benchmarks.results import Contestant, Machine, Results, Size, Speed
from benchmarks.states import run_many_shoppers, run_states
from benchmarks.throughput import EVENTS_TOPIC, events_of, run_peer
from benchmarks.topics import PARTITIONS, Broker
from benchmarks.worker import run_workers, smallest_checkpoint
from cartcast.demo.warm_up import warm_up
from cartcast.local.maven import default_cache
from cartcast.local.signals import StopRequested, stop_signals_raise
from cartcast.local.stack import local_stack
from service.errors import CartcastError

OUT: Final = Path("build/bench.json")
CORE_HOUR_DOLLARS: Final = 0.05
"""An assumption, about what clouds ask for an hour of a virtual core; `--core-hour` changes it."""
FAILURES: Final = (CartcastError, ClickHouseError, KafkaException, OSError)
"""What may go wrong in a part without harm to the others."""
HOT_SHARE: Final = 0.5
STATES: Final = "States and restore"
MANY: Final = "Many shoppers"
RECOMMENDATIONS: Final = "Recommendations"
TOGETHER: Final = "Whole pipeline and delay"


@dataclass
class Entry:
    """A contestant, and how to run it once, given the number of the repetition."""

    contestant: Contestant
    run: Callable[[Bench, int], Speed]


@dataclass
class Run:
    """One run: what is asked for, and what has been found so far."""

    results: Results
    scale: Scale
    only: Sequence[str]
    report: Report

    def wants(self, part: str) -> bool:
        return not self.only or any(word.lower() in part.lower() for word in self.only)

    def attempt(self, part: str, work: Callable[[], None]) -> None:
        """Do one part; a failure is noted, and the run goes on."""
        if not self.wants(part):
            return
        self.report(f"{part} ...")
        try:
            work()
        except FAILURES as failure:
            self.results.failures[part] = str(failure)
            self.report(f"{part} failed: {failure}")


def main() -> None:
    given = _arguments()
    scale = QUICK if given.mode == "quick" else FULL
    run = Run(_nothing_yet(scale, given.core_hour), scale, given.only or [], _reporter())
    OUT.parent.mkdir(exist_ok=True)
    try:
        with stop_signals_raise(), tempfile.TemporaryDirectory(prefix="bench-", dir=OUT.parent) as directory:
            run.attempt(RECOMMENDATIONS, lambda: setattr(run.results, "recommendations", run_recommendations()))
            _measure_alone(run, Path(directory))
            _measure_together(run, Path(directory) / "pipeline")
    except StopRequested:
        sys.exit("make bench: stopped; nothing is left running, and nothing was written")
    except CartcastError as failure:
        sys.exit(f"make bench: {failure}")
    line = run.results.json_line()
    OUT.write_text(f"{line}\n", encoding="utf-8")
    if given.page:
        write_page(run.results)
    print(f"{figures(run.results)}\n\n{line}", flush=True)
    if run.results.own_failures:
        sys.exit("make bench: a part of Cartcast's failed, see above")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("mode", nargs="?", choices=["full", "quick"], default="full")
    parser.add_argument(
        "--only", action="append", metavar="WORD", help="parts with this word in their names; again for more"
    )
    parser.add_argument("--page", action="store_true", help="write docs/performance.md and its picture, too")
    parser.add_argument("--core-hour", type=float, default=CORE_HOUR_DOLLARS, help="US dollars for an hour of a core")
    given = parser.parse_args()
    if not (PROC / "self" / "stat").exists():
        parser.exit(1, "make bench: CPU and memory are read from /proc, which only Linux has\n")
    return given


def _reporter() -> Report:
    began = time.monotonic()

    def report(line: str) -> None:
        print(f"{time.monotonic() - began:6.0f} s  {line}", file=sys.stderr, flush=True)

    return report


def _nothing_yet(scale: Scale, core_hour_dollars: float) -> Results:
    arguments = " ".join(sys.argv[1:])
    return Results(
        date=datetime.now(UTC).strftime("%Y-%m-%d"),
        command=f'make bench ARGS="{arguments}"' if arguments else "make bench",
        version=version("cartcast"),
        machine=Machine(
            processor=cpu_name(),
            cores=CORES,
            memory_bytes=available_memory()[1],
            system=f"{platform.system()} {platform.release()}",
            python=platform.python_version(),
            load_before=round(os.getloadavg()[0], 1),
        ),
        size=Size(
            mode=scale.mode,
            events=scale.events,
            warm_up_events=scale.warm_up_events,
            shoppers=scale.shoppers,
            partitions=PARTITIONS,
            repetitions=scale.repetitions,
        ),
        core_hour_dollars=core_hour_dollars,
    )


def _measure_alone(run: Run, directory: Path) -> None:
    """Measure what needs Kafka alone: every contestant in turn, as often as wanted, then the worker's states."""
    entries = [entry for entry in _entries(run) if run.wants(entry.contestant.name)]
    run.results.contestants = [entry.contestant for entry in entries]
    if not (entries or run.wants(STATES) or run.wants(MANY)):
        return
    with _bench(run, directory) as bench:
        for number in range(1, run.scale.repetitions + 1):
            for entry in entries:
                _run_once(run, entry, bench, number)
        run.attempt(STATES, lambda: setattr(run.results, "states", run_states(bench)))
        if run.scale.many_shoppers:
            run.attempt(MANY, lambda: setattr(run.results, "many_shoppers", run_many_shoppers(bench)))


@contextmanager
def _bench(run: Run, directory: Path) -> Iterator[Bench]:
    with local_stack(directory / "stack", run.report, with_clickhouse=False, preferred_ports=False) as stack:
        warm_up({"bootstrap.servers": stack.bootstrap_servers})
        broker = Broker(stack.bootstrap_servers)
        broker.create(EVENTS_TOPIC)
        run.report(f"writing {run.scale.all_events:,} events of {run.scale.shoppers:,} shoppers")
        written = broker.fill(EVENTS_TOPIC, run.scale.shop().records())
        run.results.size.event_bytes = written / run.scale.all_events
        cache = default_cache() / "bench"
        usage = Family([started_here("kafka.Kafka")]).usage
        yield Bench(stack, broker, usage, directory, cache, run.scale, run.report)


def _run_once(run: Run, entry: Entry, bench: Bench, number: int) -> None:
    contestant = entry.contestant
    if contestant.failure:
        return
    part = f"{contestant.name}, run {number} of {run.scale.repetitions}"
    run.report(f"{part} ...")
    try:
        speed = entry.run(bench, number)
    except FAILURES as failure:
        contestant.failure = str(failure)
        run.report(f"{contestant.name} failed: {failure}")
    else:
        contestant.runs.append(speed)
        run.report(f"{part}: {of_a_speed(speed)}")


def _entries(run: Run) -> list[Entry]:
    return [*(_peer_entry(peer, run.scale) for peer in PEERS), *_cartcast_entries(run)]


def _peer_entry(peer: Peer, scale: Scale) -> Entry:
    warm_up_events, total = events_of(peer, scale)
    contestant = Contestant(name=peer.name, how=peer.how, events=total - warm_up_events)
    return Entry(contestant, lambda bench, number: run_peer(peer, number, bench))


def _cartcast_entries(run: Run) -> Iterator[Entry]:
    shop, hot = run.scale.shop(), run.scale.shop(hot_share=HOT_SHARE)

    def entry(name: str, how: str, work: Callable[[Bench, int], Speed]) -> Entry:
        return Entry(Contestant(name=name, how=how, events=run.scale.events), work)

    def shipped(bench: Bench, number: int) -> Speed:
        speed, run.results.stages_us = run_workers(f"alone-{number}", shop, bench)
        return speed

    def smallest(bench: Bench, number: int) -> Speed:
        checkpoint = str(smallest_checkpoint(bench.directory / "smallest"))
        return run_workers(f"smallest-{number}", shop, bench, 1, "--checkpoint", checkpoint)[0]

    yield entry("Cartcast", "one worker with the model that ships, on the CPU", shipped)
    yield entry("Cartcast, LSTM of one unit", "the same with the smallest model: what is left without one", smallest)
    yield entry(
        "Cartcast, two workers",
        "two processes that share the partitions",
        lambda bench, number: run_workers(f"two-{number}", shop, bench, 2)[0],
    )
    yield entry(
        "Cartcast, a hot shopper",
        "one worker; half of all events are one shopper's",
        lambda bench, number: run_workers(f"hot-{number}", hot, bench)[0],
    )


def _measure_together(run: Run, directory: Path) -> None:
    """Measure the whole pipeline, and the delay at shares of the speed that it turned out to have."""

    def work() -> None:
        with running_plant(directory, run.report) as plant:
            found = run.results.pipeline = run_pipeline(plant, run.scale)
            run.report(f"Whole pipeline: {found.events_per_second:,.0f} events/s")
            loads = {f"{share:.0%} of capacity": share * found.events_per_second for share in LOADS}
            for load, rate in {f"{LOW_RATE:,.0f} events/s": LOW_RATE, **loads}.items():
                delay = run_delay(plant, run.scale, load, rate)
                run.results.delays.append(delay)
                run.report(f"Delay at {load}: p50 {delay.p50_ms:.0f} ms, p99 {delay.p99_ms:.0f} ms")

    run.attempt(TOGETHER, work)


if __name__ == "__main__":
    main()
