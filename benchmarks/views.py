"""Every view over ten million generated rows: how long it takes, and by which plan.

`.venv/bin/python -m benchmarks.views`; with `--rows 1000000 --plans` it is a shorter one, with every `EXPLAIN`. The
rows are an even flow over 30 days, some shoppers very busy, and 3 % purchases; there may be a million `--users` and
`--categories`. Views of one shopper are asked for one; the best of three runs counts, as the machine may have other
work.
"""

import argparse
import resource
import tempfile
import time
from typing import Any

import chdb

from sinks.schema.migrate import LEDGER, shipped_migrations

BLOCK_ROWS = 500_000
OF_ONE_SHOPPER = {"shopper_timeline": "user-77", "shopper_outcomes": "user-77777"}
ROWS_SQL = """
INSERT INTO scores (
    user_id, event_id, event_type, item_id, category, channel, price, event_time, propensity_session, propensity_1h,
    propensity_24h, model, source_topic, source_partition, source_offset, source_timestamp, scored_at, stored_at
)
WITH
    {start} + number AS i,
    1700000000000 + intDiv(30 * 86400000 * i, {rows}) AS time_ms,
    cityHash64(i, 1) % 1000000 / 1000000 AS drawn,
    multiIf(drawn < 0.55, 'view', drawn < 0.75, 'search', drawn < 0.8, 'favorite', drawn < 0.9, 'cart',
        drawn < 0.92, 'remove_from_cart', drawn < 0.96, 'checkout', drawn < 0.99, 'purchase', 'review') AS type,
    sqrt(-2 * log((cityHash64(i, 2) % 1000000 + 1) / 1000001)) * cos(6.283185 * (cityHash64(i, 3) % 1000000) / 1000000)
        AS normal,
    round(1 / (1 + exp(3.5 - 1.2 * normal - multiIf(type = 'checkout', 2, type = 'cart', 1, 0))), 6) AS propensity
SELECT
    'user-' || toString(toInt64({users} * pow(cityHash64(i, 4) % 1000000 / 1000000, 1.5))),
    'event-' || toString(i),
    type,
    'item-' || toString(cityHash64(i, 5) % 50000),
    'category-' || toString(toInt64({categories} * pow(cityHash64(i, 6) % 1000000 / 1000000, 2))),
    ['web', 'app', 'mail', ''][toInt64(cityHash64(i, 7) % 4) + 1],
    if(type = 'search', NULL, cityHash64(i, 8) % 10000 / 100),
    time_ms, propensity * 0.8, propensity * 0.9, propensity, if(i < {rows} / 2, 'model-1', 'model-2'),
    'cartcast.events', i % 4, intDiv(i, 4), time_ms, time_ms + 20 + cityHash64(i, 9) % 50,
    fromUnixTimestamp64Milli(time_ms + 300 + toInt64(cityHash64(i, 10) % 500), 'UTC')
FROM numbers({count})
"""
"""Numbers that look random and are the same in every run."""


def fill(engine: Any, rows: int, users: int, categories: int) -> None:
    """Create the tables and views, and the rows block by block."""
    engine.query("CREATE DATABASE cartcast")
    engine.query("USE cartcast")
    for statement in (LEDGER, *(migration.sql for migration in shipped_migrations())):
        engine.query(statement)
    for start in range(0, rows, BLOCK_ROWS):
        count = min(BLOCK_ROWS, rows - start)
        engine.query(ROWS_SQL.format(start=start, rows=rows, users=users, categories=categories, count=count))


def timed(work: Any) -> tuple[float, float]:
    """Return the seconds on the clock and of CPU."""
    began, used = time.perf_counter(), resource.getrusage(resource.RUSAGE_SELF)
    work()
    after = resource.getrusage(resource.RUSAGE_SELF)
    return time.perf_counter() - began, after.ru_utime + after.ru_stime - used.ru_utime - used.ru_stime


def views_of(engine: Any) -> dict[str, str]:
    """Return each view's query."""
    query = (
        "SELECT name FROM system.tables WHERE database = 'cartcast' AND engine = 'View' "
        "AND empty(parameterized_view_parameters)"
    )
    names = str(engine.query(query, "TSV"))
    where = {view: f" WHERE user_id = '{user}'" for view, user in OF_ONE_SHOPPER.items()}
    return {name: f"SELECT * FROM {name}{where.get(name, '')}" for name in sorted(names.split())}  # noqa: S608


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--users", type=int, default=200_000)
    parser.add_argument("--categories", type=int, default=1000)
    parser.add_argument("--plans", action="store_true", help="print EXPLAIN indexes = 1 of every view")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory, chdb.connect(directory) as engine:
        seconds, cpu = timed(lambda: fill(engine, arguments.rows, arguments.users, arguments.categories))
        of = f"{arguments.users:,} shoppers and {arguments.categories:,} categories"
        print(f"{arguments.rows:,} rows of {of}: {seconds:.0f} s (CPU {cpu:.0f} s)")
        print(f"{'view':<28} seconds  CPU seconds")
        for view, query in views_of(engine).items():
            seconds, cpu = min(timed(lambda query=query: engine.query(query, "Null")) for _ in range(3))
            print(f"{view:<28} {seconds:7.3f} {cpu:7.3f}", flush=True)
            if arguments.plans:
                print(engine.query(f"EXPLAIN indexes = 1 {query}", "TSVRaw"))


if __name__ == "__main__":
    main()
