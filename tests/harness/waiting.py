"""Waiting for what comes by itself: for as long as it takes, up to a limit that only what hangs reaches."""

import time
from collections.abc import Callable

from confluent_kafka import Consumer

DEADLINE_SECONDS = 240.0
"""Below pytest's own timeout, so that a test which waits in vain says what for."""


def eventually(condition: Callable[[], object], what: str, *, found: Callable[[], object] = lambda: "") -> None:
    """Return once `condition` holds; `found` is what a failure shows of the state of things.

    It asks the less often the longer it waits: an answer costs Kafka or ClickHouse CPU that what is awaited needs.
    """
    begun = time.monotonic()
    while not condition():
        waited = time.monotonic() - begun
        assert waited < DEADLINE_SECONDS, f"waited in vain for {what}: {found()}"
        time.sleep(min(0.02 + 0.05 * waited, 0.1))


def has_partitions(consumer: Consumer) -> bool:
    """Let a consumer go on with joining its group; whether the group has given it partitions.

    Of a new topic it may be told first, by a message, that nobody knows it yet.
    """
    consumer.poll(0.1)
    return bool(consumer.assignment())
