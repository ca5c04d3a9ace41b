"""What a look-up is refused with."""

from typing import Final

from streams.lookups.answers import Problem
from streams.lookups.lookup import BusyError, NotStoredError, RestoringError, UnknownShopperError


class ProblemError(Exception):
    """The request is answered with this problem."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.problem = Problem(code, message)


_REFUSALS: Final[dict[type[Exception], tuple[int, str, str]]] = {
    UnknownShopperError: (404, "unknown_user", "no event of this user has been accepted"),
    NotStoredError: (404, "event_not_stored", "the event is not among this user's last 32"),
    RestoringError: (503, "restoring", "the worker is reading its states from the changelog: ask again"),
    BusyError: (503, "busy", "too many explanations or recommendations are asked for at the same time: ask again"),
}
REFUSED: Final = tuple(_REFUSALS)
"""What a look-up raises if the shopper is this worker's and there is no answer."""


def problem_of(refused: Exception) -> ProblemError:
    """Return what one of REFUSED is answered with."""
    return ProblemError(*_REFUSALS[type(refused)])
