"""The version stands in one place."""

import re
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import cartcast

ROOT = Path(__file__).parents[2]
NAMING = [
    path.relative_to(ROOT)
    for pattern in ("deploy/kubernetes/**/kustomization.yaml", "docs/**/*.md")
    for path in sorted(ROOT.glob(pattern))
]
"""Where people read or copy the version."""
NAMED = re.compile(r"(?:cartcast(?:-[a-z]+)?[-:]|detach v)(\d+\.\d+\.\d+)|newTag: \"?(\d+\.\d+\.\d+)")


def test_the_command_prints_the_version():
    printed = subprocess.run(
        [sys.executable, "-m", "cartcast", "--version"], capture_output=True, text=True, check=True
    )
    assert printed.stdout == f"cartcast {cartcast.__version__}\n"


def test_the_installed_package_has_the_version():
    assert version("cartcast") == cartcast.__version__, "run `make setup`: another version was installed"


def test_the_version_is_a_semantic_one():
    assert re.fullmatch(r"\d+\.\d+\.\d+(-[0-9a-z.]+)?", cartcast.__version__)


def test_manifests_and_documents_name_this_version():
    named = {
        path: {found for pair in NAMED.findall((ROOT / path).read_text()) for found in pair if found} for path in NAMING
    }
    assert {path: found for path, found in named.items() if found - {cartcast.__version__}} == {}
    assert sum(path.name == "kustomization.yaml" and bool(found) for path, found in named.items()) >= 3
    assert named[Path("docs/release.md")]
