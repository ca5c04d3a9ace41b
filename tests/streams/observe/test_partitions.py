"""Partitions that were added while a worker runs."""

import pytest

from service.errors import RefusedError, UnavailableError
from streams.observe.partitions import PartitionWatch


def watched(*answers):
    """What a watch reports, that gets these answers, and then stops."""
    refusals, left = [], list(answers)

    def check():
        if not left:
            watch.stop()
        elif (answer := left.pop(0)) is not None:
            raise answer

    watch = PartitionWatch(check, refusals.append, seconds=0)
    watch.run()
    return refusals


def test_a_refusal_is_reported_once():
    refusal = RefusedError("five")
    assert watched(None, None, refusal, refusal) == [refusal]


def test_that_kafka_is_away_is_no_refusal():
    assert watched(UnavailableError("away"), None, UnavailableError("away")) == []


def test_a_bug_is_not_taken_for_one():
    with pytest.raises(ZeroDivisionError):
        watched(ZeroDivisionError())
