"""Loopback ports."""

import fcntl
import random
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from service.errors import LocalStackError

LOOPBACK = "127.0.0.1"
UNPREFERRED = range(20_000, 32_000)
"""Below what Linux and macOS give to outgoing connections, one of which could take a port before its server does."""
ATTEMPTS = 100


@contextmanager
def claimed_port(preferred: int = 0) -> Iterator[int]:
    """Own `preferred` if nobody listens there or is about to, else any other port.

    A server binds its port seconds after it was chosen, so that another stack that starts meanwhile would find it
    free too; a lock file a port keeps stacks of this machine apart. Raises LocalStackError if there is no port.
    """
    for port in ([preferred] if preferred else []) + random.sample(UNPREFERRED, ATTEMPTS):
        with suppress(OSError):
            free = free_port(port)
            if (claim := _claim(free)) is not None:
                break
    else:
        raise LocalStackError("there is no free port on the loopback interface: stop something that listens there")
    with claim:
        yield free


def free_port(port: int = 0) -> int:
    """Return `port`, or one that the system chooses for 0, if nobody listens there now; raises OSError."""
    with socket.socket() as probe:
        # A server may take a port whose old connections still linger in TIME_WAIT; so may this probe.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind((LOOPBACK, port))
        return int(probe.getsockname()[1])


def _claim(port: int) -> IO[bytes] | None:
    """Return the port's locked file, which is free again once it is closed; None if it is somebody else's."""
    try:
        claim = (Path(tempfile.gettempdir()) / f"cartcast-port-{port}.lock").open("ab")
    except OSError:  # another user's
        return None
    try:
        fcntl.flock(claim, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        claim.close()
        return None
    return claim
