"""Kafka and the ClickHouse engine on this machine, as one thing that starts and stops."""

import fcntl
import os
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO
from urllib.error import URLError
from urllib.request import urlopen

from cartcast.local.kafka import KafkaNode
from cartcast.local.kafka_jars import kafka_jars
from cartcast.local.maven import default_cache
from cartcast.local.ports import LOOPBACK, claimed_port
from cartcast.local.processes import GRACE_SECONDS, PYTHON, Child, Children, wait_until_ready
from service.errors import LocalStackError

KAFKA_PORT = 9092
CLICKHOUSE_PORT = 8123
CLICKHOUSE_USER = "default"
PASSWORD_FILE = "clickhouse-password"  # noqa: S105 - its name
"""In the stack's directory, readable by its owner alone."""
LOCK_WAIT_SECONDS = GRACE_SECONDS + 5.0
"""A stack whose owner was killed holds the lock until its servers have had their time to end."""

Report = Callable[[str], None]


@dataclass(frozen=True)
class LocalStack:
    """A running stack: where its servers answer, and the processes behind them."""

    bootstrap_servers: str
    clickhouse_url: str
    clickhouse_password: str
    children: Children

    def settings(self) -> dict[str, dict[str, str]]:
        """Return the values that lead every part to this stack, for `load_settings(**...)`."""
        return {
            "kafka": {"bootstrap_servers": self.bootstrap_servers, "security_protocol": "PLAINTEXT"},
            "clickhouse": {"url": self.clickhouse_url, "user": CLICKHOUSE_USER, "password": self.clickhouse_password},
        }

    def environment(self) -> dict[str, str]:
        """Return the same as environment variables, for child processes."""
        return {
            f"CARTCAST_{branch}__{name}".upper(): value
            for branch, values in self.settings().items()
            for name, value in values.items()
        }


@contextmanager
def local_stack(  # noqa: PLR0913 - how it differs from the usual one
    directory: Path,
    report: Report,
    *,
    with_clickhouse: bool = True,
    preferred_ports: bool = True,
    engine_gives_way: bool = False,
    cache: Path | None = None,
) -> Iterator[LocalStack]:
    """Start Kafka and ClickHouse with their data in `directory`; leaving the block stops both.

    `preferred_ports`: take 9092 and 8123 if they are free, else any. `engine_gives_way`: an insert takes no core from a
    score. Raises LocalStackError.
    """
    directory = directory.absolute()
    with (
        _locked(directory) as lock,
        claimed_port(CLICKHOUSE_PORT if preferred_ports else 0) as clickhouse_port,
        claimed_port(KAFKA_PORT if preferred_ports else 0) as kafka_port,
        claimed_port() as controller_port,
        Children(directory / "logs", keep_open=[lock.fileno()]) as children,
    ):
        jars = kafka_jars(cache or default_cache(), report)
        password = _password(directory / PASSWORD_FILE)
        clickhouse = (
            _start_clickhouse(children, directory, clickhouse_port, engine_gives_way) if with_clickhouse else None
        )
        node = KafkaNode(directory / "kafka", jars, kafka_port, controller_port)
        report(f"starting Apache Kafka on {node.bootstrap_servers}")
        broker = node.start(children)
        node.wait_until_ready(broker)
        url = f"http://{LOOPBACK}:{clickhouse_port}"
        if clickhouse is not None:
            report(f"starting the ClickHouse engine on {url}")
            wait_until_ready(clickhouse, lambda: _pings(url))
        yield LocalStack(node.bootstrap_servers, url, password, children)


def _start_clickhouse(children: Children, directory: Path, port: int, gives_way: bool) -> Child:
    server = [*PYTHON, "-m", "cartcast.local.clickhouse_server", "--path", str(directory / "clickhouse")]
    credentials = ["--user", CLICKHOUSE_USER, "--password-file", str(directory / PASSWORD_FILE)]
    command = [*server, "--port", str(port), *credentials]
    return children.start("ClickHouse", command, gives_way=gives_way)


def _password(path: Path) -> str:
    """Return the password that the file holds, a new random one if there is no file: who starts again keeps it."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        path.chmod(0o600)
        return path.read_text(encoding="ascii").strip()
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        file.write(password := secrets.token_urlsafe(24))
    return password


def _pings(url: str) -> bool:
    try:
        with urlopen(f"{url}/ping", timeout=1) as answer:  # noqa: S310 - our own loopback address
            return bool(answer.read().startswith(b"Ok."))
    except (URLError, OSError):
        return False


@contextmanager
def _locked(directory: Path) -> Iterator[IO[str]]:
    """Own the directory. The tethers inherit the lock, so it is free only when no server of an old stack is left."""
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        for part in ("clickhouse", "kafka", "logs"):  # the directory itself may be somebody's, with other things in it
            (directory / part).mkdir(mode=0o700, exist_ok=True)
            (directory / part).chmod(0o700)
        lock = (directory / "lock").open("a")
    except OSError as failure:
        raise LocalStackError(f"{directory} cannot be written ({failure.strerror}): choose another --dir") from None
    with lock:
        deadline = time.monotonic() + LOCK_WAIT_SECONDS
        while not _try_lock(lock):
            if time.monotonic() > deadline:
                raise LocalStackError(f"another cartcast uses {directory}: stop it, or choose another --dir")
            time.sleep(0.1)
        yield lock


def _try_lock(lock: IO[str]) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
