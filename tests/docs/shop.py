"""A shop that follows the documents: runs their commands on the session's servers, under names of its own."""

import os
import re
import shlex
import signal
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

from cartcast.local.stack import LocalStack
from service.clickhouse import connect
from service.clickhouse_settings import ClickHouseSettings
from tests.harness.pipeline import DRAIN_SECONDS
from tests.harness.waiting import eventually

PREFIX = "docs"


@dataclass
class Shop:
    """Where commands of the documents run: what they say of addresses and names is put right."""

    stack: LocalStack
    directory: Path
    web_port: int
    running: dict[str, "subprocess.Popen[bytes]"] = field(default_factory=dict)

    @property
    def environment(self) -> dict[str, str]:
        ours = {
            "CARTCAST_KAFKA__TOPIC_PREFIX": PREFIX,
            "CARTCAST_CLICKHOUSE__DATABASE": PREFIX,
            "CARTCAST_WORKER__WEB_PORT": str(self.web_port),
            "CARTCAST_WORKER__SESSION_TIMEOUT_SECONDS": "6",
            "CARTCAST_WORKER__DRAIN_SECONDS": DRAIN_SECONDS,
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        }
        return {**os.environ, **self.stack.environment(), **ours}

    def translated(self, text: str) -> str:
        """Name this stack's servers, topics and database in a text of the documents."""
        addresses = {
            "127.0.0.1:9092": self.stack.bootstrap_servers,
            "http://127.0.0.1:8123": self.stack.clickhouse_url,
            "port=8123": f"port={self.stack.clickhouse_url.rpartition(':')[2]}",
            "127.0.0.1:6066": f"127.0.0.1:{self.web_port}",
            "cartcast.events": f"{PREFIX}.events",
            "cartcast.scores": f"{PREFIX}.scores",
            "database=cartcast": f"database={PREFIX}",
            'database="cartcast"': f'database="{PREFIX}"',
        }
        return re.sub("|".join(map(re.escape, addresses)), lambda found: addresses[found[0]], text)

    def run(self, *command: str) -> str:
        """Run a command to its end, which must be a good one; return what it printed."""
        done = subprocess.run(
            command, env=self.environment, cwd=self.directory, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"{command}\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}"
        return done.stdout

    def run_script(self, script: str) -> str:
        """Run lines of shell; a line that ends with & is a process that goes on."""
        printed = ""
        for line in self.translated(script).splitlines():
            if line.endswith("&"):
                self._start(line.removesuffix("&").strip())
            else:
                printed += self.run("bash", "-ec", line)
        return printed

    def query(self, sql: str) -> list[tuple[object, ...]]:
        client = connect(ClickHouseSettings(url=self.stack.clickhouse_url), database=PREFIX)
        try:
            return list(client.query(sql).result_rows)
        finally:
            client.close()

    def wait_for_rows(self, count: int) -> None:
        def are_there() -> bool:
            for command, process in self.running.items():
                assert process.poll() is None, f"{command} has ended: {self.log(command)}"
            return self.query("SELECT count() FROM scores") == [(count,)]

        eventually(are_there, f"{count} rows", found=lambda: [self.log(command) for command in self.running])

    def drop_tables(self) -> None:
        client = connect(ClickHouseSettings(url=self.stack.clickhouse_url))
        client.command(f"DROP DATABASE IF EXISTS {PREFIX}")
        client.close()

    def stop(self) -> dict[str, int]:
        """Stop what goes on as the quickstart says, the last first; return exit codes."""
        codes = {}
        for command, process in reversed(self.running.items()):
            process.send_signal(signal.SIGTERM)
            codes[command] = process.wait()
        return codes

    def log(self, command: str) -> str:
        return self._log(command).read_text()[-2000:]

    def _start(self, command: str) -> None:
        with self._log(command).open("ab") as log:
            self.running[command] = subprocess.Popen(
                _resolved(command), env=self.environment, cwd=self.directory, stdout=log, stderr=log
            )

    def _log(self, command: str) -> Path:
        return self.directory / f"{command.replace(' ', '-')}.log"


def _resolved(command: str) -> list[str]:
    """Return a command's words, `cartcast` by this Python: the process that is started is the one that is stopped."""
    program, *arguments = shlex.split(command)
    return [sys.executable, "-m", program, *arguments]


def accepted_events(path: Path) -> int:
    """How many events of a simulated file are no duplicates."""
    return len(set(re.findall(r'"event_id":"([^"]+)"', path.read_text())))
