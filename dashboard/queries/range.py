"""From when until when: relative to what is stored, because a replayed history is not of today."""

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Final, Protocol

from dashboard.clickhouse import Parameters, Row

HORIZONS: Final = ("session", "1h", "24h")
HOUR_SECONDS: Final = 3600
_STEPS_HOURS: Final = (1, 3, 6, 12, 24, 168)
MAX_POINTS: Final = 200
"""Points of one line of a chart over time."""


class Asks(Protocol):
    """Answers questions in SQL: the database, or something that remembers its answers."""

    def rows(self, sql: str, parameters: Parameters | None = None) -> list[Row]:
        """Return one dict a row."""


@dataclass(frozen=True)
class Span:
    """What is stored: time of the first and of the last event, and how many there are."""

    first: datetime
    last: datetime
    events: int
    beyond: int = 0
    """Events after the last, which only a wrong clock explains."""


@dataclass(frozen=True)
class Range:
    """Whole hours: `since` included, `until` not. `zone` is where days and weeks begin at midnight."""

    since: datetime
    until: datetime
    zone: str = "UTC"

    @classmethod
    def last_hours(cls, hours: int, end: datetime) -> "Range":
        """Return the hour that `end` lies in and those before it, `hours` together."""
        until = _hour(end) + timedelta(hours=1)
        return cls(until - timedelta(hours=hours), until)

    @classmethod
    def covering(cls, first: datetime, last: datetime) -> "Range":
        """Return the whole hours that hold both; they may come in either order."""
        first, last = sorted((first, last))
        return cls(_hour(first), _hour(last) + timedelta(hours=1))

    @classmethod
    def between(cls, since: datetime, until: datetime) -> "Range":
        """Return the whole hours from `since` until before `until`, at least one; they may come in either order."""
        since, until = sorted((since, until))
        return cls.covering(since, max(since, until - timedelta(microseconds=1)))

    @classmethod
    def of_seconds(cls, since: str, until: str) -> "Range":
        """Return the range of two texts of epoch seconds; raises ValueError for others."""
        try:
            return cls(datetime.fromtimestamp(int(since), UTC), datetime.fromtimestamp(int(until), UTC))
        except OverflowError as too_far:
            raise ValueError(since, until) from too_far

    def within(self, span: Span) -> "Range":
        """Return what of it lies in the hours of `span`; itself if nothing does."""
        stored = Range.covering(span.first, span.last)
        since, until = max(self.since, stored.since), min(self.until, stored.until)
        return replace(self, since=since, until=until) if since < until else self

    def before(self, span: Span | None = None) -> "Range":
        """Return the time before it, as long as it.

        If its last hour is not over in `span`, it is as much of that time as has passed of it, in whole minutes: eleven
        minutes of this hour are not compared with an hour.
        """
        length, until = self.until - self.since, self.until
        if span is not None and span.last < until:
            until = max(self.since, span.last.replace(second=0, microsecond=0))
        return replace(self, since=self.since - length, until=until - length)

    def is_to_the_end(self, span: Span) -> bool:
        """Return whether nothing is stored after it."""
        return self.until > span.last

    def has_all_before(self, span: Span) -> bool:
        """Return whether the time before it is stored as a whole, so that the two can be compared."""
        return self.before().since >= _hour(span.first)

    @property
    def hours(self) -> int:
        return round((self.until - self.since).total_seconds() / HOUR_SECONDS)

    @property
    def step(self) -> timedelta:
        """How long one point of a chart is, in whole hours, so that a line has at most MAX_POINTS."""
        fitting = (step for step in _STEPS_HOURS if self.hours / step <= MAX_POINTS)
        return timedelta(hours=next(fitting, -(-self.hours // MAX_POINTS)))

    @property
    def fine_step(self) -> timedelta:
        """The same of a chart of minutes."""
        return timedelta(minutes=max(1, -(-self.hours * 60 // MAX_POINTS)))

    def bound(self) -> dict[str, str | int | float]:
        """Return the range as the parameters `since` and `until`, epoch seconds, and `zone`."""
        return {"since": int(self.since.timestamp()), "until": int(self.until.timestamp()), "zone": self.zone}


def step_of(column: str, step: timedelta) -> str:
    """Return the beginning of a time's step, of `{step:UInt32}` seconds; days begin at midnight of `{zone:String}`.

    Weeks begin on Monday. ClickHouse's own hours and minutes begin anew at each midnight: a step of a week would be a
    day. Steps up to an hour go by the epoch: when clocks are put back, two hours must not become one.
    """
    to_monday = 3 * 86_400  # the epoch was a Thursday
    local = f"toDateTime({column}, {{zone:String}})"
    offset = f"timeZoneOffset({local})" if step > timedelta(hours=1) else "0"
    steps = f"intDiv(toUnixTimestamp({column}) + {offset} + {to_monday}, {{step:UInt32}})"
    begins = f"toDateTime({steps} * {{step:UInt32}} - {to_monday}, 'UTC')"
    return begins if offset == "0" else f"toDateTime(toString({begins}), {{zone:String}})"


def seconds(step: timedelta) -> int:
    """Return a step as the parameter `step`."""
    return int(step.total_seconds())


def within(column: str) -> str:
    """Return the condition that a time column lies in the range whose `bound()` are the parameters."""
    return f"{column} >= toDateTime({{since:Int64}}, 'UTC') AND {column} < toDateTime({{until:Int64}}, 'UTC')"


def stored_span(asks: Asks) -> Span | None:
    """Return what is stored, by event time, or None of an empty database; view data_span."""
    rows = asks.rows(
        """
        SELECT fromUnixTimestamp64Milli(first_event, 'UTC') AS first,
               fromUnixTimestamp64Milli(last_event, 'UTC') AS last,
               events, events_beyond AS beyond
        FROM data_span
        """
    )
    return span_of(rows)


def span_of(rows: list[Row]) -> Span | None:
    """Return the one row of a Span's fields, or None if it counts nothing."""
    if not rows or not rows[0]["events"]:
        return None
    return Span(**{**rows[0], "events": int(rows[0]["events"])})


def _hour(when: datetime) -> datetime:
    return when.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
