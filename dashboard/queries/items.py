"""Which items are wanted: most, more than before, or for the first time.

A shop may have a million items, and shoppers of each are counted: of a long range those of a sample (`sample.py`).
"""

from dataclasses import replace
from typing import Final

from dashboard.clickhouse import Row
from dashboard.queries.range import HORIZONS, Asks, Range
from dashboard.queries.sample import DURING, SAMPLED, Sample, sample_of

FEW_EVENTS: Final = 5
"""An item with fewer events ever is cold."""
_CANDIDATES: Final = 200
_BEFORE: Final = "event_time >= {before:Int64} * 1000 AND event_time < {before_until:Int64} * 1000"
_SINCE_BEFORE: Final = "event_time >= {before:Int64} * 1000 AND event_time < {until:Int64} * 1000"
_BY_SHOPPER: Final = f"""
    SELECT item_id, shopper_hash, any(e.category) AS category,
           countIf(event_type = 'view' AND {DURING}) AS views,
           countIf(event_type = 'cart' AND {DURING}) > 0 AS has_carted,
           countIf(event_type = 'purchase' AND {DURING}) > 0 AS has_bought,
           countIf(event_type = 'view' AND {_BEFORE}) > 0 AS has_viewed_before,
           countIf(event_type = 'cart' AND {_BEFORE}) > 0 AS has_carted_before,
           countIf(event_type = 'purchase' AND {_BEFORE}) > 0 AS has_bought_before,
           avgIf(PROPENSITY, event_type = 'view' AND {DURING}) AS propensity
    FROM item_events AS e
    WHERE {_SINCE_BEFORE} AND {SAMPLED} AND event_type IN ('view', 'cart', 'purchase')
    GROUP BY item_id, shopper_hash
"""  # noqa: S608 - constants
_BY_ITEM: Final = f"""
    SELECT item_id, any(s.category) AS category, countIf(views > 0) AS viewers, countIf(has_carted) AS carters,
           countIf(has_bought) AS buyers, countIf(has_viewed_before) AS viewers_before,
           countIf(has_carted_before) AS carters_before, countIf(has_bought_before) AS buyers_before,
           avgIf(s.propensity, isFinite(s.propensity)) AS propensity
    FROM ({_BY_SHOPPER}) AS s
    GROUP BY item_id
"""  # noqa: S608


def sample(asks: Asks, span: Range) -> Sample:
    """Return which shoppers to look at, of a range and the time before it; view events_by_hour."""
    return sample_of(asks, replace(span, since=span.before().since))


def wanted(  # noqa: PLR0913 - what, of when, and how many
    asks: Asks, span: Range, horizon: str, sampled: Sample, limit: int, *, before: Range | None = None
) -> list[Row]:
    """Return the items with most viewers and those that rise fastest; view item_events.

    `viewers`, `carters` and `buyers` are distinct shoppers in the range, `viewers_before` in the time `before` it,
    which is as long if it is not given.
    `rise` is how many times as many viewers as then, relative to the viewers of all items, and `rise_low` the lower end
    of its 95 % interval, from which few viewers cannot make much: the logarithm of a ratio of two Poisson counts has a
    variance of about 1/a + 1/b. `items` are those viewed in the range, `carted` and `bought` shares of them, and
    `items_before`, `carted_before` and `bought_before` the same of the time before.
    `most` and `fastest` are the places in the two rankings, from 1.
    """
    propensity = f"propensity_{horizon if horizon in HORIZONS else '24h'}"
    return asks.rows(
        f"""
        SELECT * FROM (
            SELECT *, row_number() OVER (ORDER BY viewers DESC, carters DESC, item_id) AS most,
                   row_number() OVER (ORDER BY rise_low DESC, item_id) AS fastest
            FROM (
                SELECT *, (viewers + 0.5) / (viewers_before + 0.5) * (all_before + 0.5) / (all_now + 0.5) AS rise,
                       rise * exp(-1.96 * sqrt(1 / (viewers + 0.5) + 1 / (viewers_before + 0.5))) AS rise_low
                FROM (
                    SELECT *, sum(viewers) OVER () AS all_now, sum(viewers_before) OVER () AS all_before,
                           countIf(viewers > 0) OVER () AS items,
                           countIf(viewers > 0 AND carters > 0) OVER () / items AS carted,
                           countIf(viewers > 0 AND buyers > 0) OVER () / items AS bought,
                           countIf(viewers_before > 0) OVER () AS items_before,
                           countIf(viewers_before > 0 AND carters_before > 0) OVER () / items_before AS carted_before,
                           countIf(viewers_before > 0 AND buyers_before > 0) OVER () / items_before AS bought_before
                    FROM ({_BY_ITEM.replace("PROPENSITY", propensity)})
                )
            )
        )
        WHERE viewers > 0 AND (most <= {{limit:UInt32}} OR fastest <= {{limit:UInt32}})
        ORDER BY most LIMIT 1000
        """,  # noqa: S608 - the parts are constants, values are bound
        {**_bound(span, before), "last_hash": sampled.last_hash, "limit": limit},
    )


def cold(asks: Asks, span: Range, sampled: Sample, limit: int) -> list[Row]:
    """Return items with an event in the range and fewer than FEW_EVENTS ever, the latest first; view item_events.

    `events` are those ever, of all shoppers. Of a sample there may be more of such items than are found.
    """
    return asks.rows(
        f"""
        SELECT item_id, count() AS events, fromUnixTimestamp64Milli(max(e.event_time), 'UTC') AS last_seen
        FROM item_events AS e
        WHERE item_id IN (
            SELECT item_id FROM item_events WHERE {DURING} AND {SAMPLED}
            GROUP BY item_id HAVING count() < {FEW_EVENTS} ORDER BY count(), max(event_time) DESC LIMIT {_CANDIDATES}
        )
        GROUP BY item_id HAVING events < {FEW_EVENTS}
        ORDER BY last_seen DESC, events DESC, item_id LIMIT {{limit:UInt32}}
        """,  # noqa: S608
        {**_bound(span), "last_hash": sampled.last_hash, "limit": limit},
    )


def _bound(span: Range, before: Range | None = None) -> dict[str, str | int | float]:
    bounds = (before or span.before()).bound()
    return {**span.bound(), "before": bounds["since"], "before_until": bounds["until"]}
