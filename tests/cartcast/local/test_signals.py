import os
import signal
import time

import pytest

from cartcast.local.signals import (
    LOOK_AGAIN_SECONDS,
    STOP_SIGNALS,
    StopRequested,
    acknowledge_stop,
    stop_signals_held,
    stop_signals_raise,
)

TAKEN = (*STOP_SIGNALS, signal.SIGALRM)


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


def swallow(number: signal.Signals) -> None:
    """What NumPy does with an exception in an attribute look-up that a signal happens to interrupt."""
    try:
        send(number)
    except StopRequested:
        return
    raise AssertionError("nothing to swallow")


def test_a_swallowed_stop_is_raised_again() -> None:
    def stopped() -> None:
        with stop_signals_raise():
            swallow(signal.SIGTERM)
            time.sleep(60)

    with pytest.raises(StopRequested):
        stopped()


def test_a_stop_that_is_swallowed_twice_is_raised_again() -> None:
    def stopped() -> None:
        with stop_signals_raise():
            swallow(signal.SIGTERM)
            swallow(signal.SIGINT)
            time.sleep(60)

    with pytest.raises(StopRequested):
        stopped()


def test_a_long_clean_up_is_not_broken_off() -> None:
    cleaned = []

    def stopped() -> None:
        with stop_signals_raise():
            try:
                send(signal.SIGTERM)
            finally:
                time.sleep(3 * LOOK_AGAIN_SECONDS)
                cleaned.append("all")

    with pytest.raises(StopRequested):
        stopped()
    assert cleaned == ["all"]


def test_a_stop_that_was_acknowledged_is_over() -> None:
    with stop_signals_raise():
        try:
            send(signal.SIGTERM)
        except StopRequested:
            acknowledge_stop()
        time.sleep(3 * LOOK_AGAIN_SECONDS)
        send(signal.SIGINT)


def test_a_held_signal_that_is_swallowed_is_raised_again() -> None:
    def stopped() -> None:
        with stop_signals_raise():
            try:
                with stop_signals_held():
                    send(signal.SIGTERM)
            except StopRequested:
                pass
            with stop_signals_held():
                time.sleep(3 * LOOK_AGAIN_SECONDS)
                reached.append("held")
            time.sleep(60)

    reached: list[str] = []
    with pytest.raises(StopRequested):
        stopped()
    assert reached == ["held"]


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
    before = [signal.getsignal(number) for number in TAKEN]
    with stop_signals_raise():
        assert [signal.getsignal(number) for number in TAKEN] != before
    assert [signal.getsignal(number) for number in TAKEN] == before


def test_the_timer_comes_back() -> None:
    before = signal.setitimer(signal.ITIMER_REAL, 1000, 500)
    try:
        with stop_signals_raise():
            assert signal.getitimer(signal.ITIMER_REAL) == (0, 0)
        delay, interval = signal.getitimer(signal.ITIMER_REAL)
    finally:
        signal.setitimer(signal.ITIMER_REAL, *before)
    assert (round(delay, -1), interval) == (1000, 500)


def test_each_block_can_be_stopped_anew() -> None:
    for _ in range(2):
        with pytest.raises(StopRequested), stop_signals_raise():
            send(signal.SIGTERM)
