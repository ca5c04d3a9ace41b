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

    Live: the loop turns, commits advance or wait for Kafka, and the consumer group assigns partitions, within
    `stalled_seconds` (0: for ever). Ready: the worker is in its consumer group, possibly as a standby without
    partitions; `restored`: the states of every partition that it owns are in memory. (The model is warm before there
    is a page that could say so.)
    """

    def is_too_long(seconds: float) -> bool:
        return 0 < stalled_seconds < seconds

    def loop() -> str:
        seconds = liveness.silent_seconds
        return f"has not turned for {seconds:.0f} seconds" if is_too_long(seconds) else OK

    def commits() -> str:
        seconds = liveness.stalled_seconds
        return f"none for {seconds:.0f} seconds while records wait" if is_too_long(seconds) else OK

    def membership() -> str:
        seconds = liveness.unassigned_seconds
        return f"no assignment for {seconds:.0f} seconds{_why(liveness)}" if is_too_long(seconds) else OK

    return Health(
        live_checks={"loop": loop, "commits": commits, "group": membership},
        ready_checks={
            "model": lambda: OK,
            "group": lambda: OK if liveness.assigned else f"no assignment yet{_why(liveness)}",
            "states": lambda: OK if restored() else "being restored from the changelog",
            "kafka": lambda: OK if kafka_answers() else "does not answer",
            "running": lambda: "stopping" if stopping() else OK,
        },
    )


def _why(liveness: Liveness) -> str:
    return f": refused ({liveness.refusal})" if liveness.refusal else ""
