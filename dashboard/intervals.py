"""How far a share may be from the truth."""

from math import sqrt
from typing import Final

_Z: Final = 1.96


def wilson(part: int, whole: int) -> tuple[float, float]:
    """Return the ends of the 95 % interval of the share of `part` in `whole` (Wilson, JASA 22, 1927)."""
    share, spread = part / whole, _Z**2 / whole
    middle = (share + spread / 2) / (1 + spread)
    half = _Z * sqrt(share * (1 - share) / whole + spread / (4 * whole)) / (1 + spread)
    return max(middle - half, 0.0), min(middle + half, 1.0)
