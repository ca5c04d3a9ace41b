"""What a worker has done."""

from collections import Counter
from dataclasses import asdict, dataclass, field


@dataclass(slots=True)
class Counts:
    """What this worker has done since it started."""

    events: int = 0
    scored: int = 0
    duplicates: int = 0
    already_applied: int = 0
    other_types: int = 0
    dead_letters: Counter[str] = field(default_factory=Counter)
    """By reason."""

    def as_dict(self) -> dict[str, object]:
        """Return the counts as a log line's fields."""
        return asdict(self) | {"dead_letters": dict(self.dead_letters)}
