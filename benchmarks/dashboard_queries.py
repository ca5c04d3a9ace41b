"""Times every question that the dashboard's pages ask, over 10 million generated rows (or `--rows`).

Needs a ClickHouse: `cartcast up`, then `.venv/bin/python -m benchmarks.dashboard_queries --fill`. The database
is `dashboard_benchmark`; without `--fill` the rows of the last run are used. Each question is asked three times; the
best and the worst time are printed. `--categories 1000000` makes a category for every tenth event.
"""

import argparse
import sys
import time
from collections.abc import Callable, Iterator
from datetime import timedelta

from cartcast.settings import load_settings
from dashboard.clickhouse import Database
from dashboard.queries import conversion, inputs, items, model, overview, pipeline, shoppers
from dashboard.queries.conversion import Funnel
from dashboard.queries.range import Range, stored_span
from dashboard.queries.sample import Sample, sample_of
from dashboard.queries.shoppers import Filters
from service.clickhouse import connect
from service.clickhouse_settings import ClickHouseSettings
from sinks.schema.migrate import migrate

DATABASE = "dashboard_benchmark"
BLOCK = 500_000
DAYS = 30
START_MS = 1_767_571_200_000

_ROWS = """
INSERT INTO scores (user_id, event_id, event_type, item_id, category, channel, price, event_time, propensity_session,
    propensity_1h, propensity_24h, model, source_topic, source_partition, source_offset, source_timestamp,
    scored_at, stored_at)
SELECT
    concat('shopper-', toString(toUInt32(pow(rand(1) / 4294967295, 2) * {users:UInt32}))),
    concat('e', toString(number)),
    transform(rand(2) % 100, range(100), arrayMap(i -> multiIf(i < 62, 'view', i < 79, 'search', i < 84, 'favorite',
        i < 91, 'cart', i < 93, 'remove_from_cart', i < 96, 'checkout', i < 99, 'purchase', 'review'), range(100)), ''),
    concat('item-', toString(rand(3) % 50000)),
    concat('category-', toString(toUInt32(pow(rand(4) / 4294967295, 2) * {categories:UInt32}))),
    ['direct', 'search', 'mail', 'social'][1 + rand(5) % 4],
    5 + rand(6) % 30000 / 100,
    {start:Int64} + toInt64(number / {total:UInt64} * {days:UInt32} * 86400000) + rand(7) % 60000,
    least(p * .8, 1), least(p * .85, 1), p,
    if(number < {total:UInt64} * .6, 'lstm64-a', 'lstm64-b'),
    'cartcast.events', rand(8) % 8, number,
    {start:Int64} + toInt64(number / {total:UInt64} * {days:UInt32} * 86400000) AS sent,
    sent + 10 + rand(9) % 60,
    fromUnixTimestamp64Milli(toInt64(sent + 200 + rand(10) % 900))
FROM (SELECT number, pow(rand(11) / 4294967295, 4) * .98 + .001 AS p FROM numbers({first:UInt64}, {count:UInt64}))
"""

_LISTS = """
INSERT INTO scores (user_id, event_id, event_type, shown, shown_by, placement, event_time, model, source_topic,
    source_partition, source_offset, source_timestamp, scored_at)
SELECT user_id, concat('shown-', event_id), 'impression',
    arrayMap(place -> if(place = rand(place + 1000) % 30, item_id, concat('item-', toString(rand(place) % 50000))),
        range(24)),
    ['model-1', 'model-2', 'popular'][1 + source_offset % 3], ['home', 'product', 'search'][1 + rand(1) % 3],
    event_time - 60000, model, source_topic, source_partition, source_offset + 1000000000, source_timestamp, scored_at
FROM scores WHERE event_type = 'view' AND source_offset % 3 = 0
"""
"""A list of 24 items before every third view."""


def main() -> None:
    """Fill if asked to, then ask."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--users", type=int, default=200_000)
    parser.add_argument("--categories", type=int, default=1000)
    parser.add_argument("--fill", action="store_true")
    options = parser.parse_args()
    settings = load_settings().clickhouse.model_copy(update={"database": DATABASE, "retention_days": 0})
    source = ClickHouseSettings(url=settings.url, database=DATABASE, user=settings.user, password=settings.password)
    if options.fill:
        connect(settings).command(f"DROP DATABASE IF EXISTS {DATABASE}")
        migrate(settings)
        _fill(source, options)
    _ask(Database(source))


def _fill(source: ClickHouseSettings, options: argparse.Namespace) -> None:
    client = connect(source, database=DATABASE)
    started = time.monotonic()
    for first in range(0, options.rows, BLOCK):
        bound = {
            "users": options.users,
            "categories": options.categories,
            "days": DAYS,
            "start": START_MS,
            "total": options.rows,
            "first": first,
            "count": min(BLOCK, options.rows - first),
        }
        client.command(_ROWS, parameters=bound)
        sys.stderr.write(f"\r{first + bound['count']:,} rows in {time.monotonic() - started:.0f} s")
    client.command(_LISTS)
    sys.stderr.write("\n")


def _ask(database: Database) -> None:
    stored = stored_span(database)
    if stored is None:
        raise SystemExit(f"database {DATABASE} is empty: give --fill")
    sys.stdout.write(f"{stored.events:,} rows, {stored.first:%Y-%m-%d} to {stored.last:%Y-%m-%d}\n\n")
    sys.stdout.write(f"{'question':<52}{'best s':>8}{'worst s':>9}{'rows':>7}\n")
    for name, question in _questions(database, Range.covering(stored.first, stored.last)):
        times = []
        for _ in range(3):
            started = time.monotonic()
            answer = question()
            times.append(time.monotonic() - started)
        rows = len(answer) if isinstance(answer, list) else 1
        sys.stdout.write(f"{name:<52}{min(times):>8.3f}{max(times):>9.3f}{rows:>7}\n")


Question = Callable[[], object]


def _questions(asks: Database, everything: Range) -> Iterator[tuple[str, Question]]:
    day = Range(everything.until - timedelta(days=1), everything.until)
    top = shoppers.ranked(asks, Filters(day), "Propensity", "24h", 1)[0]["user_id"]
    newest = model.models(asks)[0]["model"]
    yield "stored_span", lambda: stored_span(asks)
    yield "overview.channels", lambda: overview.channels(asks)
    for words, span in (("a day", day), ("everything", everything)):
        yield from _about(asks, span, words, newest)
    yield "shoppers.event_types", lambda: shoppers.event_types(asks)
    yield "shoppers.joined", lambda: shoppers.joined(asks, everything)
    yield "shoppers.matching_categories, all", lambda: shoppers.matching_categories(asks, "")
    yield "shoppers.matching_categories, a part", lambda: shoppers.matching_categories(asks, "77")
    yield "shoppers.shopper", lambda: shoppers.shopper(asks, top)
    yield "shoppers.timeline", lambda: shoppers.timeline(asks, top)
    yield "model.models", lambda: model.models(asks)
    yield "model.evaluation", lambda: model.evaluation(asks, "24h")
    yield "model.evaluated_until", lambda: model.evaluated_until(asks, newest, "24h")
    yield "model.operating_points", lambda: model.operating_points(asks, newest, "24h")
    yield "model.shown_by_list", lambda: model.shown_by_list(asks)
    yield "model.shown_by_position", lambda: model.shown_by_position(asks)
    yield "pipeline.active_span", lambda: pipeline.active_span(asks)
    yield "pipeline.latest_minutes", lambda: pipeline.latest_minutes(asks)
    yield "pipeline.lag_before", lambda: pipeline.lag_before(asks)
    yield "pipeline.progress", lambda: pipeline.progress(asks)
    yield "pipeline.progress_totals", lambda: pipeline.progress_totals(asks)
    yield "pipeline.lag_now", lambda: pipeline.lag_now(asks)
    yield "pipeline.recent_dead_letters", lambda: pipeline.recent_dead_letters(asks)


def _about(asks: Database, span: Range, words: str, newest: str) -> Iterator[tuple[str, Question]]:
    everybody = Filters(span)
    yield f"overview.measured, {words}", lambda: overview.measured(asks, span)
    yield f"overview.events_over_time, {words}", lambda: overview.events_over_time(asks, span)
    yield f"overview.events_by_minute, {words}", lambda: overview.events_by_minute(asks, span)
    yield f"overview.propensity_over_time, {words}", lambda: overview.propensity_over_time(asks, span)
    yield f"overview.propensity_by channel, {words}", lambda: overview.propensity_by(asks, "channel", span)
    yield f"overview.propensity_by_category, {words}", lambda: overview.propensity_by_category(asks, span)
    yield f"shoppers.segments_within, {words}", lambda: shoppers.segments_within(asks, everybody)
    yield f"shoppers.ranked, {words}", lambda: shoppers.ranked(asks, everybody, "Propensity", "24h", 1000)
    yield (
        f"shoppers.ranked, searched, {words}",
        lambda: shoppers.ranked(asks, Filters(span, search="77"), "Value at stake", "24h", 25),
    )
    yield f"shoppers.above, {words}", lambda: shoppers.above(asks, everybody, "24h", 0.3)
    yield from _following(asks, span, words)
    sampled = items.sample(asks, span)
    yield f"items.wanted, {words}", lambda: items.wanted(asks, span, "24h", sampled, 25)
    yield f"items.cold, {words}", lambda: items.cold(asks, span, sampled, 25)
    yield f"model.calibration, {words}", lambda: model.calibration(asks, newest, "24h", span)
    yield f"model.evaluation_by_hour, {words}", lambda: model.evaluation_by_hour(asks, newest, "24h", span)
    yield f"model.drift, {words}", lambda: model.drift(asks, newest, "24h", span)
    yield f"model.distribution, {words}", lambda: model.distribution(asks, "24h", span)
    yield f"pipeline.by_minute, {words}", lambda: pipeline.by_minute(asks, span)
    yield f"pipeline.lag_over_time, {words}", lambda: pipeline.lag_over_time(asks, span)
    yield f"pipeline.dead_letters_over_time, {words}", lambda: pipeline.dead_letters_over_time(asks, span)


def _following(asks: Database, span: Range, words: str) -> Iterator[tuple[str, Question]]:
    """Yield the questions that follow shoppers through their events."""
    asked = Funnel(overview.FUNNEL, timedelta(days=1), "Propensity")
    sampled, reference = sample_of(asks, asked.reading(span)), Range(span.since, span.since + timedelta(days=1))
    yield f"sample.sample_of, {words}", lambda: sample_of(asks, span)
    yield f"conversion.funnel, {words}", lambda: conversion.funnel(asks, span, asked, sampled)
    yield f"conversion.cohorts, {words}", lambda: conversion.cohorts(asks, span, _of_all_weeks(asks, span))
    yield f"inputs.drift, {words}", lambda: inputs.drift(asks, span, reference, sampled)


def _of_all_weeks(asks: Database, span: Range) -> Sample:
    """Return the page's sample: cohorts begin with the first event that is stored."""
    stored = stored_span(asks)
    return sample_of(asks, span if stored is None else Range(stored.first, span.until))


if __name__ == "__main__":
    main()
