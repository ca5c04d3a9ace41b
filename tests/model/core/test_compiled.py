"""Whatever is wrong with kept machine code, or with where it is kept, costs time and never a failure."""

import json
import os
import resource
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import model.core.compiled

SUM = """
from model.core.compiled import compiled

@compiled
def _double(number):
    return 2 * number

@compiled
def answer(number):
    return _double(number) + 2
"""
RUN = """
import json, shutil, sys
sys.path.insert(0, sys.argv[1])
import model.core.compiled
from model.core.sum import answer
kept = model.core.compiled.is_machine_code_kept()
answer(1)
if "vanish" in sys.argv:
    shutil.rmtree(model.core.compiled.numba.config.CACHE_DIR)
print(json.dumps([answer(20), answer(20.0), kept, sum(answer.stats.cache_hits.values())]))
"""


@pytest.fixture(scope="module")
def warm(tmp_path_factory):
    """A folder of sources beside which machine code is kept."""
    root = tmp_path_factory.mktemp("warm")
    core = root / "model" / "core"
    core.mkdir(parents=True)
    (core.parent / "__init__.py").touch()
    (core / "__init__.py").touch()
    shutil.copy(model.core.compiled.__file__, core)
    (core / "sum.py").write_text(SUM)
    assert run(root) == [42, 42.0, False, 0]
    return root


@pytest.fixture
def root(warm, tmp_path):
    """The same folder, warm, to be damaged; machine code is found by the path of its sources, so these do not move."""
    kept = warm / "model" / "core" / "__pycache__"
    shutil.copytree(kept, tmp_path / "kept")
    yield warm
    shutil.rmtree(kept) if kept.is_dir() else kept.unlink()
    shutil.copytree(tmp_path / "kept", kept)


def run(root: Path, *arguments: str, options: tuple[str, ...] = (), setup=None, **environment: str) -> list[object]:
    """What a new process computes, whether it found machine code, and how much of it it used."""
    done = subprocess.run(
        [sys.executable, *options, "-c", RUN, str(root), *arguments],
        env={**os.environ, "HOME": str(root / "home"), "PYTHONDONTWRITEBYTECODE": "1", **environment},
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=setup,
    )
    assert (done.returncode, done.stderr) == (0, "")
    answered: list[object] = json.loads(done.stdout)
    return answered


def kept(root: Path, kind: str) -> list[Path]:
    return list((root / "model" / "core" / "__pycache__").rglob(f"*.{kind}"))


@pytest.mark.parametrize("options", [(), ("-P",)])
def test_a_second_process_uses_what_the_first_has_compiled(root, options):
    assert run(root, options=options) == [42, 42.0, True, 2]


@pytest.mark.parametrize(
    ("kind", "damage"),
    [("nbi", b""), ("nbi", b"garbage"), ("nbi", 40), ("nbc", b"garbage"), ("nbc", 40), ("nbc", None)],
)
def test_damaged_machine_code_is_made_again_and_kept(root, kind, damage):
    for file in kept(root, kind):
        if damage is None:
            file.unlink()
        else:
            file.write_bytes(file.read_bytes()[:damage] if isinstance(damage, int) else damage)
    assert run(root)[:2] == [42, 42.0]
    assert run(root) == [42, 42.0, True, 2]


def test_machine_code_of_another_processor_is_made_again(root):
    assert run(root, NUMBA_CPU_NAME="generic", NUMBA_CPU_FEATURES="") == [42, 42.0, True, 0]
    assert run(root) == [42, 42.0, True, 2]


def test_machine_code_is_kept_at_home_where_it_cannot_be_kept_beside_the_sources(root):
    shutil.rmtree(root / "model" / "core" / "__pycache__")
    (root / "model" / "core" / "__pycache__").touch()
    assert run(root) == [42, 42.0, False, 0]
    assert run(root) == [42, 42.0, True, 2]
    shutil.rmtree(root / "home")


def test_where_nothing_can_be_kept_everything_is_compiled(root):
    shutil.rmtree(root / "model" / "core" / "__pycache__")
    (root / "model" / "core" / "__pycache__").touch()
    assert run(root, HOME="/dev/null") == [42, 42.0, False, 0]


def test_a_user_without_a_home_is_no_failure(root):
    no_user = "import pwd; pwd.getpwuid = {}.__getitem__; import os; del os.environ['HOME']"
    (root / "model" / "core" / "__init__.py").write_text(no_user)
    shutil.rmtree(root / "model" / "core" / "__pycache__")
    (root / "model" / "core" / "__pycache__").touch()
    answered = run(root)
    (root / "model" / "core" / "__init__.py").write_text("")
    assert answered == [42, 42.0, False, 0]


def test_a_folder_that_is_deleted_under_a_running_process_is_no_failure(root):
    for file in kept(root, "nbi"):
        file.unlink()
    assert run(root, "vanish")[:2] == [42, 42.0]


def test_a_full_disk_is_no_failure(root):
    for file in kept(root, "nbi"):
        file.unlink()
    assert run(root, setup=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0)))[:2] == [42, 42.0]


def test_a_folder_in_which_numba_may_write_nothing_is_no_failure(root):
    for folder in {file.parent for file in kept(root, "nbi")}:
        shutil.rmtree(folder)
        folder.touch()
    assert run(root, HOME="/dev/null")[:2] == [42, 42.0]


def test_machine_code_that_came_beside_read_only_sources_is_taken_over(tmp_path, monkeypatch):
    """As in the worker's image, whose user may write to its home alone."""
    brought = tmp_path / "model" / "core" / "__pycache__" / "compiled-1"
    brought.mkdir(parents=True)
    (brought / "loop.nbi").write_bytes(b"index")
    monkeypatch.setattr(model.core.compiled, "_SOURCES", tmp_path / "model" / "core")
    folder, older = tmp_path / "home" / "compiled-1", tmp_path / "home" / "compiled-0"
    older.mkdir(parents=True)
    model.core.compiled._make(folder)
    assert (folder / "loop.nbi").read_bytes() == b"index"
    assert not older.exists()
