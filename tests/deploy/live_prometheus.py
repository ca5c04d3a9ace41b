"""The real Prometheus over processes of a test, with the repository's configuration and rules made impatient."""

import json
import re
import subprocess
import urllib.parse
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tests.harness.ports import new_port
from tests.harness.waiting import eventually

WINDOW = "10s"


@dataclass(frozen=True)
class Target:
    """Where a job's process answers, and the file with the token that it asks for."""

    port: int
    token_file: Path


def impatient(rules: str) -> str:
    """Make windows, waits and ages of alerts seconds; what is compared stays as it is."""
    rules = re.sub(r"\[\d+[mh]\]", f"[{WINDOW}]", rules)
    rules = re.sub(r"for: \d+[mh]", "for: 1s", rules)
    return rules.replace("commit_age_seconds) > 120", "commit_age_seconds) > 3")


def configuration(given: str, targets: Mapping[str, Target], rules: Path) -> dict[str, Any]:
    """Point the repository's configuration at these targets, by job."""
    config: dict[str, Any] = yaml.safe_load(given)
    config["global"] = {"scrape_interval": "1s", "scrape_timeout": "900ms", "evaluation_interval": "1s"}
    config["rule_files"] = [str(rules)]
    assert {job["job_name"] for job in config["scrape_configs"]} == targets.keys()
    for job in config["scrape_configs"]:
        target = targets[job["job_name"]]
        job["static_configs"] = [{"targets": [f"127.0.0.1:{target.port}"]}]
        job["authorization"] = {"credentials_file": str(target.token_file)}
    return config


class Prometheus:
    """A server of its own; stop it in the end."""

    def __init__(self, executable: str, source: Path, directory: Path, targets: Mapping[str, Target]) -> None:
        """Start it with the configuration and rules under `source`."""
        rules, config = directory / "rules.yml", directory / "prometheus.yml"
        rules.write_text(impatient((source / "rules/cartcast.yml").read_text()))
        config.write_text(yaml.safe_dump(configuration((source / "prometheus.yml").read_text(), targets, rules)))
        self._port = new_port()
        self._log = (directory / "prometheus.log").open("w")
        self._process = subprocess.Popen(
            [
                executable,
                f"--config.file={config}",
                f"--storage.tsdb.path={directory / 'data'}",
                f"--web.listen-address=127.0.0.1:{self._port}",
            ],
            stdout=self._log,
            stderr=self._log,
        )

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait()
        self._log.close()

    def ask(self, path: str, **parameters: str) -> Any:
        """Return the data of an answer of the HTTP API; fails if it is none."""
        asked = f"{path}?{urllib.parse.urlencode(parameters)}"
        with urllib.request.urlopen(f"http://127.0.0.1:{self._port}/api/v1/{asked}") as answer:
            found = json.load(answer)
        assert found["status"] == "success", found
        return found["data"]

    def series(self, query: str) -> list[dict[str, Any]]:
        """Return what a query finds now."""
        found: list[dict[str, Any]] = self.ask("query", query=query)["result"]
        return found

    def health(self) -> dict[str, str]:
        """Return, by job, whether its target is up."""
        return {each["labels"]["job"]: each["health"] for each in self.ask("targets")["activeTargets"]}

    def firing(self) -> set[tuple[str, str, str]]:
        """Return name, severity and cause (empty: none) of every alert that fires."""
        labels = [each["labels"] for each in self.ask("alerts")["alerts"] if each["state"] == "firing"]
        return {(each["alertname"], each["severity"], each.get("cause", "")) for each in labels}

    def wait_until(self, condition: Callable[[], bool], what: str, found: Callable[[], object] | None = None) -> None:
        """Return once the condition holds; a server that does not answer yet is waited for, too."""
        eventually(lambda: self._holds(condition), what, found=found or (lambda: f"firing: {self.firing()}"))

    @staticmethod
    def _holds(condition: Callable[[], bool]) -> bool:
        try:
            return condition()
        except OSError:
            return False
