"""How long rows are kept: a TTL on the tables that grow.

Aggregates of the scores are projections, which the engine makes again from the rows that are left; the outcomes notice
by themselves that their rows are gone.
"""

from typing import Final

from clickhouse_connect.driver.client import Client

from sinks.schema.layout import Layout, run

_AGES: Final = {
    "scores": "toDateTime(fromUnixTimestamp64Milli(scored_at, 'UTC'))",
    "dead_letters": "toDateTime(dead_at)",
}
"""When a row's days begin, per table."""


def set_retention(client: Client, layout: Layout, days: int) -> list[str]:
    """Have rows removed `days` after their time, 0 for never; returns what was changed, for a user to read."""
    changed = [table for table in _AGES if _kept_days(client, layout.holder(table)) != days]
    for table in changed:
        ttl = f"MODIFY TTL {_AGES[table]} + INTERVAL {days} DAY" if days else "REMOVE TTL"
        run(client, layout, f"ALTER TABLE {table} {ttl}")
    return [f"retention of {table}: {f'{days} days' if days else 'for ever'}" for table in changed]


def _kept_days(client: Client, table: str) -> int:
    """Return the days of the table's TTL, 0 if it has none."""
    query = (
        "SELECT toUInt32OrZero(extract(engine_full, 'TTL .*?toIntervalDay\\\\((\\\\d+)\\\\)')) FROM system.tables "
        "WHERE database = currentDatabase() AND name = {table:String}"
    )
    return int(str(client.command(query, parameters={"table": table})))
