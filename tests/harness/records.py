"""The JSON objects of the topics as tests need them: the fields that must be there, and what a test changes."""

from typing import Any


def event_fields(**changes: Any) -> dict[str, Any]:
    """Return an event with no more than it must have."""
    return {"event_id": "e", "user_id": "u", "type": "view", "ts": 1_511_539_217_000} | changes


def score_fields(partition: int, offset: int, **changes: Any) -> dict[str, Any]:
    """Return the score of the event at a source partition and offset, with no more than it must have."""
    return {
        "user_id": "u",
        "event_id": f"e{partition}-{offset}",
        "event_type": "view",
        "event_time": 1_700_000_000_000 + offset,
        "propensity_session": 0.5,
        "propensity_1h": 0.5,
        "propensity_24h": 0.5,
        "model": "m",
        "source_topic": "events",
        "source_partition": partition,
        "source_offset": offset,
        "scored_at": 1_764_000_000_000,
    } | changes


def recommendation_fields(partition: int, offset: int, **changes: Any) -> dict[str, Any]:
    """Return the recommendation at the event of a source partition and offset."""
    event = {"event_time": 1_700_000_000_000, "type": "view", "event_hash": "0123abcde"}
    why = [{"kind": "event", "event": event, "item_id": "i", "title": "one", "contribution": 0.5}]
    items = [
        {"item_id": "j", "score": 1.25, "title": "two", "category": "c", "price": 9.5, "why": why},
        {"item_id": "k", "score": 1.0, "title": None, "category": None, "price": None, "why": [{"kind": "new"}]},
    ]
    return {
        "user_id": "u",
        "event_id": f"e{partition}-{offset}",
        "event_type": "cart",
        "event_time": 1_700_000_000_000 + offset,
        "goal": "view",
        "model": "m",
        "items": items,
        "source_topic": "events",
        "source_partition": partition,
        "source_offset": offset,
        "source_timestamp": 1_700_000_000_000 + offset,
        "recommended_at": 1_764_000_000_000,
    } | changes
