"""The dashboard beside the demo's pipeline."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Final
from urllib.error import URLError
from urllib.request import urlopen

from cartcast.local.ports import LOOPBACK, claimed_port
from cartcast.local.processes import Child, wait_until_ready

DASHBOARD_PORT: Final = 8501
LOOK_UP_PORT: Final = 6066
_READY_SECONDS: Final = 60.0


@dataclass(frozen=True)
class Ports:
    """Where the workers' look-up API and the dashboard answer."""

    workers: tuple[int, ...]
    dashboard: int | None

    @property
    def dashboard_url(self) -> str | None:
        return None if self.dashboard is None else f"http://{LOOPBACK}:{self.dashboard}"

    def worker_environment(self, number: int) -> dict[str, str]:
        """Return what tells worker `number`, from 1, its port."""
        return {"CARTCAST_WORKER__WEB_PORT": str(self.workers[number - 1]), "CARTCAST_WORKER__WEB_BIND": LOOPBACK}

    def dashboard_environment(self) -> dict[str, str]:
        """Return what tells the dashboard its port and the first worker's."""
        return {
            "CARTCAST_DASHBOARD__HOST": LOOPBACK,
            "CARTCAST_DASHBOARD__PORT": str(self.dashboard),
            "CARTCAST_DASHBOARD__WORKER_URL": f"http://{LOOPBACK}:{self.workers[0]}",
        }


@contextmanager
def claimed_ports(workers: int, *, dashboard: bool) -> Iterator[Ports]:
    """Own the usual ports, or others where these are taken. Raises LocalStackError."""
    with ExitStack() as claims:
        look_up = tuple(claims.enter_context(claimed_port(LOOK_UP_PORT + number)) for number in range(workers))
        yield Ports(look_up, claims.enter_context(claimed_port(DASHBOARD_PORT)) if dashboard else None)


def open_pages(start: Callable[..., Child], ports: Ports) -> None:
    """Start the dashboard and return when it answers. Raises LocalStackError."""
    child = start("dashboard", environment=ports.dashboard_environment())
    wait_until_ready(child, lambda: _answers(f"{ports.dashboard_url}/_stcore/health"), _READY_SECONDS)


def _answers(url: str) -> bool:
    try:
        with urlopen(url, timeout=1) as answer:  # noqa: S310 - our own loopback address
            return bool(answer.status == 200)
    except (URLError, OSError):
        return False
