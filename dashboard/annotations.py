"""What else happened, as lines over charts of time: another model, and what a file names (a release, a campaign)."""

import csv
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final
from zoneinfo import ZoneInfo

from dashboard import config
from dashboard.queries import model as queries
from dashboard.queries.range import Asks, Range
from service.errors import FormatError

MOST_LINES: Final = 1000
COLUMNS: Final = ["time", "text"]


@dataclass(frozen=True)
class Annotation:
    """What happened when."""

    time: datetime
    text: str


def within(asks: Asks, span: Range, *, scoring: bool = False) -> list[Annotation]:
    """Return what happened in a range, in order; with `scoring` it is one of time of scoring, else of event time.

    Raises FormatError if the file cannot be read.
    """
    path = config.settings().annotations
    found = [*_switches(asks, scoring=scoring), *(noted(path, ZoneInfo(span.zone)) if path else [])]
    return sorted((each for each in found if span.since <= each.time < span.until), key=lambda each: each.time)


def noted(path: Path, zone: ZoneInfo) -> list[Annotation]:
    """Read a CSV file whose header is `time,text`; a time is ISO 8601, without an offset that of `zone`.

    Raises FormatError, which names the line.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            header, *lines = csv.reader(file)
    except (OSError, ValueError, csv.Error) as failure:
        why = failure.strerror if isinstance(failure, OSError) else "it is no CSV file in UTF-8 with a header"
        raise FormatError(f"dashboard.annotations: {path} cannot be read: {why}") from None
    if header != COLUMNS or len(lines) > MOST_LINES:
        raise FormatError(f"dashboard.annotations: {path} needs the header time,text and at most {MOST_LINES} lines")
    return [_annotation(line, f"{path}, line {number}", zone) for number, line in enumerate(lines, start=2) if line]


def _annotation(line: list[str], where: str, zone: ZoneInfo) -> Annotation:
    try:
        written, text = line
        time = datetime.fromisoformat(written.strip())
    except ValueError:
        raise FormatError(f"dashboard.annotations: {where} is not a time in ISO 8601 and a text") from None
    return Annotation(time if time.tzinfo else time.replace(tzinfo=zone), text.strip())


def _switches(asks: Asks, *, scoring: bool) -> list[Annotation]:
    """Return when each model version but the first scored its first events, or of which hour those were."""
    rows = queries.taken_over(asks) if scoring else queries.models(asks)
    first = sorted((row["first_scored_at" if scoring else "first_hour"], row["model"]) for row in rows)
    return [Annotation(time, f"model {model}") for time, model in first[1:]]
