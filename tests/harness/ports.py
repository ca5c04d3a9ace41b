"""Ports of the loopback interface for servers that a test starts."""

import atexit
from contextlib import ExitStack

from cartcast.local.ports import claimed_port

_claims = ExitStack()
atexit.register(_claims.close)


def new_port() -> int:
    """Return a port where nobody listens, and which no other test and no local stack gets while this process lives."""
    return _claims.enter_context(claimed_port())
