"""The page docs/capacity.md: written by hand, but for what `cartcast size` prints and what was measured."""

import re
import shlex
from dataclasses import fields
from pathlib import Path
from typing import Final

from cartcast.commands.size import as_text
from cartcast.sizing.coefficients import Coefficients, load_coefficients
from cartcast.sizing.demand import Demand
from cartcast.sizing.plan import plan

PAGE: Final = Path(__file__).parents[2] / "docs" / "capacity.md"
_QUOTED: Final = re.compile(r"^(\$ cartcast size ([^\n]+)\n)(.*?)(?=^```$)", re.MULTILINE | re.DOTALL)
_TABLE: Final = re.compile(r"^\| coefficient .*?(?=^\n)", re.MULTILINE | re.DOTALL)
_MEANINGS: Final = {
    "worker_cpu_us_an_event": "worker, microseconds of CPU an event",
    "sink_cpu_us_an_event": "sink, the same",
    "broker_cpu_us_an_event": "Kafka broker, the same, one copy of everything",
    "clickhouse_cpu_us_an_event": "ClickHouse, the same: insert, merges, outcomes",
    "worker_base_bytes": "memory of a worker without shoppers, bytes",
    "sink_bytes": "memory of a sink at full speed, bytes",
    "bytes_a_user_in_memory": "memory of one shopper's state in the worker, bytes",
    "event_json_bytes": "an event as JSON, bytes",
    "event_disk_bytes": "an event on its topic (lz4), bytes",
    "score_disk_bytes": "a score on its topic (lz4), bytes",
    "state_disk_bytes": "a state in the changelog (lz4), bytes",
    "row_disk_bytes": "a row of the table with its projections, bytes",
    "restore_cpu_us_a_record": "reading a state back, microseconds of CPU",
}


def page() -> str:
    """Return the page with its quotes and its table as the code has them now."""
    measured, text = load_coefficients(), PAGE.read_text(encoding="utf-8")
    quoted = _QUOTED.sub(lambda found: found[1] + _printed(found[2], measured), text)
    return _TABLE.sub(lambda _: _table(measured), quoted)


def _printed(arguments: str, measured: Coefficients) -> str:
    words = shlex.split(arguments)
    asked = {
        name.removeprefix("--").replace("-", "_"): float(value)
        for name, value in zip(words[::2], words[1::2], strict=True)
    }
    return as_text(plan(Demand(**asked), measured), measured)


def _table(measured: Coefficients) -> str:
    names = [field.name for field in fields(Coefficients) if field.name in _MEANINGS]
    rows = [f"| {_MEANINGS[name]} | {getattr(measured, name):,.10g} |\n" for name in names]
    run = f"{measured.machine}, load {measured.load_before:g} before; {measured.date}; `{measured.command}`"
    rows.append(f"| measured on | {run} |\n")
    return "".join(["| coefficient | measured |\n", "| --- | --- |\n", *rows])
