"""Which events may be scored and learnt from, by what their context says of the shopper's wishes."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from model.events import Event
from model.validate import BadRow

CONSENT: Final = "consent"
"""Reason of an event that the shopper's wishes do not allow."""
NO_CONSENT: Final = "the shopper does not consent"
_CATEGORIES: Final = "categoryPreferences"
_LEFT_OUT: Final = BadRow(0, CONSENT, NO_CONSENT, b"")


@dataclass(frozen=True, slots=True)
class ConsentRule:
    """What is asked of events.

    `context.consent` is true or false, or an object of purposes, such as `{"personalization": true}`; of Segment's,
    which has the purposes one level deeper, as well. Anything else than these allows nothing.
    """

    purposes: frozenset[str] = frozenset()
    """Which ones must be consented to; if none is named, all that an event names."""
    is_required: bool = False
    """Whether an event that says nothing is not allowed."""

    def allows(self, wishes: object) -> bool:
        """Whether an event may be used that says this, None for nothing."""
        if wishes is None:
            return not self.is_required
        if isinstance(wishes, dict):
            by_purpose = wishes[_CATEGORIES] if isinstance(wishes.get(_CATEGORIES), dict) else wishes
            return bool(by_purpose) and all(by_purpose.get(name) is True for name in self.purposes or by_purpose)
        return wishes is True

    def allowed(self, rows: Iterable[Event | BadRow]) -> Iterator[Event | BadRow]:
        """Yield rows, and in the place of an event that is not allowed a bad row of reason CONSENT, without content."""
        for row in rows:
            is_allowed = isinstance(row, BadRow) or self.allows((row.context or {}).get(CONSENT))
            yield row if is_allowed else _LEFT_OUT


DEFAULT_CONSENT: Final = ConsentRule()
