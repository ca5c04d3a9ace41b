"""The wheel has everything, installs where nothing is, and its demo works there."""

import json
import os
import shutil
import subprocess
import sys
import zipfile
from email.parser import Parser
from pathlib import Path

import pytest

import cartcast

pytestmark = [pytest.mark.integration, pytest.mark.timeout(600)]

ROOT = Path(__file__).parents[2]
UV = Path(sys.executable).with_name("uv")
ROOMS = ["cartcast", "dashboard", "model", "service", "sinks", "streams"]


def run(*command: str | Path, **options) -> subprocess.CompletedProcess[str]:
    ended = subprocess.run(command, capture_output=True, text=True, check=False, **options)
    assert ended.returncode == 0, ended.stderr[-3000:]
    return ended


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    source, built = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    for name in (*ROOMS, "pyproject.toml", "README.md", "LICENSE"):
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, source / name)
    run(sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", built, cwd=source)
    (path,) = built.iterdir()
    return path


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory) -> Path:
    """Return the folder of commands of an environment with the wheel, what its demo needs, and what notebooks need."""
    environment = tmp_path_factory.mktemp("installed") / "venv"
    run(UV, "venv", "--quiet", "--python", sys.executable, environment)
    python = environment / "bin" / "python"
    pins = ("--constraints", ROOT / "requirements.lock")
    run(UV, "pip", "install", "--quiet", "--python", python, *pins, f"{wheel}[demo,train]", "ipykernel", "nbclient")
    return python.parent


def test_the_wheel_has_every_file_of_every_room(wheel):
    held = set(zipfile.ZipFile(wheel).namelist())
    there = {
        str(path.relative_to(ROOT))
        for room in ROOMS
        for path in (ROOT / room).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert there - held == set()
    assert {name.split("/")[0] for name in held} == {*ROOMS, f"cartcast-{cartcast.__version__}.dist-info"}
    for kind in (".sql", ".safetensors", ".html", ".svg", ".sha256"):
        assert any(name.endswith(kind) for name in held), kind


def test_the_wheel_says_what_it_is(wheel):
    about = zipfile.ZipFile(wheel).read(f"cartcast-{cartcast.__version__}.dist-info/METADATA").decode()
    fields = Parser().parsestr(about)
    assert (fields["Name"], fields["Version"]) == ("cartcast", cartcast.__version__)
    assert {"demo", "all", "worker", "sink"} <= set(fields.get_all("Provides-Extra"))


@pytest.fixture
def clean():
    """Return an environment that knows nothing of this one's Python."""
    ours = ("CARTCAST_", "PYTHON", "VIRTUAL", "PYTEST")
    return {name: value for name, value in os.environ.items() if not name.startswith(ours)} | {"PATH": "/usr/bin:/bin"}


@pytest.mark.parametrize("name", ["score-a-history", "train-and-judge"])
def test_a_notebook_runs_with_the_installed_wheel(installed, clean, name, tmp_path):
    shutil.copy(ROOT / "docs" / "notebooks" / f"{name}.ipynb", tmp_path)
    run(installed / "jupyter-execute", "--timeout", "400", f"{name}.ipynb", cwd=tmp_path, env=clean)


def test_the_demo_of_the_installed_wheel_works(installed, clean, tmp_path):
    about = run(installed / "cartcast", "--version", cwd=tmp_path, env=clean)
    assert about.stdout == f"cartcast {cartcast.__version__}\n"
    where = run(installed / "python", "-c", "import cartcast; print(cartcast.__file__)", cwd=tmp_path, env=clean)
    assert Path(where.stdout.strip()).is_relative_to(installed.parent)
    ended = run(installed / "cartcast", "demo", "--events", "2000", "--no-dashboard", "--json", cwd=tmp_path, env=clean)
    summary = json.loads(ended.stdout.splitlines()[-1])
    assert (summary["complete"], summary["lost"], summary["duplicated"]) == (True, 0, 0)
    assert summary["stored"] == summary["accepted"] > 1900


def test_a_command_whose_package_is_not_installed_says_so_in_one_line(installed, tmp_path):
    run(UV, "pip", "uninstall", "--quiet", "--python", installed / "python", "streamlit")
    ended = subprocess.run(
        [installed / "cartcast", "dashboard"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    line = ended.stderr.splitlines()[-1]
    assert "Traceback" not in ended.stderr
    assert line.startswith("cartcast: `cartcast dashboard` needs the package streamlit,")
    assert line.endswith("[dashboard]'")
    assert ended.returncode == 1
