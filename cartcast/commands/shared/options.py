"""What several commands have in common: options, the values of options, settings, an exit code.

A command's file imports at its top what parsing its options needs, and what it runs with when it runs: help, completion
and a mistyped option should not cost what PyTorch, pydantic's models or ClickHouse's client take to load.
"""

import re
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from model.events import MAX_EVENT_TIME_MS, MIN_EVENT_TIME_MS, parse_moment_ms
from model.formats import FORMATS
from service.errors import UsageError

if TYPE_CHECKING:
    from cartcast.settings import Settings
    from model.heads import Head

MAPPING_SUFFIXES: Final = (".yml", ".yaml")
_AGO: Final = re.compile(r"([0-9]{1,9})([smhd])")
_UNIT_MS: Final = {"s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
_flags: Final[dict[str, str]] = {}
"""The variables of those settings that flags gave, and the flags."""
EXIT_INTERRUPTED: Final = 130
"""What a shell reports of a command that Ctrl-C ended."""


def given(**flags: object) -> dict[str, object]:
    """Return the flags that were given on the command line: those that are not None."""
    return {name: value for name, value in flags.items() if value is not None}


def settings_of(context: typer.Context, **flags: dict[str, object]) -> "Settings":
    """Return the settings, with flags as in `kafka=given(partitions=8)`; raises UsageError."""
    from cartcast.settings import load_settings
    from cartcast.settings.fields import variable_of

    _flags.clear()
    for branch, values in flags.items():
        _flags.update({variable_of(branch, name): f"--{name.replace('_', '-')}" for name in values})
    return load_settings(context.obj, **flags)


def check_pseudonyms(settings: "Settings") -> None:
    """Raise UsageError if ids are to be replaced in events where they cannot be."""
    if settings.kafka.pseudonyms and settings.worker.input_format != "cartcast":
        raise UsageError(
            "ids are replaced in canonical events alone: set no kafka.pseudonym_key, or worker.input_format to cartcast"
        )


def naming_flags(line: str) -> str:
    """Return a failure's line with the flags that were given, in place of the variables that they stand for."""
    for variable, flag in _flags.items():
        line = re.sub(rf"{variable}\b", flag, line)
    return line


def moment_ms(text: str) -> int:
    """Return the epoch milliseconds of an option.

    It is such a number, an RFC 3339 time, a day (its beginning in UTC), or how long ago: 90s, 15m, 1h, 7d. Raises
    BadParameter, to which the command line adds the option's name.
    """
    try:
        moment = _epoch_ms(text)
    except ValueError:
        moment = -1
    if not MIN_EVENT_TIME_MS <= moment <= MAX_EVENT_TIME_MS:
        seconds = (
            "; these are seconds: add three zeros" if MIN_EVENT_TIME_MS <= 1000 * moment <= MAX_EVENT_TIME_MS else ""
        )
        raise typer.BadParameter(
            f"{text!r} is no time: give 2017-12-01, 2017-12-01T08:00:00Z, epoch milliseconds, or 1h for an hour ago"
            f"{seconds}"
        )
    return moment


def _epoch_ms(text: str) -> int:
    if text.isascii() and text.isdigit():
        return int(text)
    if (ago := _AGO.fullmatch(text)) is not None:
        return time.time_ns() // 1_000_000 - int(ago[1]) * _UNIT_MS[ago[2]]
    return parse_moment_ms(text)


def horizon_names(text: str) -> tuple[str, ...]:
    """Return the horizons that `text` names by commas; raises UsageError."""
    from model.horizons import check_horizons

    names = tuple(name.strip() for name in text.split(","))
    try:
        check_horizons(names)
    except ValueError as failure:
        raise UsageError(f"--horizons {text}: {failure}") from None
    return names


def head_names(names: Sequence[str]) -> "tuple[Head, ...]":
    """Return the extra heads of these names, in their own order; raises UsageError for a name that is none."""
    from model.heads import HEADS

    if unknown := [name for name in names if name not in HEADS]:
        raise UsageError(f"--head {unknown[0]}: choose from {', '.join(HEADS)}")
    return tuple(head for head in HEADS if head in names)


def known_format(name: str | None) -> str | None:
    """Return the name of an input format, or of a mapping file; raises UsageError if it is none."""
    if name is not None and name not in FORMATS and not name.endswith(MAPPING_SUFFIXES):
        raise UsageError(f"--format {name}: unknown; choose one of {', '.join(FORMATS)}, or name a mapping file, .yml")
    return name


# Files of events, or ClickHouse's own table
Files = Annotated[
    list[Path],
    typer.Argument(metavar="FILE...", help="Files to read, plain or packed, in this order."),
]
OptionalFormat = Annotated[
    str | None,
    typer.Option(
        "--format",
        callback=known_format,
        help=f"What the files hold: {', '.join(FORMATS)}, or a mapping, map.yml. Told by their rows if not given.",
        metavar="NAME",
    ),
]
Events = Annotated[
    list[Path] | None,
    typer.Option("--events", help="File of events, plain or packed; may be given several times.", metavar="FILE"),
]
FromClickHouse = Annotated[
    bool, typer.Option("--from-clickhouse", help="Read the events that ClickHouse has the scores of, instead of files.")
]
Since = Annotated[
    int | None,
    typer.Option("--since", parser=moment_ms, metavar="TIME", help="With --from-clickhouse: no earlier events."),
]
Until = Annotated[
    int | None,
    typer.Option("--until", parser=moment_ms, metavar="TIME", help="With --from-clickhouse: only events before it."),
]
Strict = Annotated[bool, typer.Option("--strict", help="Stop at the first bad row.")]

# The shop's own
ShopFile = Annotated[
    Path | None, typer.Option("--shop", help="File of the shop's own definition: docs/shop.md.", metavar="FILE")
]

# The model
CheckpointOption = Annotated[
    Path | None,
    typer.Option(
        help="Checkpoint directory that `cartcast train` wrote; the one that ships if not given.", metavar="DIRECTORY"
    ),
]
Device = Annotated[str, typer.Option(help="cpu, cuda, or auto: CUDA where there is one.")]
Seed = Annotated[int, typer.Option(min=0, help="The same seed and data give the same result.")]
Threads = Annotated[int, typer.Option(min=1, help="CPU threads; more than one pays on an idle machine only.")]

MemoryLimit = Annotated[int, typer.Option(min=0, help="History beyond it is kept in a temporary file.", metavar="MB")]
WorkDir = Annotated[
    Path | None,
    typer.Option(help="Where that file is made; the system's place for such files if not given.", metavar="DIRECTORY"),
]

# Where Kafka and ClickHouse are
BootstrapServers = Annotated[str | None, typer.Option(help="Kafka brokers, HOST:PORT,HOST:PORT.")]
TopicPrefix = Annotated[str | None, typer.Option(help="Prefix of the topics' names.")]
ClickHouseUrl = Annotated[str | None, typer.Option(help="ClickHouse, over HTTP or HTTPS.")]

# What is printed
JsonLine = Annotated[bool, typer.Option("--json", help="Print one JSON object as the last line.")]
