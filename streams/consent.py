"""Consent: records are scored as far as `model.consent` allows it.

GA4's say in `privacy_info` or `consent` what others say in `context.consent`. An event that is not allowed is counted,
and nothing else: no state, score, dead letter or row comes of it.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Any, Final

import msgspec
import numpy as np

from model.batch import EventBatch
from model.consent import CONSENT, DEFAULT_CONSENT, NO_CONSENT, ConsentRule
from model.core.byte_strings import ByteStrings
from model.formats.ga4 import consent_of
from model.formats.records import Decode
from model.validate import Reject

_NAMED: Final = re.compile(rb'"(?:consent|privacy_info)"\s*:')


class _Context(msgspec.Struct):
    consent: Any = None


class _Event(msgspec.Struct):
    context: _Context | None = None
    consent: Any = None
    privacy_info: Any = None


_decode: Final = msgspec.json.Decoder(_Event).decode


@dataclass(frozen=True, slots=True)
class Consent:
    """Reads those records that a rule allows, by `decode`."""

    decode: Decode
    rule: ConsentRule = DEFAULT_CONSENT

    def __call__(
        self, values: Sequence[bytes | None], keys: Sequence[bytes | None] | None
    ) -> tuple[EventBatch, list[Reject]]:
        """Return the events that are allowed, and rejects, of reason CONSENT for the others."""
        batch, rejects = self.decode(values, keys)
        if not (self.rule.is_required or _names_consent(values)):
            return batch, rejects
        refused = {place for place, value in enumerate(values) if value is not None and not self._allows(value)}
        if not refused:
            return batch, rejects
        kept = np.flatnonzero([position not in refused for position in batch.positions.tolist()])
        others = [reject for reject in rejects if reject.position not in refused]
        unwanted = [Reject(place, CONSENT, NO_CONSENT) for place in refused]
        return batch.take(kept), sorted([*others, *unwanted], key=attrgetter("position"))

    def _allows(self, value: bytes) -> bool:
        """Whether a record may be scored; one that names consent and cannot be read allows nothing."""
        if _NAMED.search(value) is None:
            return not self.rule.is_required
        try:
            event = _decode(value)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return False
        given = None if event.context is None else event.context.consent
        if given is None:
            given = consent_of({"consent": event.consent, "privacy_info": event.privacy_info})
        return self.rule.allows(given)


def _names_consent(values: Sequence[bytes | None]) -> bool:
    """Whether any record may say something; one pass over the bytes, without a copy."""
    if not isinstance(values, ByteStrings):
        return any(_NAMED.search(value or b"") is not None for value in values)
    spans = values.spans[values.spans[:, 0] >= 0]
    return len(spans) > 0 and _NAMED.search(values.buffer[spans[:, 0].min() : spans[:, 1].max()].data) is not None
