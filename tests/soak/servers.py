"""Kafka and ClickHouse of a soak: each on a small disk of its own where that is allowed, and a way for each client."""

import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from cartcast.local.kafka import KafkaNode
from cartcast.local.kafka_jars import kafka_jars
from cartcast.local.maven import default_cache
from cartcast.local.ports import LOOPBACK
from cartcast.local.processes import Child, Children
from tests.harness.ports import new_port
from tests.harness.sink_process import Engine
from tests.soak.network import Network, Way

CLIENTS = ("worker-0", "worker-1", "worker-2", "sink-0", "sink-1")
"""Each has a listener of the broker, behind a way of its own."""
KAFKA_DISK_MB = 1500
CLICKHOUSE_DISK_MB = 600


@dataclass
class Disk:
    """A directory; `small` if it is a file system of its own, which can be filled without harm to others."""

    path: Path
    small: bool

    def fill(self) -> None:
        """Leave no room."""
        with suppress(OSError), (self.path / "ballast").open("wb") as ballast:
            while True:
                ballast.write(bytes(1 << 20))
                ballast.flush()

    def free(self) -> None:
        (self.path / "ballast").unlink(missing_ok=True)


@contextmanager
def disk(path: Path, megabytes: int) -> Iterator[Disk]:
    """Mount a file system in memory at `path`; without megabytes, or where that is not allowed, a plain directory."""
    path.mkdir(parents=True)
    mount = [shutil.which("mount") or "mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(path)]
    try:
        small = megabytes > 0 and subprocess.run(mount, capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        small = False
    try:
        yield Disk(path, small)
    finally:
        if small:
            subprocess.run([shutil.which("umount") or "umount", "--lazy", str(path)], check=True)


@dataclass
class Servers:
    """Both servers and all ways to them."""

    node: KafkaNode
    broker: Child
    engine: Engine
    children: Children
    disks: dict[str, Disk]
    kafka_ways: dict[str, Way]
    clickhouse_way: Way
    down: set[str] = field(default_factory=set)

    @property
    def bootstrap_servers(self) -> str:
        """The broker's address that no fault of the network touches."""
        return self.node.bootstrap_servers

    def bootstrap_of(self, client: str) -> str:
        return f"{LOOPBACK}:{self.kafka_ways[client].port}"

    @property
    def clickhouse_url(self) -> str:
        """The address that sinks use."""
        return f"http://{LOOPBACK}:{self.clickhouse_way.port}"

    @property
    def ways(self) -> list[Way]:
        return [*self.kafka_ways.values(), self.clickhouse_way]

    def kill_kafka(self) -> None:
        self.down.add("kafka")
        self.broker.kill()

    def start_kafka(self) -> None:
        self.broker = self.node.start(self.children)
        self.node.wait_until_ready(self.broker)
        self.down.discard("kafka")

    @property
    def deletions_kept_ns(self) -> int:
        """When the broker last wrote down what was deleted: a broker that is killed before has all of it again."""
        return (self.node.directory / "data" / "log-start-offset-checkpoint").stat().st_mtime_ns

    def kill_clickhouse(self) -> None:
        self.down.add("clickhouse")
        self.engine.kill()

    def start_clickhouse(self) -> None:
        self.engine.start()
        self.down.discard("clickhouse")


@contextmanager
def servers(directory: Path, *, small_disks: bool = True) -> Iterator[Servers]:
    """Start both; leaving the block stops them."""
    with ExitStack() as stack:
        disks = {
            "kafka": stack.enter_context(disk(directory / "kafka", KAFKA_DISK_MB if small_disks else 0)),
            "clickhouse": stack.enter_context(disk(directory / "clickhouse", CLICKHOUSE_DISK_MB if small_disks else 0)),
        }
        network = Network()
        stack.callback(network.close)
        listeners = {client: new_port() for client in CLIENTS}
        ways = {client: network.way(port) for client, port in listeners.items()}
        children = stack.enter_context(Children(directory / "logs"))
        node = _node(disks["kafka"].path, listeners, ways)
        broker = node.start(children)
        engine = Engine(disks["clickhouse"].path / "data", new_port())
        stack.callback(engine.kill)
        node.wait_until_ready(broker)
        clickhouse_way = network.way(int(engine.url.rpartition(":")[2]))
        yield Servers(node, broker, engine, children, disks, ways, clickhouse_way)


def _node(directory: Path, listeners: dict[str, int], ways: dict[str, Way]) -> KafkaNode:
    """Return a broker that tells each client of its own way; the cleaner of compacted topics is always at work."""
    port, controller = new_port(), new_port()
    named = {client.replace("-", "").upper(): client for client in listeners}
    own = {name: (listeners[client], ways[client].port) for name, client in named.items()}

    def listed(ports: Sequence[tuple[str, int]]) -> str:
        return ",".join(f"{name}://{LOOPBACK}:{number}" for name, number in ports)

    return KafkaNode(
        directory,
        kafka_jars(default_cache(), print),
        port,
        controller,
        properties={
            "listeners": listed(
                [("PLAINTEXT", port), ("CONTROLLER", controller), *((name, own[name][0]) for name in own)]
            ),
            "advertised.listeners": listed([("PLAINTEXT", port), *((name, own[name][1]) for name in own)]),
            "listener.security.protocol.map": ",".join(
                f"{name}:PLAINTEXT" for name in ("PLAINTEXT", "CONTROLLER", *own)
            ),
            "inter.broker.listener.name": "PLAINTEXT",
            "log.cleaner.backoff.ms": 200,
            "log.retention.check.interval.ms": 1000,
            "log.segment.delete.delay.ms": 1000,
            "log.flush.start.offset.checkpoint.interval.ms": 200,
        },
    )
