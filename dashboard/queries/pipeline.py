"""Whether the pipeline keeps up. Times are those of scoring, of refusing, of sampling: not of the events."""

from dashboard.clickhouse import Row
from dashboard.queries.range import Asks, Range, Span, seconds, span_of, step_of, within

RECENT_LETTERS = 100
DELAYS = ("event_to_score_p50_ms", "event_to_score_p99_ms", "event_to_row_p50_ms", "event_to_row_p99_ms")


def active_span(asks: Asks) -> Span | None:
    """When anything was scored, refused or sampled; views pipeline_by_minute, dead_letters_by_hour, lag_by_minute."""
    rows = asks.rows(
        """
        SELECT min(first) AS first, max(last) AS last, sum(v.events) AS events FROM (
            SELECT min(minute) AS first, max(minute) AS last, toUInt64(sum(p.rows)) AS events
            FROM pipeline_by_minute AS p HAVING events > 0
            UNION ALL
            SELECT min(hour), max(hour), toUInt64(sum(d.dead_letters)) AS n FROM dead_letters_by_hour AS d HAVING n > 0
            UNION ALL
            SELECT min(minute), max(minute), toUInt64(count()) AS n FROM lag_by_minute HAVING n > 0
        ) AS v
        """
    )
    return span_of(rows)


def by_minute(asks: Asks, span: Range) -> list[Row]:
    """Rows and delays a minute of scoring, or a few; view pipeline_by_minute.

    Of several minutes: the sum of the rows, and the worst of the percentiles, which cannot be averaged.
    """
    worst = ", ".join(f"max(v.{name}) AS {name}" for name in DELAYS)
    return asks.rows(
        f"""
        SELECT {step_of("minute", span.fine_step)} AS time,
               sum(v.rows) AS stored, max(v.rows) AS most_a_minute, {worst}
        FROM pipeline_by_minute AS v WHERE {within("minute")} GROUP BY time ORDER BY time
        """,  # noqa: S608
        {**span.bound(), "step": seconds(span.fine_step)},
    )


def stored(asks: Asks, span: Range) -> int:
    """Rows scored in the range; view pipeline_by_minute."""
    rows = asks.rows(
        f"SELECT sum(v.rows) AS stored FROM pipeline_by_minute AS v WHERE {within('minute')}",  # noqa: S608
        span.bound(),
    )
    return int(rows[0]["stored"])


def latest_minutes(asks: Asks) -> list[Row]:
    """Return the last whole minute in which rows were scored, and the one before it; without rows if long over.

    View pipeline_by_minute. The newest minute is whole once its end is a minute ago: by then its rows are stored.
    Three minutes later nothing is scored any more, and the numbers would be those of another time.
    """
    of_then = ", ".join(f"if(is_over, NULL, v.{name}) AS {name}" for name in DELAYS)
    return asks.rows(
        f"""
        WITH (
            SELECT max(minute) FROM pipeline_by_minute
            WHERE minute < (SELECT max(minute) FROM pipeline_by_minute) OR minute < now() - INTERVAL 2 MINUTE
        ) AS latest, latest < now() - INTERVAL 4 MINUTE AS is_over
        SELECT minute, is_over, if(is_over, 0, v.rows) AS stored, {of_then}
        FROM pipeline_by_minute AS v
        WHERE minute <= latest AND minute >= latest - INTERVAL 1 MINUTE ORDER BY minute DESC LIMIT 2
        """  # noqa: S608
    )


def lag_now(asks: Asks) -> list[Row]:
    """Consumer lag of each group and partition, as last sampled; view lag_now."""
    return asks.rows(
        "SELECT consumer_group, topic, partition, committed, end_offset, lag, at FROM lag_now "
        "ORDER BY consumer_group, topic, partition LIMIT 1000"
    )


def lag_before(asks: Asks) -> int | None:
    """Return the consumer lag of all groups in the minute before the last sample's; view lag_by_minute."""
    rows = asks.rows(
        """
        SELECT sum(b.lag) AS behind, count() AS sampled FROM lag_by_minute AS b
        WHERE minute = (SELECT max(minute) - INTERVAL 1 MINUTE FROM lag_by_minute)
        """
    )
    return int(rows[0]["behind"]) if rows[0]["sampled"] else None


def lag_over_time(asks: Asks, span: Range) -> list[Row]:
    """Consumer lag of each group a minute, or the most of a few; view lag_by_minute."""
    return asks.rows(
        f"""
        SELECT {step_of("minute", span.fine_step)} AS time,
               consumer_group, max(v.total) AS lag
        FROM (
            SELECT minute, consumer_group, sum(b.lag) AS total
            FROM lag_by_minute AS b WHERE {within("minute")} GROUP BY minute, consumer_group
        ) AS v
        GROUP BY time, consumer_group ORDER BY time, consumer_group LIMIT 2000
        """,  # noqa: S608
        {**span.bound(), "step": seconds(span.fine_step)},
    )


def progress(asks: Asks) -> list[Row]:
    """Offsets, rows, dead letters and duplicates of each partition of the events topic; view source_progress."""
    return asks.rows(
        "SELECT source_topic, source_partition, first_offset, last_offset, v.rows AS stored, dead_letters, duplicates "
        "FROM source_progress AS v ORDER BY source_topic, source_partition LIMIT 1000"
    )


def topics(asks: Asks) -> list[str]:
    """Return the events topics that rows come from; view source_progress."""
    rows = asks.rows("SELECT DISTINCT source_topic FROM source_progress ORDER BY source_topic LIMIT 1000")
    return [row["source_topic"] for row in rows]


def progress_totals(asks: Asks) -> Row:
    """Return rows and duplicates of all partitions together; view source_progress."""
    return asks.rows("SELECT sum(v.rows) AS stored, sum(v.duplicates) AS duplicates FROM source_progress AS v")[0]


def dead_letters(asks: Asks, span: Range | None = None) -> int:
    """Refused records, over everything stored or of a range; view dead_letters_by_hour."""
    where = f"WHERE {within('hour')}" if span else ""
    rows = asks.rows(
        f"SELECT sum(v.dead_letters) AS dead_letters FROM dead_letters_by_hour AS v {where}",  # noqa: S608
        span.bound() if span else {},
    )
    return int(rows[0]["dead_letters"])


def dead_letters_over_time(asks: Asks, span: Range) -> list[Row]:
    """Refused records of each reason a step of the range; view dead_letters_by_hour."""
    return asks.rows(
        f"""
        SELECT {step_of("hour", span.step)} AS time, reason,
               sum(v.dead_letters) AS dead_letters
        FROM dead_letters_by_hour AS v WHERE {within("hour")}
        GROUP BY time, reason ORDER BY time, reason LIMIT 2000
        """,  # noqa: S608
        {**span.bound(), "step": seconds(span.step)},
    )


def dead_letters_by_reason(asks: Asks, span: Range) -> list[Row]:
    """Refused records of each reason with an example; view dead_letters_by_hour."""
    return asks.rows(
        f"""
        SELECT reason, sum(v.dead_letters) AS dead_letters, any(example_error) AS example_error
        FROM dead_letters_by_hour AS v WHERE {within("hour")}
        GROUP BY reason ORDER BY dead_letters DESC LIMIT 50
        """,  # noqa: S608
        span.bound(),
    )


def recent_dead_letters(asks: Asks) -> list[Row]:
    """Return the last refused records; view recent_dead_letters."""
    return asks.rows(
        "SELECT dead_at, reason, error, source_topic, source_partition, source_offset, value_bytes "
        "FROM recent_dead_letters ORDER BY dead_at DESC LIMIT {limit:UInt32}",
        {"limit": RECENT_LETTERS},
    )
