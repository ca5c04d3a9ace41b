"""`cartcast inspect`."""

import datetime
import itertools
import json
from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from cartcast.commands.shared.event_files import EventFiles
from cartcast.commands.shared.options import Files, OptionalFormat, ShopFile, Strict
from cartcast.commands.shared.progress import progress_bar
from cartcast.commands.shared.shop_file import read_shop
from model.formats import UnknownFormatError
from service.errors import UsageError

if TYPE_CHECKING:
    from rich.table import Column, Table

    from model.formats.inspection import Inspection

_DAY_MS: Final = 86_400_000
_DAY: Final = datetime.timedelta(days=1)
_LONGEST_HORIZON_MS: Final = 3650 * _DAY_MS


def inspect(
    files: Files,
    format_name: OptionalFormat = None,
    horizons: Annotated[
        str,
        typer.Option(metavar="LIST", help="Horizons of the base rates: `session` or durations such as 30m, 1h, 7d."),
    ] = "session,1h,24h",
    shop: ShopFile = None,
    suggest: Annotated[
        Path | None, typer.Option(help="Write a mapping, or a shop file, as these files suggest it.", metavar="FILE")
    ] = None,
    strict: Strict = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print what was found as one JSON object.")] = False,
) -> None:
    """Say what files hold before anyone trains on them: time, users, types, damage, sessions, base rates.

    A repeated event counts once; blank lines are no rows, and are counted apart. A base rate is the share of events
    that a purchase follows within the horizon, among the events whose horizon ends within the data. --suggest writes a
    file for you to correct: of files of no known format a mapping, to give with --format, else what the shop could
    define of its own, types and attributes, to give with --shop.

    Example: cartcast inspect history.csv.gz --format taobao
    """
    from model.formats.inspection_notes import notes_on

    try:
        event_files = EventFiles(files, format_name, strict=strict, shop=read_shop(shop))
    except UnknownFormatError:
        if suggest is None:
            raise
        _suggest_mapping(files, suggest)
        return
    if suggest is not None:
        _suggest_shop(event_files, files, suggest)
    reading = event_files.reading
    reading.looks_at_keys = True
    found = _inspect(event_files, horizons.split(","))
    notes = [*reading.notes, *_notes_on_keys(reading.repeated_keys), *notes_on(found)]
    if as_json:
        about = {
            "files": [str(file) for file in files],
            "format": event_files.format_name,
            "blank_lines": reading.blank_lines,
        }
        print(json.dumps({**about, **_as_json(found, notes)}))
        return
    from rich.console import Console

    console = Console()
    for table in (_overview(found, reading.blank_lines), _types(found), _horizons(found), _damage(found)):
        if table.row_count:
            console.print(table)
    for note in notes:
        console.print(f"note: {note}", highlight=False, markup=False)


def _notes_on_keys(repeated: "Counter[str]") -> list[str]:
    return [
        f"{count:,} lines name {json.dumps(key[:40])} twice in one object: the last one counts"
        for key, count in repeated.most_common(5)
    ]


def _suggest_mapping(files: list[Path], path: Path) -> None:
    from model.formats.lines import read_lines
    from model.formats.mapping_suggestion import suggested_mapping

    _write(path, suggested_mapping(itertools.chain.from_iterable(read_lines(file) for file in files)))
    print(f"the files are of no known format: {path} is a mapping to correct, and to give with --format {path}")


def _suggest_shop(event_files: EventFiles, files: list[Path], path: Path) -> None:
    from model.formats import OWN_ROWS
    from model.formats.lines import read_lines
    from model.formats.suggestion import SAMPLED_ROWS, suggested

    if event_files.mapping is None and event_files.format_name not in OWN_ROWS:
        raise UsageError(f"--suggest: rows of format {event_files.format_name} have nothing that a shop could define")
    mapping = event_files.mapping
    read, details = (mapping.own_rows, ()) if mapping else OWN_ROWS[event_files.format_name]
    rows = itertools.chain.from_iterable(read(read_lines(file)) for file in files)
    _write(path, suggested(itertools.islice(rows, SAMPLED_ROWS), details))


def _write(path: Path, text: str) -> None:
    try:
        with path.open("x") as file:
            file.write(text)
    except FileExistsError:
        raise UsageError(f"--suggest {path}: exists; name another file") from None
    except OSError as failure:
        raise UsageError(f"--suggest {path}: cannot be written: {(failure.strerror or '').lower()}") from None


def _inspect(files: EventFiles, horizons: list[str]) -> "Inspection":
    from model.formats.inspection import inspect_rows
    from model.horizons import SESSION, horizon_ms

    try:
        too_long = [one for one in horizons if one != SESSION and horizon_ms(one) > _LONGEST_HORIZON_MS]
    except ValueError as failure:
        raise UsageError(f"--horizons: {failure}") from None
    if too_long:
        raise UsageError(f"--horizons: {too_long[0]} is longer than ten years")
    with progress_bar("inspect", files.total_bytes) as advance:
        return inspect_rows(files.each(lambda done_bytes: advance(done_bytes, "")), horizons, files.shop)


def _as_json(found: "Inspection", notes: list[str]) -> dict[str, Any]:
    """Return what was found, times as RFC 3339 texts, places of bad rows as `file:line`."""
    fields = asdict(found)
    bad_rows = {
        reason: {
            "count": bad.count,
            "error": bad.error,
            "first": [f"{file}:{line}" for file, line in bad.first],
        }
        for reason, bad in found.bad_rows.items()
    }
    first_ms, last_ms = fields.pop("first_ms"), fields.pop("last_ms")
    return {
        **fields,
        "bad_rows": sum(bad.count for bad in found.bad_rows.values()),
        "bad_rows_by_reason": bad_rows,
        "first_event": _moment(first_ms).isoformat(),
        "last_event": _moment(last_ms).isoformat(),
        "span_days": round((last_ms - first_ms) / _DAY_MS, 3),
        "sorted_by_time": found.out_of_order == 0,
        "notes": notes,
    }


def _overview(found: "Inspection", blank_lines: int) -> "Table":
    from rich.table import Table

    table = Table("", "", show_header=False)
    first, last = _moment(found.first_ms), _moment(found.last_ms)
    quantiles = ", ".join(f"{name} {value:,.0f}" for name, value in found.events_per_user.items())
    order = "yes" if not found.out_of_order else f"no: {found.out_of_order:,} events are older than one before them"
    for name, value in {
        "span": f"{first:%Y-%m-%d %H:%M:%S} to {last:%Y-%m-%d %H:%M:%S} UTC, {(last - first) / _DAY:.1f} days",
        "events": f"{found.events:,}, and {found.duplicates:,} repeated",
        "impressions": f"{found.impressions:,}",
        "bad rows": f"{sum(bad.count for bad in found.bad_rows.values()):,}",
        "blank lines": f"{blank_lines:,}",
        "users": f"{found.users:,}, of which {found.buyers:,} bought",
        "identities": f"{found.identities:,} pairs of an anonymous id and a user",
        "events per user": quantiles,
        "sessions": f"{found.sessions:,}, of which {found.sessions_with_purchase:,} with a purchase",
        "sorted by time": order,
    }.items():
        table.add_row(name, value)
    return table


def _types(found: "Inspection") -> "Table":
    """Show how many events of each type there are, and how many have each optional field."""
    from rich.table import Table

    table = Table("type", _right("events"), _right("share"))
    counts = {name: count for name, count in found.types.items() if count}
    for name, count in counts.items():
        table.add_row(name, f"{count:,}", f"{count / found.events:.2%}")
    table.add_section()
    for name, count in found.filled.items():
        table.add_row(f"with {name}", f"{count:,}", f"{count / found.events:.2%}")
    return table


def _horizons(found: "Inspection") -> "Table":
    from rich.table import Table

    table = Table("horizon", _right("base rate"), _right("known"), _right("unknown"))
    for horizon, rate in found.horizons.items():
        shown = "-" if rate.base_rate is None else f"{rate.base_rate:.4f}"
        table.add_row(horizon, shown, f"{rate.known:,}", f"{rate.unknown:,}")
    return table


def _damage(found: "Inspection") -> "Table":
    from rich.table import Table

    table = Table("bad rows", _right("count"), "what is wrong with the first", "lines")
    for reason, bad in sorted(found.bad_rows.items(), key=lambda entry: -entry[1].count):
        places = [f"{file}:{line}" for file, line in bad.first] + (["..."] if bad.count > len(bad.first) else [])
        table.add_row(reason, f"{bad.count:,}", bad.error, "\n".join(places))
    return table


def _right(title: str) -> "Column":
    from rich.table import Column

    return Column(title, justify="right")


def _moment(time_ms: int) -> datetime.datetime:
    return datetime.datetime.fromtimestamp(time_ms / 1000, datetime.UTC)
