"""Half-precision numbers (IEEE 754 binary16) as their 16 bits: Numba has no such type on the CPU.

Without branches, so that the compiler converts many at once.
"""

from typing import Final

import numpy as np

from model.core.compiled import compiled

_FLOAT_INFINITY: Final = 0x7F800000
_FLOAT_HALF: Final = 0x3F000000  # 0.5
_REBIAS: Final = 0x38000000  # what the exponents of the two formats differ by: 112
_SMALLEST_NORMAL: Final = 0x38800000  # 2**-14
_OVERFLOW: Final = 0x477FF000  # 65,520, the least number that is rounded to infinity
_UP: Final = np.float32(2.0**112)


@compiled
def to_half(x: np.float32) -> np.uint16:
    """Return a number rounded to the nearest half, to the even one if two are equally near."""
    bits = np.float32(x).view(np.int32)
    size = np.int32(bits & 0x7FFFFFFF)
    # Numbers with all eleven bits lose thirteen, and carry into the exponent if need be.
    normal = np.int32((size - _REBIAS + 0xFFF + ((size >> 13) & 1)) >> 13)
    # For smaller ones the adder rounds: floats from 0.5 to 1 are as far apart as the smallest halves, 2**-24.
    small = np.int32(np.float32(size.view(np.float32) + np.float32(0.5)).view(np.int32) - _FLOAT_HALF)
    rounded = small if size < _SMALLEST_NORMAL else normal
    finite = rounded if size < _OVERFLOW else np.int32(0x7C00)
    half = finite if size <= _FLOAT_INFINITY else np.int32(0x7E00)  # not a number
    return np.uint16(((bits >> 16) & 0x8000) | half)


@compiled
def from_half(half: np.uint16) -> np.float32:
    """Return the number whose bits these are."""
    size = np.int32((np.int32(half) & 0x7FFF) << 13)
    # With the exponent where a float has it, the number is 2**112 times too small, be it normal or subnormal.
    widened = np.float32(size.view(np.float32) * _UP).view(np.int32)
    widened = np.int32(widened | _FLOAT_INFINITY if size >= 0x7C00 << 13 else widened)
    x = widened.view(np.float32)
    return -x if half & 0x8000 else x
