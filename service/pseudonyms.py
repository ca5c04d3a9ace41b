"""Pseudonyms: ids that nobody without the key can tie to the shop's own, made where Cartcast writes events.

HMAC-SHA-256 (RFC 2104) of the id, its first 128 bits, as `p-` and 32 hexadecimal digits. What is a pseudonym already is
its own, so that one may be looked up as well, and nobody has to know how often an id was replaced.
"""

import hmac
import re
from typing import Final

import msgspec

_PSEUDONYM: Final = re.compile(r"p-[0-9a-f]{32}")


class Pseudonyms:
    """Replaces ids under a key; without one they stay as they are."""

    def __init__(self, key: str = "") -> None:
        self._key = key.encode()

    def __bool__(self) -> bool:
        return bool(self._key)

    def of(self, given: str) -> str:
        """Return the pseudonym of an id."""
        if not self._key or _PSEUDONYM.fullmatch(given):
            return given
        return f"p-{hmac.digest(self._key, given.encode(), 'sha256')[:16].hex()}"

    def of_event(self, value: bytes, user_id: str, anonymous_id: str | None) -> bytes:
        """Return a canonical event, which is valid and has these ids, with their pseudonyms, once."""
        if self.of(user_id) == user_id and (anonymous_id is None or self.of(anonymous_id) == anonymous_id):
            return value
        fields = msgspec.json.decode(value, type=dict[str, msgspec.Raw])
        fields["user_id"] = msgspec.Raw(msgspec.json.encode(self.of(user_id)))
        if anonymous_id is not None:
            fields["anonymous_id"] = msgspec.Raw(msgspec.json.encode(self.of(anonymous_id)))
        return msgspec.json.encode(fields)


NO_PSEUDONYMS: Final = Pseudonyms()
