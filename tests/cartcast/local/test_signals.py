import os
import signal

import pytest

from cartcast.local.signals import STOP_SIGNALS, StopRequested, stop_signals_held, stop_signals_raise


def send(number: signal.Signals) -> None:
    os.kill(os.getpid(), number)


@pytest.mark.parametrize("number", STOP_SIGNALS)
def test_a_stop_signal_raises(number: signal.Signals) -> None:
    with pytest.raises(StopRequested), stop_signals_raise():
        send(number)


def test_a_second_signal_does_not_break_off_the_clean_up() -> None:
    cleaned = []

    def interrupted_twice() -> None:
        with stop_signals_raise():
            try:
                send(signal.SIGTERM)
            finally:
                send(signal.SIGINT)
                cleaned.append("all")

    with pytest.raises(StopRequested):
        interrupted_twice()
    assert cleaned == ["all"]


def test_a_held_signal_is_raised_when_the_hold_ends() -> None:
    reached = []

    def held_twice() -> None:
        with stop_signals_raise():
            with stop_signals_held():
                with stop_signals_held():
                    send(signal.SIGTERM)
                reached.append("still held")
            reached.append("never")

    with pytest.raises(StopRequested):
        held_twice()
    assert reached == ["still held"]


def test_a_failure_under_way_is_not_replaced_by_a_held_signal() -> None:
    def failing() -> None:
        with stop_signals_raise(), stop_signals_held():
            send(signal.SIGTERM)
            raise ValueError("first")

    with pytest.raises(ValueError, match="first"):
        failing()


def test_the_old_handlers_come_back() -> None:
    before = [signal.getsignal(number) for number in STOP_SIGNALS]
    with stop_signals_raise():
        assert [signal.getsignal(number) for number in STOP_SIGNALS] != before
    assert [signal.getsignal(number) for number in STOP_SIGNALS] == before


def test_each_block_can_be_stopped_anew() -> None:
    for _ in range(2):
        with pytest.raises(StopRequested), stop_signals_raise():
            send(signal.SIGTERM)
