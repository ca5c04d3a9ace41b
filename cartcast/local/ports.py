"""Loopback ports."""

import socket

LOOPBACK = "127.0.0.1"


def free_port(preferred: int = 0) -> int:
    """Return `preferred` if nobody listens there, else a port that the system chose."""
    for port in (preferred, 0):
        with socket.socket() as probe:
            # A server may take a port whose old connections still linger in TIME_WAIT; so may this probe.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((LOOPBACK, port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise OSError("no free port")
