"""How long answers of `GET /v1/users/{id}/items` take at a rate, beside events at a rate: one worker on this machine.

A query is late from the moment at which it was due, whether or not the client was held up. Each is for one of 20,000
shoppers of whom some ten events are known, with `k=20&exclude=seen,out_of_stock`.
`.venv/bin/python -m benchmarks.asking --items 50000 --queries 50,500 --events 2000`
"""

import argparse
import asyncio
import sys
import tempfile
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Final

import aiohttp
import numpy as np

from benchmarks.bench import Bench, Scale
from benchmarks.events import Shop
from benchmarks.processes import Family, started_here
from benchmarks.producer import start_producer
from benchmarks.recommending import SHOPPERS, checkpoint_of
from benchmarks.sampling import wait_for
from benchmarks.topics import Broker
from benchmarks.worker import Workers, running_workers, topics_of
from cartcast.local.ports import LOOPBACK
from cartcast.local.processes import Children
from cartcast.local.stack import local_stack

KNOWN_EVENTS: Final = 10 * SHOPPERS
QUERY: Final = "k=20&exclude=seen,out_of_stock"
SETTLED_SECONDS: Final = 3.0
TIMEOUT: Final = aiohttp.ClientTimeout(total=10)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--items", type=int, default=50_000)
    options.add_argument("--queries", default="50,500", help="rates, by commas")
    options.add_argument("--events", type=int, default=2000, help="events a second beside them; 0 for none")
    options.add_argument("--seconds", type=float, default=8.0)
    given = options.parse_args()
    rates = list(map(int, given.queries.split(",")))
    with (
        tempfile.TemporaryDirectory() as folder,
        local_stack(Path(folder) / "stack", _report, with_clickhouse=False, preferred_ports=False) as stack,
    ):
        broker, scale = Broker(stack.bootstrap_servers), Scale("quick", KNOWN_EVENTS, 0, SHOPPERS, 1, 0.0, 0, 0)
        usage = Family([started_here("kafka.Kafka")]).usage
        bench = Bench(stack, broker, usage, Path(folder), Path(folder), scale, _report)
        checkpoint = checkpoint_of(Path(folder) / "checkpoint", given.items)
        with (
            topics_of("asking", bench) as topics,
            running_workers(topics, bench, 1, "--checkpoint", str(checkpoint)) as workers,
            Children(Path(folder) / "producer") as children,
        ):
            broker.fill(topics.events, Shop(KNOWN_EVENTS, SHOPPERS, items=given.items).records())
            wait_for(KNOWN_EVENTS, lambda: broker.count(topics.scores), workers.check)
            workers.wait_until_ready()
            if given.events:
                seconds = len(rates) * (given.seconds + SETTLED_SECONDS) + 60
                shop = Shop(int(given.events * seconds), SHOPPERS, items=given.items, first=KNOWN_EVENTS)
                rate = ("--rate", str(given.events))
                start_producer(children, stack.bootstrap_servers, topics.events, shop, *rate)
            for rate_of_queries in rates:
                print(asyncio.run(_asked(workers, rate_of_queries, given.seconds)), flush=True)


async def _asked(workers: Workers, rate: int, seconds: float) -> str:
    """Ask at a rate; return what came of it in a line."""
    base, random = f"http://{LOOPBACK}:{workers.each[0].port}/v1/users", np.random.default_rng(rate)
    statuses, late_ms = Counter[str](), list[float]()

    async def ask(client: aiohttp.ClientSession, due: float, *, counts: bool) -> None:
        await asyncio.sleep(due - time.monotonic())
        status = "none"
        with suppress(aiohttp.ClientError, TimeoutError):
            async with client.get(f"{base}/shopper-{random.integers(0, SHOPPERS):08d}/items?{QUERY}") as answer:
                await answer.read()
            status = str(answer.status)
        if counts:
            statuses[status] += 1
            late_ms.append((time.monotonic() - due) * 1000)

    async with aiohttp.ClientSession(timeout=TIMEOUT, connector=aiohttp.TCPConnector(limit=0)) as client:
        began = time.monotonic()
        dues = [began + number / rate for number in range(int(rate * (SETTLED_SECONDS + seconds)))]
        await asyncio.gather(*(ask(client, due, counts=due - began >= SETTLED_SECONDS) for due in dues))
    p50, p99 = np.percentile(late_ms, [50, 99])
    return f"{rate} queries/s: p50 {p50:.1f}, p99 {p99:.1f} ms; by status {dict(statuses)}"


def _report(line: str) -> None:
    sys.stderr.write(f"{line}\n")


if __name__ == "__main__":
    main()
