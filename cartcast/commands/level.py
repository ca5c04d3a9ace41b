"""`cartcast level`."""

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from cartcast.commands.shared.checkpoint_lock import sole_writer
from cartcast.commands.shared.options import moment_ms, settings_of
from service.errors import UsageError

if TYPE_CHECKING:
    from model.level import LevelFile, Outcomes

_LEAD_MS: Final = 5 * 60_000
"""How long before it begins a level is written, so that every worker has read it by then."""


def level(
    context: typer.Context,
    checkpoint: Annotated[
        Path | None,
        typer.Option(help="Checkpoint directory that the workers read; default: that of worker.checkpoint."),
    ] = None,
    until: Annotated[
        int | None,
        typer.Option(parser=moment_ms, metavar="TIME", help="Judge by what was known at a time; default: now."),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say the shifts, and write nothing.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as one JSON object.")] = False,
) -> None:
    """Shift the serving checkpoint's propensities to how many buy now, by what came of its latest scores.

    ClickHouse's scores say how many purchases the model itself expected and how many came. The shift of each standard
    horizon's log-odds that makes these equal is shrunk by its standard error, and at most 0.5. It is written to
    DIR/level.json, for events from five minutes later on; running workers read it. Without the file nothing is shifted.

    Example: cartcast level --checkpoint checkpoints/shop
    """
    settings = settings_of(context)
    directory = checkpoint or settings.worker.checkpoint
    if directory is None:
        raise UsageError("no checkpoint is named: give --checkpoint DIR, or set CARTCAST_WORKER__CHECKPOINT")
    from model.checkpoint import load_checkpoint
    from model.level import next_level, read_level_file, write_level_file
    from sinks.level import outcomes

    with sole_writer(directory):
        loaded = load_checkpoint(directory)
        version, horizons = loaded.version, loaded.model.config.horizons
        current = read_level_file(directory, version)
        now_ms = time.time_ns() // 1_000_000
        found = outcomes(settings.clickhouse, version, now_ms if until is None else until)
        found = {name: outcome for name, outcome in found.items() if name in horizons}
        changed = next_level(current, found, now_ms + _LEAD_MS)
        if is_new := changed != current and not dry_run:
            write_level_file(directory, changed)
    told = _told(directory, changed if is_new else current, found, is_new=is_new)
    told["not_shifted"] = [name for name in horizons if name not in found]
    print(json.dumps(told) if as_json else _sentences(told))


def _told(directory: Path, file: "LevelFile", found: "dict[str, Outcomes]", *, is_new: bool) -> dict[str, Any]:
    return {
        "model": file.model,
        "checkpoint": str(directory),
        "written": is_new,
        "from_ms": file.levels[-1].from_ms if file.levels else None,
        "shifts": file.levels[-1].shifts if file.levels else {},
        "outcomes": {
            horizon: {
                "scores": outcome.scores,
                "purchases": round(outcome.purchases),
                "expected": round(outcome.expected_purchases, 1),
                "standard_error": round(outcome.standard_error, 3) if outcome.is_enough else None,
                "shift": outcome.shift,
            }
            for horizon, outcome in found.items()
        },
    }


def _sentences(told: dict[str, Any]) -> str:
    lines = [
        f"{horizon}: {each['scores']:,} scores, {each['purchases']:,} followed by a purchase, {each['expected']:,} "
        f"expected: shift {each['shift']:+.2f}"
        for horizon, each in told["outcomes"].items()
    ]
    if told["not_shifted"]:
        lines.append(f"{', '.join(told['not_shifted'])}: not shifted; session, 1h and 24h alone can be")
    from model.events import rfc3339

    if told["written"]:
        last = f"written to {told['checkpoint']}/level.json, for events from {rfc3339(told['from_ms'])} on"
    else:
        last = "nothing was written"
    return "\n".join([*lines, last])
