"""Why a propensity is what it is, asked of a worker's look-up API (docs/api.md)."""

from typing import Final
from urllib.error import HTTPError, URLError
from urllib.parse import quote
from urllib.request import ProxyHandler, Request, build_opener

import msgspec

from dashboard.errors import DashboardError

TIMEOUT_SECONDS: Final = 5.0
MAX_ANSWER_BYTES: Final = 1_000_000

_direct: Final = build_opener(ProxyHandler({}))
"""A proxy that the machine's environment names for the web is not for the worker."""


class NoExplanationError(DashboardError):
    """There is none now; the message says why and what to do."""


class Contribution(msgspec.Struct, frozen=True):
    """A stored event and by how much it moved each horizon's propensity."""

    event_time: int
    type: str
    event_hash: str
    contribution: dict[str, float | None]


class Explanation(msgspec.Struct, frozen=True):
    """What a worker says of one event: `events` are the stored ones up to it, oldest first."""

    model: str
    from_ring: dict[str, float]
    earlier_events: int
    events: list[Contribution]


class _Problem(msgspec.Struct):
    message: str


class _Refusal(msgspec.Struct):
    error: _Problem


def explanation(worker_url: str, user_id: str, event_id: str, *, token: str = "") -> Explanation:
    """Return what moved the propensities after an event. Raises NoExplanationError."""
    user, event = (quote(text.encode("utf-8", "replace"), safe="") for text in (user_id, event_id))
    url = f"{worker_url.rstrip('/')}/v1/users/{user}/explanation?event_id={event}"
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    request = Request(url, headers=headers)  # noqa: S310 - the scheme is checked where it is set
    try:
        with _direct.open(request, timeout=TIMEOUT_SECONDS) as answer:
            return msgspec.json.decode(answer.read(MAX_ANSWER_BYTES), type=Explanation)
    except HTTPError as refused:
        raise NoExplanationError(f"The worker gives none: {_reason(refused)}.") from None
    except (URLError, OSError):
        raise NoExplanationError(
            f"No worker answers at {worker_url}: start cartcast worker, or correct CARTCAST_DASHBOARD__WORKER_URL."
        ) from None
    except msgspec.MsgspecError:
        raise NoExplanationError(f"What answers at {worker_url} is no worker of this version.") from None


def _reason(refused: HTTPError) -> str:
    try:
        return msgspec.json.decode(refused.read(MAX_ANSWER_BYTES), type=_Refusal).error.message
    except (msgspec.MsgspecError, OSError):
        return f"status {refused.code}"
