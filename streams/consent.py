"""Consent: which events may be scored, by what their context says of the shopper's wishes.

`context.consent` of an event is true or false, or an object of purposes, such as `{"personalization": true}`; of
Segment's, which has the purposes one level deeper, as well. GA4's say it in `privacy_info` or `consent`. Anything else
than these allows nothing. An event that is not allowed is counted, and nothing else: no state, score, dead letter or
row comes of it.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from operator import attrgetter
from typing import Any, Final

import msgspec
import numpy as np

from model.batch import EventBatch
from model.core.byte_strings import ByteStrings
from model.formats.ga4 import consent_of
from model.formats.records import Decode
from model.validate import Reject

CONSENT: Final = "consent"
"""Reason of an event that the shopper's wishes do not allow; it has no dead letter."""
_ERROR: Final = "the shopper does not consent"
_NAMED: Final = re.compile(rb'"(?:consent|privacy_info)"\s*:')
_CATEGORIES: Final = "categoryPreferences"


class _Context(msgspec.Struct):
    consent: Any = None


class _Event(msgspec.Struct):
    context: _Context | None = None
    consent: Any = None
    privacy_info: Any = None


_decode: Final = msgspec.json.Decoder(_Event).decode


@dataclass(frozen=True, slots=True)
class Consent:
    """What is asked of events; `decode` reads those that are allowed."""

    decode: Decode
    purposes: frozenset[str] = field(default_factory=frozenset)
    """Which ones must be consented to; if none is named, all that an event names."""
    is_required: bool = False
    """Whether an event that says nothing is not allowed."""

    def __call__(
        self, values: Sequence[bytes | None], keys: Sequence[bytes | None] | None
    ) -> tuple[EventBatch, list[Reject]]:
        """Return the events that are allowed, and rejects, of reason CONSENT for the others."""
        batch, rejects = self.decode(values, keys)
        if not (self.is_required or _names_consent(values)):
            return batch, rejects
        refused = {place for place, value in enumerate(values) if value is not None and not self._allows(value)}
        if not refused:
            return batch, rejects
        kept = np.flatnonzero([position not in refused for position in batch.positions.tolist()])
        others = [reject for reject in rejects if reject.position not in refused]
        unwanted = [Reject(place, CONSENT, _ERROR) for place in refused]
        return batch.take(kept), sorted([*others, *unwanted], key=attrgetter("position"))

    def _allows(self, value: bytes) -> bool:
        """Whether a record may be scored; one that names consent and cannot be read allows nothing."""
        if _NAMED.search(value) is None:
            return not self.is_required
        try:
            event = _decode(value)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return False
        given = None if event.context is None else event.context.consent
        if given is None:
            given = consent_of({"consent": event.consent, "privacy_info": event.privacy_info})
        if given is None:
            return not self.is_required
        if isinstance(given, dict):
            wishes = given[_CATEGORIES] if isinstance(given.get(_CATEGORIES), dict) else given
            return bool(wishes) and all(wishes.get(purpose) is True for purpose in self.purposes or wishes)
        return given is True


def _names_consent(values: Sequence[bytes | None]) -> bool:
    """Whether any record may say something; one pass over the bytes, without a copy."""
    if not isinstance(values, ByteStrings):
        return any(_NAMED.search(value or b"") is not None for value in values)
    spans = values.spans[values.spans[:, 0] >= 0]
    return len(spans) > 0 and _NAMED.search(values.buffer[spans[:, 0].min() : spans[:, 1].max()].data) is not None
