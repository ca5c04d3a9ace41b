"""The dashboard beside the demo's pipeline."""

from collections.abc import Callable
from typing import Final
from urllib.error import URLError
from urllib.request import urlopen

from cartcast.local.ports import LOOPBACK
from cartcast.local.processes import Child, wait_until_ready

DASHBOARD_PORT: Final = 8501


def pages_url(port: int) -> str:
    """Return where the dashboard answers."""
    return f"http://{LOOPBACK}:{port}"


def open_pages(start: Callable[..., Child], port: int, worker_url: str | None) -> None:
    """Start the dashboard and return when it answers; `worker_url` None: no worker explains. Raises LocalStackError."""
    environment = {"CARTCAST_DASHBOARD__HOST": LOOPBACK, "CARTCAST_DASHBOARD__PORT": str(port)}
    if worker_url is not None:
        environment["CARTCAST_DASHBOARD__WORKER_URL"] = worker_url
    child = start("dashboard", environment=environment)
    wait_until_ready(child, lambda: _answers(f"{pages_url(port)}/_stcore/health"))


def _answers(url: str) -> bool:
    try:
        with urlopen(url, timeout=1) as answer:  # noqa: S310 - our own loopback address
            return bool(answer.status == 200)
    except (URLError, OSError):
        return False
