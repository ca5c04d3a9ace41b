"""Faults over a running pipeline, drawn by seeds, and what must hold after each: `make soak ARGS="--seeds 1-20"`."""

import argparse
import json
import secrets
import signal
import sys
import tempfile
import time
from collections import Counter
from dataclasses import asdict
from pathlib import Path

from tests.soak.faults import FAULTS, NOT_MADE
from tests.soak.run import Outcome, Soak
from tests.soak.steady import steady


def main() -> int:
    """Run the seeds that are named, or for some minutes random ones; 1 if something did not hold."""
    parser = argparse.ArgumentParser(prog="make soak", description=__doc__)
    parser.add_argument("--seeds", type=_seeds, default=[], help="`7`, `1-20` or `1,5,9`; a random one if not given")
    parser.add_argument("--faults", type=int, default=6, help="faults a seed")
    parser.add_argument("--only", default="", help="draw only faults whose names this expression matches")
    parser.add_argument("--minutes", type=float, default=0, help="instead: no faults, and memory at half of capacity")
    parser.add_argument("--list", action="store_true", help="name the faults, and those that are not made")
    parser.add_argument("--dir", type=Path, help="where logs stay; a temporary directory if not given")
    given = parser.parse_args()
    if given.list:
        _say("\n".join([*FAULTS, *(f"not made: {name} ({why})" for name, why in NOT_MADE.items())]))
        return 0
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # what it has started ends with it
    directory = given.dir or Path(tempfile.mkdtemp(prefix="cartcast-soak-"))
    if given.minutes:
        found = steady(directory, given.minutes)
        _say(found.line())
        _say(json.dumps(asdict(found)))
        return 0 if found.holds else 1
    began, outcomes = time.monotonic(), []
    with Soak(directory) as soak:
        for seed in given.seeds or [secrets.randbelow(10**6)]:
            _say(f"seed {seed}")
            outcomes.append(soak.run(seed, given.faults, given.only))
            _say(_line(outcomes[-1]))
    summary = _summary(outcomes, time.monotonic() - began)
    _say(f"{summary['seeds']} seeds, {summary['failed']} failed, logs in {directory}")
    _say("\n".join(f"  {count:4} {name}" for name, count in sorted(summary["faults"].items())))
    _say(json.dumps(summary))
    return 1 if summary["failed"] else 0


def _seeds(text: str) -> list[int]:
    seeds: list[int] = []
    for part in text.split(","):
        first, _, last = part.partition("-")
        seeds += range(int(first), int(last or first) + 1)
    return seeds


def _line(outcome: Outcome) -> str:
    figures = ", ".join(f"{count} {name}" for name, count in sorted(outcome.notes.items()) if count)
    verdict = "holds" if not outcome.problems else "DOES NOT HOLD"
    lines = [f"  seed {outcome.seed} {verdict} after {', '.join(outcome.faults)} ({outcome.seconds:.0f} s; {figures})"]
    return "\n".join([*lines, *(f"    {problem}" for problem in outcome.problems)])


def _summary(outcomes: list[Outcome], seconds: float) -> dict[str, object]:
    notes: Counter[str] = Counter()
    for outcome in outcomes:
        notes += outcome.notes
    return {
        "seeds": len(outcomes),
        "failed": [outcome.seed for outcome in outcomes if outcome.problems],
        "seconds": round(seconds),
        "notes": notes,
        "faults": Counter(name for outcome in outcomes for name in outcome.faults),
    }


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
