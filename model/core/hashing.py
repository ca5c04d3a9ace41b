"""XXH3, 64 bits, of short texts: the hash behind the codes of items and categories, and of remembered event ids.

After the specification and constants of xxHash (Collet, https://github.com/Cyan4973/xxHash, "XXH3" in
doc/xxhash_spec.md), for inputs of up to LONGEST bytes and seed 0; longer ones are hashed by the library.
"""

from typing import Final

import numpy as np
import numpy.typing as npt

from model.core.compiled import compiled

LONGEST: Final = 128

Bytes = npt.NDArray[np.uint8]

_SECRET: Final = np.frombuffer(
    bytes.fromhex(
        "b8fe6c3923a44bbe7c01812cf721ad1cded46de9839097db7240a4a4b7b3671f"
        "cb79e64eccc0e578825ad07dccff7221b8084674f743248ee03590e6813a264c"
        "3c2852bb91c300cb88d0658b1b532ea371644897a20df94e3819ef46a9deacd8"
        "a8fa763fe39c343ff9dcbbc7c70b4f1d8a51e04bcdb45931c89f7ec9d9787364"
    ),
    np.uint8,
)
"""The first 128 bytes of XXH3's default secret."""
_PRIME64_1: Final = np.uint64(0x9E3779B185EBCA87)
_PRIME64_2: Final = np.uint64(0xC2B2AE3D27D4EB4F)
_PRIME64_3: Final = np.uint64(0x165667B19E3779F9)
_PRIME_MX1: Final = np.uint64(0x165667919E3779F9)
_PRIME_MX2: Final = np.uint64(0x9FB21C651E98DF25)
_LOW_32: Final = np.uint64(0xFFFFFFFF)
_BITS_32: Final = np.uint64(32)


@compiled
def xxh3_64(buffer: Bytes, start: int, end: int) -> np.uint64:
    """Return the hash of buffer[start:end], of at most LONGEST bytes."""
    length = end - start
    if length > 16:
        return _hash_17_to_128(buffer, start, end)
    if length > 8:
        low = _word(buffer, start) ^ _word(_SECRET, 24) ^ _word(_SECRET, 32)
        high = _word(buffer, end - 8) ^ _word(_SECRET, 40) ^ _word(_SECRET, 48)
        return _avalanche(np.uint64(length) + _swapped(low) + high + _product_folded(low, high))
    if length > 3:
        first, last = _half_word(buffer, start), _half_word(buffer, end - 4)
        return _hash_4_to_8(last + (first << _BITS_32), np.uint64(length))
    if length > 0:
        parts = (np.uint64(buffer[start]) << np.uint64(16)) | (np.uint64(buffer[start + length // 2]) << np.uint64(24))
        parts |= np.uint64(buffer[end - 1]) | (np.uint64(length) << np.uint64(8))
        return _avalanche_xxh64(parts ^ _half_word(_SECRET, 0) ^ _half_word(_SECRET, 4))
    return _avalanche_xxh64(_word(_SECRET, 56) ^ _word(_SECRET, 64))


@compiled
def seeded_hash(buffer: Bytes, start: int, end: int, seed: np.uint64) -> np.uint64:
    """Return a hash of a string of any length for a table in memory: who does not know the seed finds no collisions.

    Each eight bytes are mixed in by XXH3's folded product.
    """
    mixed = seed ^ (np.uint64(end - start) * _PRIME64_1)
    at = start
    while at + 8 <= end:
        mixed = _product_folded(mixed ^ _word(buffer, at), _PRIME64_2 ^ seed)
        at += 8
    rest = np.uint64(0)
    for place in range(end - at):
        rest |= np.uint64(buffer[at + place]) << np.uint64(8 * place)
    return _avalanche(_product_folded(mixed ^ rest, _PRIME64_3 ^ seed))


@compiled
def _hash_4_to_8(word: np.uint64, length: np.uint64) -> np.uint64:
    mixed = word ^ _word(_SECRET, 8) ^ _word(_SECRET, 16)
    mixed ^= _rotated(mixed, 49) ^ _rotated(mixed, 24)
    mixed *= _PRIME_MX2
    mixed ^= (mixed >> np.uint64(35)) + length
    mixed *= _PRIME_MX2
    return mixed ^ (mixed >> np.uint64(28))


@compiled
def _hash_17_to_128(buffer: Bytes, start: int, end: int) -> np.uint64:
    """Mix 16 bytes from the start and 16 from the end, and so on towards the middle."""
    total = np.uint64(end - start) * _PRIME64_1
    for pair in range((end - start - 1) // 32, -1, -1):
        total += _mixed(buffer, start + 16 * pair, 32 * pair)
        total += _mixed(buffer, end - 16 * (pair + 1), 32 * pair + 16)
    return _avalanche(total)


@compiled
def _mixed(buffer: Bytes, start: int, secret_at: int) -> np.uint64:
    low = _word(buffer, start) ^ _word(_SECRET, secret_at)
    return _product_folded(low, _word(buffer, start + 8) ^ _word(_SECRET, secret_at + 8))


@compiled
def _avalanche(word: np.uint64) -> np.uint64:
    word ^= word >> np.uint64(37)
    word *= _PRIME_MX1
    return word ^ (word >> np.uint64(32))


@compiled
def _avalanche_xxh64(word: np.uint64) -> np.uint64:
    word ^= word >> np.uint64(33)
    word *= _PRIME64_2
    word ^= word >> np.uint64(29)
    word *= _PRIME64_3
    return word ^ (word >> np.uint64(32))


@compiled
def _product_folded(first: np.uint64, second: np.uint64) -> np.uint64:
    """Return the lower half of the 128-bit product, XOR its upper half."""
    first_low, first_high = first & _LOW_32, first >> _BITS_32
    second_low, second_high = second & _LOW_32, second >> _BITS_32
    low, cross = first_low * second_low, first_high * second_low
    middle = (low >> _BITS_32) + (cross & _LOW_32) + first_low * second_high
    upper = (cross >> _BITS_32) + (middle >> _BITS_32) + first_high * second_high
    return upper ^ ((middle << _BITS_32) | (low & _LOW_32))


@compiled
def _rotated(word: np.uint64, bits: int) -> np.uint64:
    return (word << np.uint64(bits)) | (word >> np.uint64(64 - bits))


@compiled
def _swapped(word: np.uint64) -> np.uint64:
    """Return the word with its eight bytes in reverse order."""
    swapped = np.uint64(0)
    for place in range(8):
        swapped |= ((word >> np.uint64(8 * place)) & np.uint64(0xFF)) << np.uint64(56 - 8 * place)
    return swapped


@compiled
def _word(buffer: Bytes, start: int) -> np.uint64:
    """Return eight bytes as a little-endian number."""
    return _half_word(buffer, start) | (_half_word(buffer, start + 4) << _BITS_32)


@compiled
def _half_word(buffer: Bytes, start: int) -> np.uint64:
    word = np.uint64(0)
    for place in range(4):
        word |= np.uint64(buffer[start + place]) << np.uint64(8 * place)
    return word
