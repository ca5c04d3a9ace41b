"""How the shop does: events, shoppers, propensities, the funnel. What was shown is no event here."""

from typing import Final

from dashboard.clickhouse import Row
from dashboard.queries.range import HORIZONS, Asks, Range, seconds, step_of, within
from dashboard.queries.sample import DURING

TOP_CATEGORIES: Final = 10
FUNNEL: Final = ("view", "cart", "checkout", "purchase")
"""Event types that are the steps to a purchase."""


def measured(asks: Asks, span: Range, channel: str = "") -> dict[str, float | None]:
    """Return the page's numbers of a range, to the second, by their names; view shopper_events.

    `Conversion` is of those who viewed.
    """
    (row,) = asks.rows(
        f"""
        SELECT sum(of_shopper) AS Events, count() AS Shoppers, sum(bought) AS Purchases, countIf(bought > 0) AS Buyers,
               countIf(has_viewed AND bought > 0) / nullIf(countIf(has_viewed), 0) AS Conversion
        FROM (
            SELECT shopper_hash, count() AS of_shopper, countIf(event_type = 'purchase') AS bought,
                   countIf(event_type = 'view') > 0 AS has_viewed
            FROM shopper_events WHERE {DURING} {_of(channel)} GROUP BY shopper_hash
        )
        """,  # noqa: S608
        {**span.bound(), "channel": channel},
    )
    return row


def events_over_time(asks: Asks, span: Range, channel: str = "") -> list[Row]:
    """Events of each type a step of the range; view events_by_hour."""
    return asks.rows(
        f"""
        SELECT {step_of("hour", span.step)} AS time, event_type, sum(v.events) AS events
        FROM events_by_hour AS v WHERE {within("hour")} {_of(channel)} AND event_type != 'impression'
        GROUP BY time, event_type ORDER BY time, event_type
        """,  # noqa: S608
        {**span.bound(), "channel": channel, "step": seconds(span.step)},
    )


def events_by_minute(asks: Asks, span: Range) -> list[Row]:
    """Events of each type a minute of event time, or a few; view events_by_minute."""
    return asks.rows(
        f"""
        SELECT {step_of("minute", span.fine_step)} AS time, event_type, sum(v.events) AS events
        FROM events_by_minute AS v WHERE {within("minute")} AND event_type != 'impression'
        GROUP BY time, event_type ORDER BY time, event_type
        """,  # noqa: S608
        {**span.bound(), "step": seconds(span.fine_step)},
    )


def propensity_over_time(asks: Asks, span: Range, channel: str = "") -> list[Row]:
    """Mean propensity of each horizon a step of the range; view propensity_by_hour."""
    return asks.rows(
        f"""
        SELECT {step_of("hour", span.step)} AS time, {_MEANS}
        FROM propensity_by_hour AS v WHERE {within("hour")} {_of(channel)}
        GROUP BY time ORDER BY time
        """,  # noqa: S608
        {**span.bound(), "channel": channel, "step": seconds(span.step)},
    )


def propensity_by(asks: Asks, column: str, span: Range, channel: str = "") -> list[Row]:
    """Events and mean propensities by `event_type` or `channel`; view propensity_by_hour."""
    if column not in ("event_type", "channel"):
        raise ValueError(column)
    return asks.rows(
        f"""
        SELECT {column} AS name, sum(v.events) AS events, {_MEANS}
        FROM propensity_by_hour AS v WHERE {within("hour")} {_of(channel)} AND event_type != 'impression'
        GROUP BY name ORDER BY events DESC LIMIT 20
        """,  # noqa: S608
        {**span.bound(), "channel": channel},
    )


def propensity_by_category(asks: Asks, span: Range) -> list[Row]:
    """Events and mean propensities of the categories with most events; view scores_by_category."""
    means = ", ".join(
        f"avgOrNullIf(v.propensity_{name}, isFinite(v.propensity_{name})) AS propensity_{name}" for name in HORIZONS
    )
    return asks.rows(
        f"""
        SELECT category AS name, count() AS events, {means}
        FROM scores_by_category AS v WHERE {within("hour")} AND category NOT IN ('', '(others)')
        GROUP BY name ORDER BY events DESC LIMIT {{top:UInt32}}
        """,  # noqa: S608
        {**span.bound(), "top": TOP_CATEGORIES},
    )


def channels(asks: Asks) -> list[str]:
    """Return the channels with most events; view events_by_hour."""
    rows = asks.rows(
        "SELECT channel, sum(events) AS n FROM events_by_hour WHERE channel != '' "
        "GROUP BY channel ORDER BY n DESC LIMIT 50"
    )
    return [row["channel"] for row in rows]


_MEANS: Final = ", ".join(
    f"sum(v.sum_propensity_{name}) / nullIf(sum(v.scores_{name}), 0) AS propensity_{name}" for name in HORIZONS
)


def _of(channel: str) -> str:
    return "AND channel = {channel:String}" if channel else ""
