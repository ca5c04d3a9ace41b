"""What runs beside the scores' part: begins and ends with it, and ends it by failing."""

from threading import Event

import pytest

from service.errors import RefusedError
from sinks.observe.background import Background


def until_told(stop):
    stop.wait()


def test_they_run_during_the_block_and_end_with_it():
    begun, ended = Event(), Event()

    def run(stop):
        begun.set()
        stop.wait()
        ended.set()

    with Background({"one": run, "two": until_told})(Event()):
        assert begun.wait()
        assert not ended.is_set()
    assert ended.is_set()


def test_the_failure_of_one_ends_all_and_is_raised():
    def fail(_stop):
        raise RefusedError("the table is missing")

    stop = Event()
    with pytest.raises(RefusedError, match="the table is missing"), Background({"bad": fail, "good": until_told})(stop):
        assert stop.wait()


def test_the_blocks_own_failure_is_the_one_that_is_raised():
    def fail_at_the_end(stop):
        stop.wait()
        raise RefusedError("later")

    with pytest.raises(RefusedError, match="first"), Background({"bad": fail_at_the_end})(Event()):
        raise RefusedError("first")
