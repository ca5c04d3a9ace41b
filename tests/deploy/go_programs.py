"""The Go programs that check images, Compose and manifests: those of the module in tools/, built when first used.

They come from the Go module proxy, pinned by version and hash in tools/go.mod and go.sum, and are kept in the user's
cache. Without Go the tests that need them skip.
"""

import fcntl
import hashlib
import json
import os
import shutil
import subprocess
from functools import cache
from pathlib import Path

import pytest

TOOLS = Path(__file__).with_name("tools")
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "cartcast-tests"
PACKAGES = {
    "composeconfig": "./composeconfig",
    "dockerfilelint": "./dockerfilelint",
    "kubeconform": "github.com/yannh/kubeconform/cmd/kubeconform",
    "kustomize": "sigs.k8s.io/kustomize/kustomize/v5",
}


def go() -> str:
    found = shutil.which("go")
    if found is None:
        pytest.skip("needs Go 1.26, which builds the checkers of tests/deploy/tools (Debian: golang-go)")
    return found


@cache
def program(name: str) -> Path:
    """Return the path of a program, built if this version is not in the cache yet."""
    command, directory = go(), CACHE / _version()
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / name
    with (directory / "lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not path.exists():
            unfinished = path.with_suffix(".unfinished")
            subprocess.run([command, "build", "-o", str(unfinished), PACKAGES[name]], cwd=TOOLS, check=True)
            unfinished.replace(path)
    return path


def run(name: str, *arguments: str | Path, text: str | None = None) -> "subprocess.CompletedProcess[str]":
    """Run a program in an empty environment, so that nothing of this machine decides."""
    command = [str(program(name)), *map(str, arguments)]
    environment = {"PATH": "/usr/bin:/bin", "HOME": str(CACHE)}
    return subprocess.run(command, capture_output=True, text=True, check=False, input=text, env=environment)


def module(name: str) -> Path:
    """Return the folder of a Go module, `path@version`, with its files."""
    answer = subprocess.run([go(), "mod", "download", "-json", name], capture_output=True, check=False, cwd="/")
    found = json.loads(answer.stdout)
    assert "Error" not in found, found["Error"]
    return Path(found["Dir"])


def _version() -> str:
    digest = hashlib.sha256()
    for path in sorted(TOOLS.rglob("*")):
        if path.is_file():
            digest.update(path.read_bytes())
    return digest.hexdigest()[:16]
