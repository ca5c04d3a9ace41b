"""The demo's last words, for people and for programs."""

from typing import Any

from cartcast.demo.pace import Pace
from cartcast.demo.run import DemoOptions, DemoResult


def succeeded(result: DemoResult) -> bool:
    """Whether every event came out exactly once; an endless demo that was stopped has not failed."""
    return result.comparison is None or result.comparison.is_exact


def summary_json(options: DemoOptions, result: DemoResult) -> dict[str, Any]:
    """Return the summary; what was not checked, because the demo was stopped, is null."""
    compared, last = result.comparison, result.last
    return {
        "events": last.events,
        "accepted": compared.accepted if compared else None,
        "duplicates": last.duplicates,
        "dead_letters": last.dead_letters,
        "scored": compared.scored if compared else last.scores,
        "stored": compared.stored if compared else last.rows,
        "lost": compared.lost if compared else None,
        "duplicated": compared.duplicated if compared else None,
        "unknown": compared.unknown if compared else None,
        "seconds": round(result.seconds, 3),
        "events_per_second": round(_events_per_second(result), 1),
        "latency_ms": {"p50": result.delay.p50_ms, "p99": result.delay.p99_ms, "max": result.delay.max_ms}
        if result.delay
        else None,
        "rate": options.pace.rate,
        "speed": options.pace.speed,
        "users": options.users,
        "workers": options.workers,
        "complete": compared is not None,
    }


def summary_lines(options: DemoOptions, result: DemoResult) -> list[str]:
    """Return the summary for people."""
    last, compared, delay = result.last, result.comparison, result.delay
    speed = f"{_events_per_second(result):,.0f} events/s"
    lines = [f"{last.events:,} events in {result.seconds:.1f} s, first event produced to last row stored: {speed}"]
    if compared is None:
        lines.append(f"stopped with {last.scores:,} scores and {last.rows:,} rows; not checked further")
    else:
        lines.append(
            f"{compared.accepted:,} accepted, {compared.duplicates:,} duplicates, {compared.dead_letters:,} dead "
            f"letters: {compared.scored:,} scores, {compared.stored:,} rows"
        )
        lines.append(f"lost: {compared.lost:,}   duplicated: {compared.duplicated:,}   unknown: {compared.unknown:,}")
    if delay is not None:
        queueing = " (at full speed, most of it in the queue)" if options.pace == Pace() else ""
        lines.append(f"event to score: p50 {delay.p50_ms:,.0f} ms, p99 {delay.p99_ms:,.0f} ms{queueing}")
    return lines


def _events_per_second(result: DemoResult) -> float:
    return result.last.events / result.seconds if result.seconds else 0.0
