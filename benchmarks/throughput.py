"""Speed of each peer on a topic that is there before it starts."""

import shutil
import time
from typing import Final

from benchmarks.bench import COMMIT_MS, Bench, Scale
from benchmarks.peers import AT_ONCE, Peer
from benchmarks.processes import Family
from benchmarks.results import Speed
from benchmarks.sampling import Watch, speed_of
from benchmarks.topics import PARTITIONS
from cartcast.local.processes import Children

EVENTS_TOPIC: Final = "bench.events"


def events_of(peer: Peer, scale: Scale) -> tuple[int, int]:
    """Return after how many events a peer is warm, and how many it has to read."""
    return round(scale.warm_up_events * peer.events_share), round(scale.all_events * peer.events_share)


def run_peer(peer: Peer, number: int, bench: Bench) -> Speed:
    """Run it once; its topics and its files are deleted behind it. Raises CartcastError."""
    command = peer.command(bench.cache, bench.report)
    name = f"bench-{peer.name.replace(' ', '-').lower()}-{number}"
    scores, changelog, directory = f"{name}.scores", f"{name}.changelog", bench.directory / name
    bench.broker.create(scores)
    bench.broker.create(changelog, config={"cleanup.policy": "compact"})
    warm_up, total = events_of(peer, bench.scale)
    try:
        with Children(directory) as children:
            started = time.monotonic()
            programs = [
                children.start(
                    f"{name} {process}",
                    command,
                    {
                        "BENCH_KAFKA": bench.stack.bootstrap_servers,
                        "BENCH_EVENTS": EVENTS_TOPIC,
                        "BENCH_SCORES": scores,
                        "BENCH_CHANGELOG": changelog,
                        "BENCH_GROUP": name,
                        "BENCH_DIRECTORY": str(directory / f"state-{process}"),
                        "BENCH_PARTITIONS": str(PARTITIONS),
                        "BENCH_THREADS": str(AT_ONCE),
                        "BENCH_COMMIT_MS": str(COMMIT_MS),
                    },
                )
                for process in range(peer.processes)
            ]
            family = Family([child.pid for child in programs])
            watch = Watch(lambda: bench.broker.count(scores), family.usage, bench.broker_usage, children.check, started)
            watch.until(total)
            for child in programs:
                child.kill()  # nothing is to be saved
        return speed_of(watch.samples, warm_up, total)
    finally:
        bench.broker.delete(name)
        shutil.rmtree(directory, ignore_errors=True)
