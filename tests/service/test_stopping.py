"""A process that is told to stop ends, wherever it waits."""

import signal
import subprocess
import sys
from threading import Event

import pytest

from service.stopping import stop_event

HANGS_IN_C = """
import ctypes, os, signal, threading
from service.stopping import stop_event

libc, mutex = ctypes.CDLL(None), ctypes.create_string_buffer(128)
with stop_event(0.5, "it hangs"):
    libc.pthread_mutex_lock(mutex)
    threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGTERM)).start()
    libc.pthread_mutex_lock(mutex)  # no signal interrupts this
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_sets_the_event_and_what_ends_in_time_is_left_alone(number):
    ended = []
    before = signal.getsignal(number)
    with stop_event(60.0, "too late", ended.append) as stop:
        assert not stop.is_set()
        signal.raise_signal(number)
        assert stop.wait()
    assert ended == []
    assert signal.getsignal(number) is before


def test_without_a_signal_nothing_has_a_limit():
    ended = []
    with stop_event(0.0, "too late", ended.append) as stop:
        assert not stop.wait(0.2)
    assert ended == []


def test_other_signals_do_not_count():
    ended, came = [], Event()
    before = signal.signal(signal.SIGUSR1, lambda *_: came.set())
    try:
        with stop_event(0.0, "too late", ended.append) as stop:
            signal.raise_signal(signal.SIGUSR1)
            assert came.wait()
            assert not stop.wait(0.2)
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert ended == []


def test_a_process_that_hangs_in_a_c_call_ends_with_a_line():
    ended = subprocess.run([sys.executable, "-c", HANGS_IN_C], stderr=subprocess.PIPE, check=False)
    assert (ended.returncode, ended.stderr) == (1, b"cartcast: it hangs\n")
