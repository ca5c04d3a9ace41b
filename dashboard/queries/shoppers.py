"""Who is about to buy, and what one shopper did."""

from dataclasses import dataclass, replace
from typing import Final

from dashboard.clickhouse import Parameters, Row
from dashboard.csv_export import guarded
from dashboard.queries.range import HORIZONS, Asks, Range, within

SEGMENTS: Final = ("high", "medium", "low")
ORDERS: Final = {
    "Propensity": "propensity_{horizon}",
    "Value at stake": "value_at_stake",
    "Latest event": "event_at",
    "Events": "events",
}
"""What shoppers can be ranked by; `{horizon}` is the one that the reader chose."""
TOP_MATCHES: Final = 20
TIMELINE_EVENTS: Final = 200


@dataclass(frozen=True)
class Filters:
    """Which shoppers to show; an empty string leaves a filter out."""

    span: Range
    """when their latest event happened"""
    segment: str = ""
    category: str = ""
    """of the latest event, exactly"""
    category_contains: str = ""
    channel: str = ""
    event_type: str = ""
    search: str = ""
    """a part of the user id, in either case"""

    def conditions(self) -> str:
        """Return a WHERE clause whose values are `bound()`."""
        return " AND ".join(
            [within("event_at"), *(condition for name, condition in _CONDITIONS.items() if getattr(self, name))]
        )

    def bound(self) -> dict[str, str | int | float]:
        return {**self.span.bound(), **{name: getattr(self, name) for name in _CONDITIONS}}


_CONDITIONS: Final = {
    "segment": "segment = {segment:String}",
    "category": "category = {category:String}",
    "category_contains": "positionCaseInsensitiveUTF8(category, {category_contains:String}) > 0",
    "channel": "channel = {channel:String}",
    "event_type": "event_type = {event_type:String}",
    "search": "positionCaseInsensitiveUTF8(user_id, {search:String}) > 0",
}

_COLUMNS: Final = (
    "user_id, event_at, event_type, category, channel, item_id, price, "
    "propensity_session, propensity_1h, propensity_24h, value_at_stake, segment, events, model"
)


def ranked(asks: Asks, filters: Filters, order: str, horizon: str, limit: int) -> list[Row]:
    """Return the first shoppers by one of ORDERS, the highest first; view latest_scores.

    The view is asked twice: a few columns of everybody tell who they are, the others are read of them alone.
    """
    first = f"{_ordered(order, horizon)} LIMIT {{limit:UInt32}}"
    chosen = f"SELECT user_id FROM latest_scores WHERE {filters.conditions()} {first}"  # noqa: S608
    return asks.rows(
        f"SELECT {_COLUMNS} FROM latest_scores WHERE user_id IN ({chosen}) {first}",  # noqa: S608
        {**filters.bound(), "limit": limit},
    )


def everybody(filters: Filters, order: str, horizon: str) -> tuple[str, Parameters]:
    """Return the question for all shoppers, for a file, and its parameters; view latest_scores. Times are ISO 8601.

    Raises KeyError for an order that is not one of ORDERS.
    """
    columns = ", ".join(_AS_TEXT.get(name, name) for name in _COLUMNS.split(", "))
    inner = f"SELECT {_COLUMNS} FROM latest_scores WHERE {filters.conditions()} {_ordered(order, horizon)}"  # noqa: S608
    return f"SELECT {columns} FROM ({inner})", filters.bound()  # noqa: S608 - constants, values are bound


_TEXTS: Final = ("user_id", "event_type", "category", "channel", "item_id", "segment", "model")
_PROPENSITIES: Final = tuple(f"propensity_{name}" for name in HORIZONS)
_AS_TEXT: Final = {
    **{name: guarded(name) for name in _TEXTS},
    **{name: f"if(isFinite({name}), toString({name}), '') AS {name}" for name in _PROPENSITIES},
    **{name: f"ifNull(toString({name}), '') AS {name}" for name in ("price", "value_at_stake")},
    "event_at": "concat(replaceOne(toString(event_at), ' ', 'T'), 'Z') AS event_at",
}


def _ordered(order: str, horizon: str) -> str:
    by = ORDERS[order].format(horizon=horizon if horizon in HORIZONS else "24h")
    return f"ORDER BY {by} DESC NULLS LAST, user_id"


AT_THE_END: Final = "shoppers(until_ms = {until:Int64} * 1000)"
"""Instead of latest_scores: the latest scores as they stood at the range's end."""


def segments_within(asks: Asks, filters: Filters, source: str = "latest_scores") -> list[Row]:
    """Shoppers, propensity, value at stake and buyers of each segment, of who passes the filters; view latest_scores.

    The filter by segment is left to the reader of the answer, who wants to see the others beside it. `source` may be
    AT_THE_END, view shoppers.
    """
    filters = replace(filters, segment="")
    return asks.rows(
        "SELECT segment, count() AS shoppers, sum(l.value_at_stake) AS value_at_stake, "  # noqa: S608
        "sumIf(l.propensity_24h, isFinite(l.propensity_24h)) AS expected_buyers, "
        "avg(l.propensity_24h) AS mean_propensity_24h "
        f"FROM {source} AS l WHERE {filters.conditions()} "
        "GROUP BY segment ORDER BY indexOf(['high', 'medium', 'low'], segment) LIMIT 10",
        filters.bound(),
    )


def above(asks: Asks, filters: Filters, horizon: str, threshold: float, source: str = "latest_scores") -> Row:
    """Return how many `shoppers` of `all_shoppers` have a propensity from a threshold on; view latest_scores.

    `expected_buyers` and `value_at_stake` are sums over them, by the same horizon. `source` as of segments_within.
    """
    propensity = f"l.propensity_{horizon if horizon in HORIZONS else '24h'}"
    return asks.rows(
        f"SELECT countIf(isFinite({propensity})) AS all_shoppers, "  # noqa: S608
        f"countIf({propensity} >= {{threshold:Float64}}) AS shoppers, "
        f"sumIf({propensity}, {propensity} >= {{threshold:Float64}}) AS expected_buyers, "
        f"sumIf({propensity} * l.price, {propensity} >= {{threshold:Float64}}) AS value_at_stake "
        f"FROM {source} AS l WHERE {filters.conditions()}",
        {**filters.bound(), "threshold": threshold},
    )[0]


def joined(asks: Asks, span: Range) -> Row:
    """Return how many `users` were anonymous until a log-in in the range; view identities.

    And how many `events` and `ids` became theirs, and how many `sessions` that two ids had split are one.
    """
    return asks.rows(
        "SELECT uniqExact(i.user_id) AS users, uniqExact(i.anonymous_id) AS ids, sum(i.joined_events) AS events, "  # noqa: S608
        "sum(i.joined_sessions) AS sessions FROM identities AS i "
        f"WHERE i.joined_events > 0 AND {within('latest_joined_at')}",
        span.bound(),
    )[0]


def event_types(asks: Asks) -> list[str]:
    """Event types that are stored; view events_by_minute."""
    rows = asks.rows(
        "SELECT event_type, sum(events) AS n FROM events_by_minute GROUP BY event_type ORDER BY n DESC LIMIT 20"
    )
    return [row["event_type"] for row in rows]


def matching_categories(asks: Asks, part: str) -> list[str]:
    """Return what most shoppers' latest categories are that contain `part`, an equal one first; view latest_scores."""
    rows = asks.rows(
        """
        SELECT category, count() AS n FROM latest_scores
        WHERE category != '' AND positionCaseInsensitiveUTF8(category, {part:String}) > 0
        GROUP BY category ORDER BY category = {part:String} DESC, n DESC, category LIMIT {limit:UInt32}
        """,
        {"part": part, "limit": TOP_MATCHES},
    )
    return [row["category"] for row in rows]


def shopper(asks: Asks, user_id: str) -> Row | None:
    """Return the latest score of one shopper; view latest_scores."""
    rows = asks.rows(f"SELECT {_COLUMNS} FROM latest_scores WHERE user_id = {{user:String}} LIMIT 1", {"user": user_id})  # noqa: S608
    return rows[0] if rows else None


def recommended(asks: Asks, user_id: str, limit: int = TIMELINE_EVENTS) -> dict[str, list[str]]:
    """Return what was recommended to one shopper, by the event at which it was; view shopper_recommendations."""
    rows = asks.rows(
        """
        SELECT event_id, names FROM shopper_recommendations WHERE user_id = {user:String}
        ORDER BY event_at DESC LIMIT {limit:UInt32}
        """,
        {"user": user_id, "limit": limit},
    )
    return {row["event_id"]: row["names"] for row in rows}


def timeline(asks: Asks, user_id: str, limit: int = TIMELINE_EVENTS) -> list[Row]:
    """Return the last events of one shopper in the order of arrival; views shopper_timeline, named_ids.

    Among them are those under anonymous ids that the shopper has claimed; `anonymous_id` says under which, empty else.
    """
    rows = asks.rows(
        """
        SELECT if(user_id = {user:String}, '', user_id) AS anonymous_id, event_at, event_type, item_id,
               category, channel, price, propensity_session, propensity_1h, propensity_24h, model, event_id,
               source_topic,
               left(leftPad(lower(hex(xxh3(event_id))), 16, '0'), 9) AS event_hash
        FROM shopper_timeline
        WHERE event_type != 'impression'
            AND user_id IN (
                SELECT {user:String} UNION ALL SELECT anonymous_id FROM named_ids WHERE user_id = {user:String}
            )
            AND (user_id = {user:String} OR (user_id, source_partition, source_offset) IN (
                SELECT done.user_id, done.source_partition, done.source_offset
                FROM (
                    SELECT user_id, event_at, source_partition, source_offset FROM shopper_timeline
                    WHERE user_id IN (SELECT anonymous_id FROM named_ids WHERE user_id = {user:String})
                ) AS done
                ASOF INNER JOIN (
                    SELECT anonymous_id, user_id, named_at FROM named_ids
                    WHERE anonymous_id IN (SELECT anonymous_id FROM named_ids WHERE user_id = {user:String})
                ) AS claims ON claims.anonymous_id = done.user_id AND claims.named_at >= done.event_at
                WHERE claims.user_id = {user:String}
            ))
        ORDER BY scored_at DESC, source_offset DESC LIMIT {limit:UInt32}
        """,
        {"user": user_id, "limit": limit},
    )
    return rows[::-1]
