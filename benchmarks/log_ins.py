"""What log-ins cost a worker, and how soon it joins the states: a tenth of the events are log-ins.

The first figure is events a second over a preloaded topic until the last state is merged, beside the same events that
name no anonymous id; the second is how long after a log-in the states were merged, at a rate.
`.venv/bin/python -m benchmarks.log_ins --events 200000 --rate 2000 --seconds 20`
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from prometheus_client.parser import text_string_to_metric_families

from benchmarks.bench import Bench, Scale
from benchmarks.events import MS_AN_EVENT, START_MS, Record
from benchmarks.processes import Family, started_here
from benchmarks.producer import paced
from benchmarks.sampling import wait_for
from benchmarks.topics import Broker
from benchmarks.worker import Workers, running_workers, topics_of
from cartcast.local.stack import local_stack
from streams.observe.metrics import CLAIMS_REFUSED, COUNTERS, MERGE_DELAY

EVENTS_A_PERSON: Final = 10
"""The last one is the log-in."""
AT_ONCE: Final = 3000
"""People who are there at the same time."""
WARM_UP_SHARE: Final = 0.2
SETTINGS: Final = {"CARTCAST_WORKER__COMMIT_INTERVAL_SECONDS": "3"}
"""As by default."""
QUANTILES: Final = (0.5, 0.9, 0.99)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--events", type=int, default=200_000)
    options.add_argument("--rate", type=float, default=2000.0)
    options.add_argument("--seconds", type=float, default=20.0)
    given = options.parse_args()
    scale = Scale("quick", given.events, 0, AT_ONCE, 1, given.seconds, 0, 0)
    with (
        tempfile.TemporaryDirectory() as folder,
        local_stack(Path(folder) / "stack", _report, with_clickhouse=False, preferred_ports=False) as stack,
    ):
        usage = Family([started_here("kafka.Kafka")]).usage
        bench = Bench(stack, Broker(stack.bootstrap_servers), usage, Path(folder), Path(folder), scale, _report)
        without, with_them = (_speed(bench, log_in=log_in) for log_in in (False, True))
        print(f"{without:,.0f} events/s without log-ins, {with_them:,.0f} with them: {with_them / without:.0%}")
        delays = ", ".join(f"p{share * 100:g} {ms:.0f}" for share, ms in _delays(bench, given.rate).items())
        print(f"log-in to merge at {given.rate:,.0f} events/s: {delays} ms")


def people(events: int, *, log_in: bool) -> Iterator[Record]:
    """Yield events of people who look at things and then log in, or do the same under two ids if not `log_in`.

    They have come one after the other: of any few events, a tenth are log-ins.
    """
    for number in range(events):
        turn, place = divmod(number, AT_ONCE)
        visits, step = divmod(turn + place, EVENTS_A_PERSON)
        name, knows = f"{visits * AT_ONCE + place:08d}", step == EVENTS_A_PERSON - 1
        user = f"user-{name}" if knows else f"device-{name}"
        claim = f',"anonymous_id":"device-{name}"' if knows and log_in else ""
        kind = "identify" if claim else "view"
        yield (
            user.encode(),
            (
                f'{{"event_id":"{number:011d}","user_id":"{user}","type":"{kind}",'
                f'"ts":{START_MS + number * MS_AN_EVENT},"item_id":"item-{number % 5000:06d}",'
                f'"category":"category-{number % 200:03d}","price":9.5{claim}}}'
            ).encode(),
        )


def _speed(bench: Bench, *, log_in: bool) -> float:
    """Return events a second until all are scored and merged."""
    total = bench.scale.events
    with topics_of(f"storm-{log_in:d}", bench) as topics:
        bench.broker.fill(topics.events, people(total, log_in=log_in))
        with running_workers(topics, bench, environment=SETTINGS) as workers:
            wait_for(1, lambda: bench.broker.count(topics.scores), workers.check)
            began = time.monotonic()
            wait_for(total, lambda: bench.broker.count(topics.scores), workers.check)
            wait_for(_log_ins(total) if log_in else 0, lambda: _settled(workers), workers.check)
            return total / (time.monotonic() - began)


def _delays(bench: Bench, rate: float) -> dict[float, float]:
    """Return milliseconds from a log-in to its merge by quantile, of those after the first moments."""
    total = int(rate * bench.scale.delay_seconds)
    with topics_of("log-ins", bench) as topics, running_workers(topics, bench, environment=SETTINGS) as workers:
        workers.wait_until_ready()
        before = dict[float, float]()

        def records() -> Iterator[Record]:
            for number, record in enumerate(people(total, log_in=True)):
                if number == int(total * WARM_UP_SHARE):
                    before.update(_buckets(workers))
                yield record

        bench.broker.fill(topics.events, paced(records(), rate))  # one producer: a new one has to connect first
        wait_for(_log_ins(total), lambda: _settled(workers), workers.check)
        after = _buckets(workers)
    found = [(bound, count - before.get(bound, 0.0)) for bound, count in sorted(after.items())]
    return {share: _quantile(found, share) * 1000 for share in QUANTILES}


def _log_ins(events: int) -> int:
    return sum(b'"identify"' in value for _, value in people(events, log_in=True))


def _settled(workers: Workers) -> int:
    """Count the log-ins that were merged, or came to nothing."""
    metrics = workers.metrics()
    return int(sum(metrics.get((f"{each.name}_total", ""), 0.0) for each in (COUNTERS["merges"], CLAIMS_REFUSED)))


def _buckets(workers: Workers) -> dict[float, float]:
    """Return how many merges came at most so many seconds after their log-in."""
    families = text_string_to_metric_families(workers.each[0].page("metrics"))
    return {
        float(sample.labels["le"]): sample.value
        for family in families
        for sample in family.samples
        if sample.name == f"{MERGE_DELAY.name}_bucket"
    }


def _quantile(buckets: list[tuple[float, float]], share: float) -> float:
    """Return a quantile of a histogram as Prometheus does: within its bucket, all values are equally likely."""
    wanted, low, below = share * buckets[-1][1], 0.0, 0.0
    for bound, count in buckets:
        if count >= wanted:
            return low if bound == float("inf") else low + (bound - low) * (wanted - below) / max(count - below, 1.0)
        low, below = bound, count
    return low


def _report(line: str) -> None:
    sys.stderr.write(f"{line}\n")


if __name__ == "__main__":
    main()
