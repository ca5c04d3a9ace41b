"""Help, completion and a mistyped option load what they show and nothing of what a command runs with."""

import json
import os
import subprocess
import sys
from typing import Final

import pytest

from cartcast.commands import COMMANDS

NEVER: Final = {
    # what typer imports for any help and no help here shows
    "rich.markdown", "markdown_it", "rich.traceback", "rich.syntax", "pygments",
    # what commands run with
    "numpy", "numba", "torch", "polars", "sklearn", "matplotlib", "faust", "aiokafka", "aiohttp", "confluent_kafka",
    "clickhouse_connect", "chdb", "streamlit", "prometheus_client", "structlog", "yaml", "asyncio", "ssl",
    "cartcast.settings", "cartcast.local.stack", "model.sequence", "service.kafka_settings", "streams.topics",
    "sinks.table", "dashboard.server",
}  # fmt: skip
NOT_FOR_ERRORS: Final = NEVER | {"rich", "typer.rich_utils"}
_RUN: Final = """
import json, sys
from contextlib import redirect_stderr, redirect_stdout, suppress
from io import StringIO
from cartcast.__main__ import main
for arguments in json.loads(sys.argv[1]):
    sys.argv = ["cartcast", *arguments]
    with suppress(SystemExit), redirect_stdout(StringIO()), redirect_stderr(StringIO()):
        main()
print(json.dumps(sorted(sys.modules)))
"""


def loaded_by(*command_lines: list[str], **environment: str) -> set[str]:
    ran = subprocess.run(
        [sys.executable, "-c", _RUN, json.dumps(command_lines)],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=True,
    )
    return set(json.loads(ran.stdout))


@pytest.mark.parametrize(
    "command_lines",
    [
        [["--help"]],
        [["worker", "--help"]],
        [[name, "--help"] for name in COMMANDS],
        [["topics", "create", "--help"], ["config", "show", "--help"], ["dead-letters", "replay", "--help"]],
    ],
    ids=["the list", "worker", "every command", "commands of groups"],
)
def test_help_loads_nothing_that_it_does_not_show(command_lines):
    loaded = loaded_by(*command_lines)
    assert "typer.rich_utils" in loaded
    assert loaded & NEVER == set()


@pytest.mark.parametrize("arguments", [["fly"], ["--fly"]], ids=["a command", "an option"])
def test_wrong_usage_loads_no_formatter(arguments):
    every = [[name, *arguments] for name in COMMANDS] if arguments == ["--fly"] else [arguments]
    assert loaded_by(*every) & NOT_FOR_ERRORS == set()


def test_completion_loads_no_formatter():
    asked = {"_CARTCAST_COMPLETE": "complete_bash", "COMP_WORDS": "cartcast score --chec", "COMP_CWORD": "2"}
    assert loaded_by([], **asked) & NOT_FOR_ERRORS == set()
