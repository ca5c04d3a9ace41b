"""One number of the answer, and how people read bytes."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Line:
    """A number: `value` in `unit` (`bytes`, `bytes/s`, `cores`, `seconds`, or what is counted), and its arithmetic."""

    name: str
    value: float
    unit: str
    arithmetic: str


def size(count: float) -> str:
    """Return bytes as people read them."""
    for unit in ("B", "KiB", "MiB", "GiB", "TiB"):
        if count < 1024:
            return f"{count:,.0f} B" if unit == "B" else f"{count:,.1f} {unit}"
        count /= 1024
    return f"{count:,.1f} PiB"
