"""What a process says of its health: checks by name."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

OK: Final = "ok"


@dataclass(frozen=True, slots=True)
class Verdict:
    """The result of each check by its name: `ok`, or what is wrong, in words that anybody may read."""

    checks: Mapping[str, str]

    @property
    def ok(self) -> bool:
        return all(result == OK for result in self.checks.values())

    def as_dict(self) -> dict[str, object]:
        """Return the body of `/livez` and `/readyz`."""
        return {"status": OK if self.ok else "failing", "checks": dict(self.checks)}
