"""Does the pipeline keep up? Rows, delays, lag and dead letters from the views, processes from their metrics."""

import processes
from panels import (
    SERIES,
    Json,
    dashboard,
    gauges,
    lines,
    over_time,
    promql,
    sql,
    stat,
    steps,
    table,
)

RANGE_BY_HOUR = "hour >= toStartOfHour($__fromTime) AND hour <= $__toTime"
DELAY = steps("green", (1_000, "orange"), (10_000, "red"))


def pipeline() -> Json:
    """Return the dashboard `cartcast-pipeline`."""
    return dashboard(
        "cartcast-pipeline",
        "Cartcast: pipeline",
        "Whether scoring keeps up: throughput, delays, lag and dead letters. Times are when events were scored.",
        [
            ("", 4, _numbers()),
            ("Throughput and delay", 8, _flow()),
            ("", 8, _delays()),
            ("Consumer lag", 8, _lag()),
            ("Dead letters", 8, _dead_letters()),
            ("Sources", 8, [_sources()]),
            *processes.rows(),
        ],
        time={"from": "now-1h", "to": "now"},
        refresh="10s",
        links=[{"type": "dashboards", "title": "Cartcast", "tags": ["cartcast"], "keepTime": False}],
    )


def _numbers() -> list[Json]:
    return [
        stat(
            "Rows stored",
            sql("SELECT sum(rows) AS rows FROM pipeline_by_minute WHERE $__timeFilter(minute)"),
            "Events that were scored in the range and are rows of ClickHouse.",
        ),
        stat(
            "Event to score, p99",
            over_time("""
                SELECT minute AS time, event_to_score_p99_ms AS p99
                FROM pipeline_by_minute
                WHERE $__timeFilter(minute)
                ORDER BY time
            """),
            "From an event's Kafka time to its score, in the latest minute: 99 % are faster.",
            unit="ms",
            thresholds=DELAY,
        ),
        stat(
            "Event to row, p99",
            over_time("""
                SELECT minute AS time, event_to_row_p99_ms AS p99
                FROM pipeline_by_minute
                WHERE $__timeFilter(minute)
                ORDER BY time
            """),
            "From an event's Kafka time to its row's insert, in the latest minute: 99 % are faster.",
            unit="ms",
            thresholds=DELAY,
        ),
        stat(
            "Consumer lag now",
            sql("SELECT sum(lag) AS lag FROM lag_now WHERE at > now() - INTERVAL 5 MINUTE"),
            "Records that workers and sinks have not done, at the latest sample, if it is not older than 5 minutes.",
            thresholds=steps("green", (10_000, "orange"), (100_000, "red")),
        ),
        stat(
            "Dead letters",
            sql(f"SELECT sum(dead_letters) AS dead_letters FROM dead_letters_by_hour WHERE {RANGE_BY_HOUR}"),
            "Records that were refused in the hours of the range.",
            thresholds=steps("green", (1, "orange")),
        ),
        stat(
            "Duplicates",
            sql("SELECT sum(duplicates) AS duplicates FROM source_progress"),
            "Events that their shopper had sent before, of all that is stored: neither applied nor scored again.",
        ),
    ]


def _flow() -> list[Json]:
    return [
        lines(
            "Rows a second",
            over_time("""
                SELECT $__timeInterval(minute) AS time, sum(rows) / $__interval_s AS rows
                FROM pipeline_by_minute
                WHERE $__timeFilter(minute)
                GROUP BY time
                ORDER BY time
            """),
            "By the minute of scoring; the latest minute is not over yet.",
            unit="short",
            interval="1m",
        ),
        lines(
            "Workers, events a second",
            promql(
                ("sum(rate(cartcast_worker_events_total[$__rate_interval]))", "judged"),
                ("sum(rate(cartcast_worker_scores_total[$__rate_interval]))", "scored"),
                ("sum(rate(cartcast_worker_duplicates_total[$__rate_interval]))", "duplicates"),
                ("sum(rate(cartcast_worker_dead_letters_total[$__rate_interval]))", "dead letters"),
                ("sum(rate(cartcast_worker_already_applied_total[$__rate_interval]))", "skipped after a restart"),
                ("sum(rate(cartcast_worker_other_types_total[$__rate_interval]))", "of unknown type"),
                ("sum(rate(cartcast_worker_clock_ahead_total[$__rate_interval]))", "dated too far ahead"),
                (
                    "sum(rate(cartcast_worker_misplaced_total[$__rate_interval]))",
                    "in another partition than their key's",
                ),
                ("sum(rate(cartcast_worker_fenced_total[$__rate_interval]))", "partitions lost to another worker"),
                (
                    "sum(rate(cartcast_worker_fenced_scores_total[$__rate_interval]))",
                    "scores of those, perhaps repeated",
                ),
                (
                    "sum(rate(cartcast_worker_skipped_records_total[$__rate_interval]))",
                    "skipped by a foreign commit",
                ),
                (
                    "sum(rate(cartcast_worker_deleted_records_total[$__rate_interval]))",
                    "deleted before they were scored",
                ),
            ),
            "All workers together, from their own counts.",
        ),
    ]


def _delays() -> list[Json]:
    return [
        lines(
            title,
            over_time(f"""
                SELECT
                    $__timeInterval(minute) AS time,
                    max({column}_p50_ms) AS p50,
                    max({column}_p95_ms) AS p95,
                    max({column}_p99_ms) AS p99
                FROM pipeline_by_minute
                WHERE $__timeFilter(minute)
                GROUP BY time
                ORDER BY time
            """),
            f"{text} Each point is the worst minute of its step.",
            unit="ms",
            interval="1m",
        )
        for title, column, text in (
            ("Delay from event to score", "event_to_score", "From the event's Kafka time to its scoring."),
            ("Delay from event to row", "event_to_row", "From the event's Kafka time to its row's insert."),
        )
    ]


def _lag() -> list[Json]:
    return [
        lines(
            "Records behind, by consumer group",
            over_time("""
                SELECT $__timeInterval(minute) AS time, consumer_group AS series, max(lag) AS lag
                FROM lag_by_minute
                WHERE $__timeFilter(minute)
                GROUP BY time, series
                ORDER BY time
            """),
            "All partitions together; the largest sample of each step.",
            interval="1m",
            displayName=SERIES,
        ),
        gauges(
            "Records behind now, by topic and partition",
            sql("""
                SELECT concat(topic, ' ', toString(partition)) AS partition_of, lag
                FROM lag_now
                ORDER BY lag DESC, partition_of
                LIMIT 24
            """),
            "At the latest sample. One partition that is far behind the others is a busy shopper, or a stuck process.",
            rows=True,
        ),
        lines(
            "Records behind (Prometheus)",
            promql(("sum by (consumer_group) (cartcast_consumer_lag)", "{{consumer_group}}")),
            "The same samples as one sink serves them.",
        ),
    ]


def _dead_letters() -> list[Json]:
    return [
        lines(
            "Dead letters an hour, by reason",
            over_time(f"""
                SELECT hour AS time, reason AS series, sum(dead_letters) AS dead_letters
                FROM dead_letters_by_hour
                WHERE {RANGE_BY_HOUR}
                GROUP BY time, series
                ORDER BY time
            """),
            "Records that the worker or the sink refused.",
            bars=True,
            stacked=True,
            interval="1h",
            displayName=SERIES,
        ),
        table(
            "Latest dead letters",
            sql("""
                SELECT
                    dead_at, reason, error, source_topic, source_partition, source_offset, value_bytes,
                    letter_partition, letter_offset
                FROM recent_dead_letters
                WHERE $__timeFilter(dead_at)
                ORDER BY dead_at DESC
                LIMIT 200
            """),
            "Where each refused record lay, and where in the dead-letter topic its value is.",
            units={"value_bytes": "bytes", "source_offset": "none", "letter_offset": "none"},
        ),
    ]


def _sources() -> Json:
    return table(
        "Progress by source partition",
        sql("""
            SELECT source_topic, source_partition, first_offset, last_offset, rows, dead_letters, duplicates
            FROM source_progress
            ORDER BY source_topic, source_partition
        """),
        "What became of each partition's offsets: rows, dead letters, or duplicates.",
        units={"first_offset": "none", "last_offset": "none", "source_partition": "none"},
    )
