"""The jars of Apache Kafka."""

from collections.abc import Callable
from pathlib import Path
from typing import Final

from cartcast.local.maven import Release

KAFKA_VERSION: Final = "4.4.0"
KAFKA: Final = Release(
    title=f"Apache Kafka {KAFKA_VERSION}",
    folder=f"kafka-{KAFKA_VERSION}",
    megabytes=44,
    # The logging bridge is part of Kafka's release, but not of its Maven dependencies: without it a broker that
    # cannot start says nothing. Resolved apart, because log4j's parent would pin an older kafka-clients.
    endpoints={
        f"org.apache.kafka:kafka_2.13:{KAFKA_VERSION}": "",
        "org.apache.logging.log4j:log4j-slf4j-impl:2.25.5": "slf4j-impl",
    },
    hashes=Path(__file__).with_suffix(".sha256"),
)


def kafka_jars(cache: Path, report: Callable[[str], None]) -> list[Path]:
    """Return the broker's class path, fetching it if the cache does not hold it. Raises LocalStackError."""
    return KAFKA.jars(cache, report)
