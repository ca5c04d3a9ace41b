"""Pipeline: whether it keeps up, and what it refuses."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import streamlit as st

from dashboard import annotations, bar, config, missing
from dashboard.annotations import Annotation
from dashboard.cards import When, card, number, numbers, table
from dashboard.charts import pipeline as charts
from dashboard.charts import theme
from dashboard.clickhouse import Row
from dashboard.formatting import change, count, milliseconds, moment, plural
from dashboard.queries import pipeline as queries
from dashboard.queries.range import Asks, Range
from dashboard.remembered import RememberedDatabase

ROW_HEIGHT = 35
"""Of a table, in pixels."""
SLOWER = 3
"""Charts ask again so many times more seldom than the counters."""
FRESH = timedelta(minutes=3)
"""A sample of the lag that is older is no news: a running sink takes one every few seconds."""


def page() -> None:
    """Show the page."""
    asks = RememberedDatabase()
    st.title("Pipeline", anchor=False)
    active = queries.active_span(asks)
    if active is None:
        missing.no_events()
        return
    with st.container(horizontal=True, vertical_alignment="top"):
        bar.time_range(active, "activity")
    seconds = config.settings().refresh_seconds
    st.fragment(run_every=seconds)(_counters)()
    st.fragment(run_every=seconds * SLOWER)(_charts)()
    _tables(asks)


def _span(asks: Asks) -> Range | None:
    active = queries.active_span(asks)
    return None if active is None else bar.chosen_range(active)


def _before(asks: Asks, span: Range) -> Range | None:
    """Return the time before a range, as long as it; None if the pipeline did not run for all of it."""
    active = queries.active_span(asks)
    return span.before(active) if active and span.has_all_before(active) else None


def _counters() -> None:
    with missing.calmly():
        asks = RememberedDatabase()
        minutes, progress, lags = queries.latest_minutes(asks), queries.progress_totals(asks), queries.lag_now(asks)
        latest = minutes[0] if minutes else None
        behind = sum(row["lag"] for row in lags) if lags else None
        with numbers("pipeline"):
            for label, (name, shown, explanation) in _OF_A_MINUTE.items():
                now, before = ([row[name] for row in minutes] + [None, None])[:2]
                number(label, shown(now), explanation, change(now, before))
            number(
                "Behind",
                count(behind),
                "Consumer lag, all groups and partitions, as last sampled.",
                change(behind, queries.lag_before(asks)),
            )
            number(
                "Duplicates", count(progress["duplicates"]), "Events sent twice: counted once. Over everything stored."
            )
            number(
                "Dead letters", count(queries.dead_letters(asks)), "Records that were refused. Over everything stored."
            )
        words = "nothing scored since" if latest and latest["stored"] == 0 else "latest whole minute of scoring:"
        scored = [f"{words} {moment(latest['minute'])}"] if latest else []
        compared = "changes: to the minute before"
        updates = f"updates every {config.settings().refresh_seconds:g} s · times: {config.zone_name()}"
        st.caption(" · ".join([*scored, compared, _sampled(lags), updates]))


_OF_A_MINUTE: Final[dict[str, tuple[str, Callable[[float | None], str], str]]] = {
    "Rows / min": ("stored", count, "Rows scored in the latest whole minute; 0 once nothing has been for three."),
    "Score p50": (
        "event_to_score_p50_ms",
        milliseconds,
        "From the event's Kafka time to its scoring, median of that minute.",
    ),
    "Score p99": ("event_to_score_p99_ms", milliseconds, "99 % are faster."),
    "Row p99": (
        "event_to_row_p99_ms",
        milliseconds,
        "From the event's Kafka time to its row in ClickHouse; 99 % are faster.",
    ),
}
"""Numbers of the latest minute, by their labels: name, how they are written, what they are."""


def _sampled(lags: list[Row]) -> str:
    """Say when the lag was sampled, or that nobody does so any more."""
    if not lags:
        return "no sample of the lag"
    latest = max(row["at"] for row in lags)
    old = datetime.now(UTC) - latest > FRESH
    return f"no sample of the lag since {moment(latest)}" if old else f"lag sampled at {moment(latest)}"


def _charts() -> None:
    with missing.calmly():
        asks = RememberedDatabase()
        span = _span(asks)
        if span is None:
            return
        rows = queries.by_minute(asks, span)
        step = span.fine_step
        before = _before(asks, span)
        happened = annotations.within(asks, span, scoring=True)
        left, right = st.columns(2)
        with left:
            _throughput(rows, queries.stored(asks, before) if before else None, step, happened)
        with right:
            _delays(rows, step, happened)
        left, right = st.columns(2)
        with left:
            _lag(asks, span, happened)
        with right:
            _dead_letters(asks, span, before, happened)


def _throughput(rows: list[Row], before: int | None, step: timedelta, happened: list[Annotation]) -> None:
    if not rows:
        with card("Throughput"):
            missing.nothing_here("No row was scored in this range.")
        return
    most = max(row["most_a_minute"] for row in rows)
    total = sum(row["stored"] for row in rows)
    with card(
        f"{plural(total, 'row')}{_changed(total, before)}, at most {count(most)} a minute",
        f"By time of scoring; a bar is {_words(step)}.",
    ):
        chart = theme.annotated(charts.throughput(rows, step), happened)
        st.altair_chart(chart, alt="Rows a minute over time", key="throughput")


def _changed(now: int, before: int | None) -> str:
    """Say by how much a number of the range has changed, if that is known."""
    changed = change(now, before)
    return f" ({changed} to the time before)" if changed else ""


def _delays(rows: list[Row], step: timedelta, happened: list[Annotation]) -> None:
    known = [row for row in rows if row["event_to_row_p99_ms"] is not None]
    if not known:
        with card("Delays"):
            missing.nothing_here("No row of this range says when its event came to Kafka.")
        return
    worst = max(row["event_to_row_p99_ms"] for row in known)
    note = "" if step <= timedelta(minutes=1) else f" Of {_words(step)} the worst."
    with card(
        f"In the worst minute 99 % of the rows are in place within {milliseconds(worst)}",
        f"From the event's Kafka time.{note}",
    ):
        chart = theme.annotated(charts.delays(known, step), happened)
        st.altair_chart(chart, alt="Delay percentiles over time", key="delays")


def _lag(asks: Asks, span: Range, happened: list[Annotation]) -> None:
    rows = queries.lag_over_time(asks, span)
    if not rows:
        with card("Consumer lag"):
            missing.nothing_here("No sample in this range: a running sink takes one every few seconds.")
        return
    worst = max(rows, key=lambda row: row["lag"])
    with card(
        f"At most {plural(worst['lag'], 'record')} behind, at {moment(worst['time'])}",
        "Records on a topic that its consumer group has not done, all partitions together.",
    ):
        chart = theme.annotated(charts.lag(rows, span.fine_step), happened)
        st.altair_chart(chart, alt="Consumer lag over time", key="lag")
        lags = queries.lag_now(asks)
        table(
            lags,
            "lag",
            _LAG,
            description="Consumer lag of each group and partition, as last sampled",
            height=_height(lags, 180),
        )


def _dead_letters(asks: Asks, span: Range, before: Range | None, happened: list[Annotation]) -> None:
    rows = queries.dead_letters_over_time(asks, span)
    total = sum(row["dead_letters"] for row in rows)
    with card(
        f"{plural(total, 'dead letter')} in this range"
        + _changed(total, queries.dead_letters(asks, before) if before and before.until == span.since else None),
        f"Refused records by reason, a bar is {_words(span.step)}; they stay on the dead-letter topic.",
    ):
        if rows:
            chart = theme.annotated(charts.dead_letters(rows, span.step), happened)
            st.altair_chart(chart, alt="Dead letters over time", key="dead-letters")
            reasons = queries.dead_letters_by_reason(asks, span)
            table(reasons, "reasons", _REASONS, description="Dead letters by reason with an example")
        else:
            missing.nothing_here("No record was refused in this range.")


def _tables(asks: Asks) -> None:
    _progress(queries.progress(asks))
    _recent(asks)


def _progress(progress: list[Row]) -> None:
    if not progress:
        with card("Offsets"):
            missing.nothing_here("No row is stored yet: offsets are counted from the first on.")
        return
    with card(
        f"{plural(len(progress), 'partition')} of the events topic",
        "Each offset is a row, a dead letter, or an event that came twice; what is not stored yet counts as the last.",
    ):
        table(progress, "progress", _PROGRESS, description="Offsets of each partition and what became of them")


def _recent(asks: Asks) -> None:
    recent = queries.recent_dead_letters(asks)
    if recent:
        with card(
            "The last dead letter" if len(recent) == 1 else f"The last {count(len(recent))} dead letters",
            "Values stay in Kafka: read the dead-letter topic there. Correct the producer, then send them again.",
        ):
            table(recent, "dead-letters", _RECENT, description="The last refused records", height=_height(recent, 300))


def _height(rows: list[Row], most: int) -> int | None:
    """Return the height of a table, None if its rows fill less: no lines without rows."""
    return most if ROW_HEIGHT * (len(rows) + 1) > most else None


def _words(step: timedelta) -> str:
    minutes = int(step.total_seconds() // 60)
    if minutes < 60:
        return "1 minute" if minutes == 1 else f"{minutes} minutes"
    return "1 hour" if minutes == 60 else f"{minutes // 60} hours"


_NUMBER, _TEXT = st.column_config.NumberColumn, st.column_config.TextColumn
_REASONS: dict[str, Any] = {
    "reason": _TEXT("Reason", width="small"),
    "dead_letters": _NUMBER("Dead letters", format="localized", width=105),
    "example_error": _TEXT("For example"),
}
_PROGRESS: dict[str, Any] = {
    "source_topic": _TEXT("Topic"),
    "source_partition": _NUMBER("Partition"),
    "first_offset": _NUMBER("First offset", format="localized"),
    "last_offset": _NUMBER("Last offset", format="localized"),
    "stored": _NUMBER("Rows", format="localized"),
    "dead_letters": _NUMBER("Dead letters", format="localized"),
    "duplicates": _NUMBER("Duplicates", format="localized"),
}
_LAG: dict[str, Any] = {
    "consumer_group": _TEXT("Consumer group"),
    "topic": _TEXT("Topic"),
    "partition": _NUMBER("Partition"),
    "lag": _NUMBER("Behind", format="localized"),
    "committed": _NUMBER("Committed", format="localized"),
    "end_offset": _NUMBER("End", format="localized"),
    "at": When("Sampled"),
}
_RECENT: dict[str, Any] = {
    "dead_at": When("Refused"),
    "reason": _TEXT("Reason", width="small"),
    "error": _TEXT("What is wrong", width="large"),
    "source_topic": _TEXT("Topic"),
    "source_partition": _NUMBER("Partition"),
    "source_offset": _NUMBER("Offset"),
    "value_bytes": _NUMBER("Bytes", format="localized"),
}
