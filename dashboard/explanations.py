"""Why a propensity is what it is, asked of a worker's look-up API (docs/api.md)."""

from typing import Final

import msgspec

from service.errors import LookUpError, UnavailableError
from service.worker_client import WorkerRefusedError, ask_explanation

TIMEOUT_SECONDS: Final = 5.0


class Contribution(msgspec.Struct, frozen=True):
    """A stored event and by how much it moved each horizon's propensity."""

    event_time: int
    type: str
    event_hash: str
    contribution: dict[str, float | None]


class WorkerExplanation(msgspec.Struct, frozen=True):
    """What a worker says of one event: `events` are the stored ones up to it, oldest first."""

    model: str
    from_ring: dict[str, float]
    earlier_events: int
    events: list[Contribution]


def explanation(worker_url: str, user_id: str, event_id: str, *, token: str = "") -> WorkerExplanation:
    """Return what moved the propensities after an event. Raises LookUpError with a sentence for the page."""
    try:
        return ask_explanation(
            worker_url, user_id, event_id, WorkerExplanation, token=token, timeout_seconds=TIMEOUT_SECONDS
        )
    except UnavailableError:
        raise LookUpError(
            f"No worker answers at {worker_url}: start cartcast worker, or correct CARTCAST_DASHBOARD__WORKER_URL."
        ) from None
    except WorkerRefusedError as refused:
        raise LookUpError(f"The worker gives none: {refused.message}.") from None
