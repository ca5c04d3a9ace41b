"""What a run has found, as tables for people; and docs/performance.md, whose figures are of one run.

`.venv/bin/python -m benchmarks.report` writes the page and its picture from build/bench.json.
"""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final

from benchmarks.picture import Bar, chart
from benchmarks.results import Contestant, Pipeline, Recommendation, Results, Speed, States, read_results

ROOT: Final = Path(__file__).parents[1]
PAGE: Final = ROOT / "docs" / "performance.md"
PICTURE: Final = ROOT / "docs" / "performance.svg"
LATEST: Final = ROOT / "build" / "bench.json"
BEGIN: Final = "<!-- figures: written by `make bench`, do not edit -->"
END: Final = "<!-- end of the figures -->"
PARTS: Final = {
    "producer": "producer (the shop's)",
    "broker": "Kafka",
    "worker": "worker",
    "sink": "sink",
    "clickhouse": "ClickHouse engine",
}
GB: Final = 1e9
MILLION: Final = 1_000_000


def write_page(results: Results, page: Path = PAGE, picture: Path = PICTURE) -> None:
    """Put a run's figures into the page, between its two marks, and draw its picture."""
    before, _, rest = page.read_text(encoding="utf-8").partition(BEGIN)
    _, _, after = rest.partition(END)
    shown = f"![Events a second of each program, and its CPU]({picture.name})\n\n{figures(results)}"
    page.write_text(f"{before}{BEGIN}\n\n{shown}\n\n{END}{after}", encoding="utf-8")
    bars = [_bar(each.name, speed) for each in results.contestants if (speed := each.speed) is not None]
    picture.write_text(chart("events a second; CPU of program and broker an event", bars), encoding="utf-8")


def figures(results: Results) -> str:
    """Return everything that was found, as Markdown."""
    blocks = [_where(results)]
    if results.contestants:
        blocks.append(_contestants(results))
    if results.stages_us:
        blocks.append(_stages(results.stages_us))
    if results.pipeline is not None:
        blocks.append(_pipeline(results.pipeline, results))
    if results.delays:
        blocks.append(_delays(results))
    blocks.append(_worker_figures(results))
    if results.recommendations:
        blocks.append(_recommendations(results.recommendations))
    blocks.append(_failures(results))
    return "\n\n".join(block for block in blocks if block)


def of_a_speed(speed: Speed) -> str:
    """Return a speed in one line."""
    return (
        f"{speed.events_per_second:,.0f} events/s, CPU {speed.program_us:.2f} us an event and {speed.broker_us:.2f} of "
        f"the broker, {speed.memory_bytes / GB:.2f} GB"
    )


def _bar(name: str, speed: Speed) -> Bar:
    return Bar(name, speed.events_per_second, f"{speed.events_per_second:,.0f}; {speed.cpu_us:,.1f} us")


def _where(results: Results) -> str:
    machine, size = results.machine, results.size
    hasty = " A quick run, which says that it works: Java programs are not warm in it." if size.mode == "quick" else ""
    runs = "one run" if size.repetitions == 1 else f"median of {size.repetitions} runs"
    return (
        f"`{results.command}` on {machine.cores} cores of {machine.processor}, {machine.memory_bytes / GB:.0f} GB, "
        f"{machine.system}, Python {machine.python}, Cartcast {results.version}, {results.date}; load average before: "
        f"{machine.load_before}. Each program reads {size.warm_up_events:,} events that are not measured and then "
        f"{size.events:,} events of {size.event_bytes:.0f} bytes (key and value) of {size.shoppers:,} shoppers from "
        f"{size.partitions} partitions; {runs}.{hasty}"
    )


def _contestants(results: Results) -> str:
    head = (
        "program",
        "events/s",
        "CPU us an event",
        "of the broker",
        "memory, GB",
        "start to first score, s",
        f"$ a million scores, at ${results.core_hour_dollars:g} an hour of a core",
    )
    table = _table(head, (_contestant_row(each, results) for each in results.contestants))
    how = "\n".join(f"- **{each.name}**: {each.how}." for each in results.contestants)
    return f"{table}\n\n{how}"


def _contestant_row(contestant: Contestant, results: Results) -> Sequence[str]:
    speed = contestant.speed
    if speed is None:
        return (contestant.name, "failed, see below", "", "", "", "", "")
    return (
        contestant.name,
        f"{speed.events_per_second:,.0f}",
        f"{speed.program_us:.2f}",
        f"{speed.broker_us:.2f}",
        f"{speed.memory_bytes / GB:.2f}",
        f"{speed.start_seconds:.1f}",
        f"{results.dollars_a_million(speed.cpu_us):.5f}",
    )


def _stages(stages_us: dict[str, float]) -> str:
    rows = ((stage, f"{cost:.2f}") for stage, cost in stages_us.items() if cost)
    return _table(("stage of the worker", "wall time, us an event"), rows)


def _pipeline(pipeline: Pipeline, results: Results) -> str:
    rows = [
        (words, f"{pipeline.cpu_us[part]:.2f}", _gigabytes(pipeline.memory_bytes.get(part)))
        for part, words in PARTS.items()
        if part in pipeline.cpu_us
    ]
    said = (
        f"The whole pipeline, from the first event produced to the last row in ClickHouse: "
        f"{pipeline.events_per_second:,.0f} events/s; without the producer "
        f"${results.dollars_a_million(pipeline.scoring_cpu_us):.5f} a million scores that are stored."
    )
    return f"{said}\n\n{_table(('part', 'CPU us an event', 'memory, GB'), rows)}"


def _delays(results: Results) -> str:
    rows = (
        (
            delay.load,
            f"{delay.events_per_second:,.0f}",
            f"{delay.p50_ms:.0f}",
            f"{delay.p99_ms:.0f}",
            f"{delay.max_ms:.0f}",
            f"{delay.scores:,}",
        )
        for delay in results.delays
    )
    return _table(("load", "events/s", "p50 ms", "p99 ms", "longest ms", "scores"), rows)


def _worker_figures(results: Results) -> str:
    rows = list(_state_rows(results.states)) if results.states is not None else []
    many = results.many_shoppers
    if many is not None:
        rows += [
            (f"{many.shoppers:,} shoppers streamed through", many.ended),
            ("memory of the worker then", f"{many.memory_bytes / GB:.1f} GB"),
            ("events/s of it", f"{many.events_per_second:,.0f}"),
        ]
    return _table(("one worker", "measured"), rows) if rows else ""


def _state_rows(states: States) -> Iterator[tuple[str, str]]:
    yield "memory a shopper", f"{states.memory_bytes_a_shopper:,.0f} bytes"
    yield "changelog a shopper, on the broker's disk", f"{states.changelog_bytes_a_shopper:,.0f} bytes"
    yield f"restore of {states.shoppers:,} shoppers", f"{states.restore_seconds:.1f} s"
    if states.shoppers != MILLION:
        yield "the same, a million shoppers", f"{states.restore_seconds_a_million:.1f} s"
    yield "start of that worker until it is ready", f"{states.ready_seconds:.1f} s"


def _recommendations(found: Sequence[Recommendation]) -> str:
    head = (f"{found[0].listed} items for a shopper of {found[0].events} events", "CPU ms")
    rows = ((f"of {each.items:,}", f"{each.cpu_ms:.2f}") for each in found)
    return _table(head, rows)


def _failures(results: Results) -> str:
    failed = {each.name: each.failure for each in results.contestants if each.failure} | results.failures
    return "\n".join(f"- {name} failed: {failure}" for name, failure in failed.items())


def _gigabytes(found: float | None) -> str:
    return "" if found is None else f"{found / GB:.2f}"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def main() -> None:
    write_page(read_results(LATEST.read_text(encoding="utf-8")))


if __name__ == "__main__":
    main()
