"""What `/livez` and `/readyz` of the worker check."""

from collections.abc import Callable

from service.health import OK, Health
from service.liveness import Liveness


def worker_health(
    liveness: Liveness,
    *,
    restored: Callable[[], bool],
    kafka_answers: Callable[[], bool],
    stopping: Callable[[], bool],
    stalled_seconds: float,
) -> Health:
    """Return the checks.

    Live: the loop turns, and commits advance or wait for Kafka, within `stalled_seconds` (0: for ever). Ready: the
    worker is in its consumer group, possibly as a standby without partitions; `restored`: the states of every
    partition that it owns are in memory. (The model is warm before there is a page that could say so.)
    """

    def is_too_long(seconds: float) -> bool:
        return 0 < stalled_seconds < seconds

    def loop() -> str:
        seconds = liveness.silent_seconds
        return f"has not turned for {seconds:.0f} seconds" if is_too_long(seconds) else OK

    def commits() -> str:
        seconds = liveness.stalled_seconds
        return f"none for {seconds:.0f} seconds while records wait" if is_too_long(seconds) else OK

    return Health(
        live_checks={"loop": loop, "commits": commits},
        ready_checks={
            "model": lambda: OK,
            "group": lambda: OK if liveness.assigned else "no assignment yet",
            "states": lambda: OK if restored() else "being restored from the changelog",
            "kafka": lambda: OK if kafka_answers() else "does not answer",
            "running": lambda: "stopping" if stopping() else OK,
        },
    )
