"""The shop's side: a process that sends events, as fast as it can or at a rate.

`python -m benchmarks.producer KAFKA TOPIC SHOP OPTIONS`, where SHOP is a `Shop` as JSON. With `--go FILE` events are
made beforehand, and sent once the file is there, so that a measurement holds none of the making. It says at the end how
many seconds of CPU the sending took.
"""

import argparse
import time
from collections.abc import Iterable
from pathlib import Path

import msgspec

from benchmarks.events import Record, Shop
from benchmarks.topics import Broker
from cartcast.local.processes import PYTHON, Child, Children


def start_producer(children: Children, kafka: str, topic: str, shop: Shop, *options: str) -> Child:
    """Start this module as a process."""
    described = msgspec.json.encode(shop).decode()
    return children.start("producer", [*PYTHON, "-m", "benchmarks.producer", kafka, topic, described, *options])


def paced(records: Iterable[Record], events_per_second: float) -> Iterable[Record]:
    """Yield each record when it is due; what is late comes at once."""
    started = time.monotonic()
    for number, record in enumerate(records):
        wait = started + number / events_per_second - time.monotonic()
        if wait > 0.001:
            time.sleep(wait)
        yield record


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kafka")
    parser.add_argument("topic")
    parser.add_argument("shop")
    parser.add_argument("--rate", type=float, default=0.0)
    parser.add_argument("--go", type=Path)
    given = parser.parse_args()
    records: Iterable[Record] = msgspec.json.decode(given.shop, type=Shop).records()
    if given.go is not None:
        records = list(records)
        print("ready", flush=True)
        while not given.go.exists():
            time.sleep(0.01)
    before = time.process_time()
    Broker(given.kafka).fill(given.topic, paced(records, given.rate) if given.rate else records)
    print(time.process_time() - before, flush=True)


if __name__ == "__main__":
    main()
