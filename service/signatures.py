"""Signatures of scores: a reader that has the key knows which records a worker wrote.

HMAC-SHA256 (RFC 2104) of the record's value. The value names its shopper and the event's topic, partition and offset,
so that a signature is worth nothing on another record than a copy.
"""

import hmac
from collections.abc import Sequence
from typing import Final

SIGNATURE: Final = "signature"
"""The header, in hexadecimal digits."""


class Signatures:
    """Signs with the first of some keys and knows the signatures of all; without keys none is made or asked for."""

    def __init__(self, keys: Sequence[str] = ()) -> None:
        self._keys = [key.encode() for key in keys]

    def __bool__(self) -> bool:
        return bool(self._keys)

    def of(self, value: bytes) -> bytes:
        """Return the signature of a value; there must be a key."""
        return _signature(self._keys[0], value)

    def accept(self, value: bytes, signature: bytes | None) -> bool:
        """Return whether a value has a signature that counts; it needs none if there are no keys."""
        if not self._keys:
            return True
        return any(hmac.compare_digest(_signature(key, value), signature or b"") for key in self._keys)


NO_SIGNATURES: Final = Signatures()


def _signature(key: bytes, value: bytes) -> bytes:
    return hmac.digest(key, value, "sha256").hex().encode()
