"""What is a recommendation of this application's workers, and what a stranger wrote."""

import json

import pytest

from sinks.blocks import RecordRefusedError
from sinks.judge import DISAGREES, NO_OBJECT, OTHER_KEY, ROW, STRANGER
from sinks.recommendations import RecommendationJudge
from sinks.table import identity
from tests.harness.memory_kafka import MemoryRecord, coordinates
from tests.harness.records import recommendation_fields, score_fields

judge = RecommendationJudge("events", 3)


def record(key=b"u", value=None, **changes):
    value = json.dumps(recommendation_fields(3, 5, **changes)).encode() if value is None else value
    return MemoryRecord(3, 0, value, coordinates("events", 3, 5), key)


def test_a_recommendation_is_a_row_of_its_source_offset():
    assert judge(record()).key == (5, identity("u", "e3-5"))
    assert judge(record(added_later={"by": ["a newer version"]})).source_offset == 5


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"value": b"{"}, (STRANGER, NO_OBJECT)),
        ({"key": b"v"}, (STRANGER, OTHER_KEY)),
        ({"source_offset": 6}, (STRANGER, DISAGREES)),
        ({"event_time": 1}, (ROW, "column event_time: out of range")),
        ({"recommended_at": 1}, (ROW, "column recommended_at: out of range")),
        (
            {"items": [{"item_id": 1, "score": 1}]},
            (STRANGER, "value: Expected `str`, got `int` - at `$.items[0].item_id`"),
        ),
        ({"value": json.dumps(score_fields(3, 5)).encode()}, (STRANGER, "value: Object missing required field `goal`")),
    ],
)
def test_anything_else_is_refused(changes, expected):
    with pytest.raises(RecordRefusedError) as refused:
        judge(record(**changes))
    assert (refused.value.reason, refused.value.error) == expected


@pytest.mark.parametrize("levels", [9, 100_000])
def test_what_nests_deeply_is_refused(levels):
    value = json.dumps(recommendation_fields(3, 5, deep="x")).encode().replace(b'"x"', b"[" * levels + b"]" * levels)
    with pytest.raises(RecordRefusedError) as refused:
        judge(record(value=value))
    assert refused.value.reason == STRANGER
