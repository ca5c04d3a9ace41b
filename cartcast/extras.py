"""Which extra of the package a command needs, for whoever installed less than that."""

from collections.abc import Mapping, Sequence
from typing import Final

import cartcast

EXTRAS: Final[Mapping[str, str]] = {
    "demo": "demo",
    "up": "local",
    "migrate": "sink",
    "worker": "worker",
    "sink": "sink",
    "dashboard": "dashboard",
    "train": "train",
    "retrain": "train",
    "evaluate": "train",
    "score": "train",
    "export": "train",
    "explain": "demo",
}
"""By command; the others need none."""
_OURS: Final = frozenset({"cartcast", "dashboard", "model", "service", "sinks", "streams"})


def missing_extra(missing: ModuleNotFoundError, arguments: Sequence[str]) -> str | None:
    """Return the line that says what to install; None if the module is one of our own, which is a bug."""
    package = missing_package(missing)
    if package is None:
        return None
    command = next((argument for argument in arguments if argument in EXTRAS), "")
    extra = EXTRAS.get(command, "all")
    wheel = f"cartcast-{cartcast.__version__}-py3-none-any.whl"
    return (
        f"`{' '.join(['cartcast', command]).strip()}` needs the package {package}, which is not installed: "
        f"install Cartcast with the extra `{extra}`, as in pip install '{wheel}[{extra}]'"
    )


def missing_package(missing: ModuleNotFoundError) -> str | None:
    """Return the package that is not installed; None if the module is one of our own."""
    package = (missing.name or "").partition(".")[0]
    return None if not package or package in _OURS else package
