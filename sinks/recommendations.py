"""What a record of the topic of recommendations is: one that this application's workers published, or a stranger's."""

from typing import Any, Final

import msgspec

from sinks.judge import Result, ResultJudge, Text, check_time

_MOST_NESTED: Final = 8
"""Levels of lists and objects; a recommendation has six."""


class _StoredEvent(msgspec.Struct):
    event_time: int
    type: str
    event_hash: str


class _Reason(msgspec.Struct):
    kind: str
    event: _StoredEvent | None = None
    item_id: str | None = None
    title: str | None = None
    contribution: float | None = None


class _Item(msgspec.Struct):
    item_id: str
    score: float
    title: str | None = None
    category: str | None = None
    price: float | None = None
    why: list[_Reason] = []


class _Recommendation(Result):
    """The fields whose types are those of every version of a recommendation."""

    goal: Text
    items: list[_Item]
    recommended_at: int
    source_timestamp: int = 0


def _nested(levels: int) -> Any:  # noqa: ANN401 - a type of msgspec
    """Return the type of any JSON with so many levels of lists and objects at most."""
    kind: Any = str | float | bool | None
    for _ in range(levels):
        kind = str | float | bool | list[kind] | dict[str, kind] | None
    return kind


_decode: Final = msgspec.json.Decoder(_Recommendation).decode
_check_nesting: Final = msgspec.json.Decoder(_nested(_MOST_NESTED)).decode


class RecommendationJudge(ResultJudge):
    """Judges recommendations; no engine has to follow what nests deeply."""

    def _decoded(self, value: bytes) -> _Recommendation:
        _check_nesting(value)
        return _decode(value)

    def _check_bounds(self, result: _Recommendation) -> None:
        check_time("event_time", result.event_time)
        check_time("recommended_at", result.recommended_at)
