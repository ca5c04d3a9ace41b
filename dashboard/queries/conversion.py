"""How shoppers become buyers: step by step within a window, and week by week after their first."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

from dashboard.clickhouse import Row
from dashboard.queries.overview import FUNNEL
from dashboard.queries.range import Asks, Range
from dashboard.queries.sample import DURING, SAMPLED, Sample

BREAKDOWNS: Final = {
    "Nothing": "''",
    "Channel": "channel",
    "Category": "category",
    "Propensity": "multiIf(isNaN(propensity_24h), 'unknown', "
    "propensity_24h >= (SELECT segment_high FROM bounds), 'high', "
    "propensity_24h >= (SELECT segment_medium FROM bounds), 'medium', 'low')",
}
"""What a shopper is told apart by, of the first view in the range."""
MOST_GROUPS: Final = 6
COHORTS: Final = 12


@dataclass(frozen=True)
class Funnel:
    """Which steps to a purchase, of FUNNEL and from view on, within how long, and told apart by which of BREAKDOWNS."""

    steps: tuple[str, ...]
    window: timedelta
    by: str = "Nothing"

    def reading(self, span: Range) -> Range:
        """Return the time whose events it needs: what follows a view of the range within the window."""
        return replace(span, until=span.until + self.window)


def funnel(asks: Asks, span: Range, asked: Funnel, sampled: Sample, seen_until: datetime | None = None) -> list[Row]:
    """Return how many shoppers came how far, the largest group first; view shopper_events.

    A shopper enters with a view in the range and has come to a step with such an event after that of the step before,
    within the window from the view on, be it after the range's end; the best of several views counts. `reached` is a
    list of shoppers, one for each step; `name` is what the breakdown says of the group. What happened from `seen_until`
    on counts as not yet: an earlier time has then had no more of it than a later one has had.
    """
    entered = f"event_type = 'view' AND {DURING}"
    steps = ", ".join([entered, *(f"event_type = '{step}'" for step in FUNNEL[1:] if step in asked.steps)])
    reached = ", ".join(f"countIf(level >= {place})" for place in range(1, len(asked.steps) + 1))
    window_ms = asked.window // timedelta(milliseconds=1)
    last = min(span.until + asked.window, seen_until) if seen_until else span.until + asked.window
    return asks.rows(
        f"""
        SELECT name, [{reached}] AS reached FROM (
            SELECT shopper_hash, argMinIf({BREAKDOWNS[asked.by]}, event_time, {entered}) AS name,
                   windowFunnel({window_ms})(toUInt64(event_time), {steps}) AS level
            FROM shopper_events
            WHERE event_time >= {{since:Int64}} * 1000 AND event_time < {{last:Int64}} * 1000
                  AND event_type IN {FUNNEL} AND {SAMPLED}
            GROUP BY shopper_hash HAVING level > 0
        )
        GROUP BY name ORDER BY reached[1] DESC, name LIMIT {MOST_GROUPS}
        """,  # noqa: S608 - constants, values are bound
        {**span.bound(), "last": int(last.timestamp()), "last_hash": sampled.last_hash},
    )


def cohorts(asks: Asks, span: Range, sampled: Sample) -> list[Row]:
    """Return shoppers by the week of their first event; view shopper_events.

    `first_week` is a Monday of the shop's calendar, `later` the weeks since. Of the shoppers who were first seen in a
    week, `shoppers` had an event so many weeks later, `buyers` a purchase. The latest COHORTS weeks until the range's
    end are told; who was there before the first event that is stored nobody knows.
    """
    week = "toMonday(toDateTime(intDiv(event_time, 1000), {zone:String}))"
    return asks.rows(
        f"""
        SELECT first_week, intDiv(week - first_week, 7) AS later, count() AS shoppers, countIf(has_bought) AS buyers
        FROM (
            SELECT week, has_bought, min(week) OVER (PARTITION BY shopper_hash) AS first_week FROM (
                SELECT shopper_hash, {week} AS week, countIf(event_type = 'purchase') > 0 AS has_bought
                FROM shopper_events WHERE event_time < {{until:Int64}} * 1000 AND {SAMPLED}
                GROUP BY shopper_hash, week
            )
        )
        WHERE first_week > toDate(toDateTime({{until:Int64}} - 1, {{zone:String}})) - 7 * {COHORTS}
        GROUP BY first_week, later ORDER BY first_week, later
        """,  # noqa: S608
        {**span.bound(), "last_hash": sampled.last_hash},
    )
