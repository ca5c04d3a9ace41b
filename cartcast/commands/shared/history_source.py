"""Where a command's history comes from: files of events, or the events that ClickHouse has the scores of."""

import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

from cartcast.commands.shared.event_files import EventFiles, Rows
from cartcast.commands.shared.progress import progress_bar
from model.consent import CONSENT, DEFAULT_CONSENT, ConsentRule
from model.events import MAX_EVENT_TIME_MS, MIN_EVENT_TIME_MS, Event
from model.shop import NO_SHOP, Shop
from model.validate import BadRow
from service.errors import FormatError, UsageError

if TYPE_CHECKING:
    from model.items.journeys import JourneyReader
    from model.training.history import History

_EVENTS_BETWEEN_REPORTS: Final = 1000
_KEPT_BAD_ROWS: Final = 10
_NAMED_DEFINITIONS: Final = 5

OnProgress = Callable[[float], None]
"""Is told now and then how much of `HistorySource.total` has been read."""


@dataclass
class HistorySource:
    """Events to be read once, in the order in which they arrived."""

    total: float
    """What `on_progress` counts up to."""
    parts: Callable[[OnProgress, Shop], Iterator[tuple[str, Rows]]]
    """Yields each file's name and rows, read with a shop's definition."""
    shop: Shop = NO_SHOP
    """The definition, which a command may know only after the source."""
    bad_rows: int = 0
    first_bad_rows: list[tuple[str, BadRow]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    """What was odd about files that were read all the same."""
    consent: ConsentRule = DEFAULT_CONSENT
    without_consent: int = 0

    def rows(self, on_progress: OnProgress) -> Rows:
        """Yield all rows, and remember which were bad."""
        for name, rows in self.parts(on_progress, self.shop):
            for row in rows:
                if isinstance(row, BadRow):
                    self._count_bad_row(name, row)
                yield row

    def allowed_rows(self, on_progress: OnProgress) -> Rows:
        """Yield all rows; events whose shoppers do not consent are bad rows."""
        self.without_consent = 0
        for row in self.consent.allowed(self.rows(on_progress)):
            self.without_consent += isinstance(row, BadRow) and row.reason == CONSENT
            yield row

    def said_of_bad_rows(self) -> list[str]:
        """Return lines for a user: what was odd, the first bad rows and how many more there were."""
        said = [*self.notes, *(f"bad row: {name}, line {row.line}: {row.error}" for name, row in self.first_bad_rows)]
        more = self.bad_rows - len(self.first_bad_rows)
        said += [f"bad rows: and {more:,} more"] if more else []
        unwanted = f"bad rows: {self.without_consent:,} events whose shoppers do not consent"
        return [*said, unwanted] if self.without_consent else said

    def _count_bad_row(self, name: str, row: BadRow) -> None:
        self.bad_rows += 1
        if len(self.first_bad_rows) < _KEPT_BAD_ROWS:
            self.first_bad_rows.append((name, row))


def history_source(
    config: Path | None,
    *,
    events: Sequence[Path] | None,
    format_name: str | None,
    from_clickhouse: bool,
    since_ms: int | None,
    until_ms: int | None,
    strict: bool,
) -> HistorySource:
    """Return the source that the options name; raises UsageError if they contradict each other or name none."""
    if from_clickhouse:
        if events or format_name:
            raise UsageError("--from-clickhouse excludes --events and --format: give one source of events")
        return _in_clickhouse(config, since_ms, until_ms)
    if since_ms is not None or until_ms is not None:
        raise UsageError("--since and --until go with --from-clickhouse: files are read whole")
    if not events:
        raise UsageError("there is nothing to read: give --events FILE, or --from-clickhouse")
    from cartcast.settings import load_settings

    files = EventFiles(events, format_name, strict=strict)

    def parts(on_progress: OnProgress, shop: Shop) -> Iterator[tuple[str, Rows]]:
        files.shop = shop
        return files.each(on_progress)

    consent = load_settings(config).worker.consent
    return HistorySource(files.total_bytes, parts, notes=files.reading.notes, consent=consent)


def _in_clickhouse(config: Path | None, since_ms: int | None, until_ms: int | None) -> HistorySource:
    from cartcast.settings import load_settings
    from sinks.stored import Period, StoredHistory

    since, until = since_ms or MIN_EVENT_TIME_MS, until_ms or MAX_EVENT_TIME_MS + 1
    if since >= until:
        raise UsageError("--since is not before --until: no event can lie between them")
    settings = load_settings(config).clickhouse
    stored = StoredHistory(settings, Period(since, until))
    if not (count := stored.count()):
        raise FormatError(
            f"database {settings.database} at {settings.url} holds no event of that time: run `cartcast sink`, or "
            "widen --since and --until"
        )

    def parts(on_progress: OnProgress, shop: Shop) -> Iterator[tuple[str, Rows]]:
        events = StoredHistory(settings, Period(since, until), shop).events()
        return iter([("ClickHouse", _counted(events, on_progress))])

    return HistorySource(count, parts)


def read_for_training(
    source: HistorySource,
    memory_limit_mb: int,
    work_dir: Path | None,
    journeys: "JourneyReader | None" = None,
) -> "History":
    """Read a history, and say on stderr what it holds; beyond the limit it is kept in a file. Raises CartcastError.

    `journeys` reads along.
    """
    from model.training.history import read_history
    from model.training.storage import Storage

    half_bytes = memory_limit_mb * 2**20 // 2  # at one moment every event is in both
    storage, arrivals = Storage(half_bytes, work_dir), Storage(half_bytes, work_dir)
    with progress_bar("read", source.total) as advance:
        rows = source.allowed_rows(lambda done: advance(done, ""))
        if journeys is not None:
            rows = read_along(rows, journeys)
        history = read_history(rows, storage, arrivals, shop=source.shop)
    for line in source.said_of_bad_rows():
        print(line, file=sys.stderr)
    print(f"{len(history):,} events of {len(history.user_ids):,} users, {history.bad_rows:,} bad rows", file=sys.stderr)
    if unused := history.unused_definitions():
        named = ", ".join(unused[:_NAMED_DEFINITIONS]) + (", ..." if len(unused) > _NAMED_DEFINITIONS else "")
        print(
            f"{len(unused)} of the shop's definition are in no event, or have no value that their kind can read: "
            f"{named}: compare names and paths with the events",
            file=sys.stderr,
        )
    if late := history.require_order():
        print(f"{late:,} events come after a later one of their user: they count as simultaneous", file=sys.stderr)
    return history


def read_along(rows: Rows, journeys: "JourneyReader") -> Rows:
    """Yield the rows, which `journeys` reads as well."""
    for row in rows:
        if isinstance(row, Event):
            journeys.append(row)
        yield row


def _counted(events: Iterator[Event], on_progress: OnProgress) -> Rows:
    number = 0
    for number, event in enumerate(events, start=1):
        if number % _EVENTS_BETWEEN_REPORTS == 0:
            on_progress(number)
        yield event
    on_progress(number)
