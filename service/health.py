"""What `/livez` and `/readyz` say: named checks, each judged in memory, at once."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

OK: Final = "ok"

Check = Callable[[], str]
"""Returns `ok`, or what is wrong, in words that anybody may read."""


@dataclass(frozen=True, slots=True)
class HealthReport:
    """The result of each check by its name."""

    checks: Mapping[str, str]

    @property
    def ok(self) -> bool:
        return all(result == OK for result in self.checks.values())

    def as_dict(self) -> dict[str, object]:
        """Return the body of `/livez` and `/readyz`."""
        return {"status": OK if self.ok else "failing", "checks": dict(self.checks)}


@dataclass(frozen=True, slots=True)
class Health:
    """The checks of a process, by name."""

    live_checks: Mapping[str, Check]
    """Whether a new process would do no better."""
    ready_checks: Mapping[str, Check]
    """Whether this process does its work now."""

    def live(self) -> HealthReport:
        """Judge for `/livez`."""
        return HealthReport({name: check() for name, check in self.live_checks.items()})

    def ready(self) -> HealthReport:
        """Judge for `/readyz`."""
        return HealthReport({name: check() for name, check in self.ready_checks.items()})
