"""Why a propensity is what it is, asked of a worker's look-up API (docs/api.md)."""

from typing import Final

import msgspec

from dashboard.asking import asked, check_pipeline
from service.worker_client import ask_explanation

TIMEOUT_SECONDS: Final = 5.0


class Contribution(msgspec.Struct, frozen=True):
    """A stored event and by how much it moved each horizon's propensity."""

    event_time: int
    type: str
    event_hash: str
    contribution: dict[str, float | None]


class AsOf(msgspec.Struct, frozen=True):
    """What a worker says of where its knowledge comes from."""

    topic: str


class WorkerExplanation(msgspec.Struct, frozen=True):
    """What a worker says of one event: `events` are the stored ones up to it, oldest first."""

    model: str
    from_ring: dict[str, float]
    earlier_events: int
    events: list[Contribution]
    as_of: AsOf


def explanation(worker_url: str, user_id: str, event_id: str, topic: str, *, token: str = "") -> WorkerExplanation:
    """Return what moved the propensities after an event of a topic. Raises LookUpError with a sentence for the page."""
    with asked(worker_url):
        found = ask_explanation(
            worker_url, user_id, event_id, WorkerExplanation, token=token, timeout_seconds=TIMEOUT_SECONDS
        )
    check_pipeline(worker_url, found.as_of.topic, [topic])
    return found
