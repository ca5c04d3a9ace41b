"""Times every panel of the Grafana dashboards over the rows that `dashboard_queries.py --fill` has made.

`.venv/bin/python -m benchmarks.grafana_panels [--database D]`; asks for all that is stored, each
query three times, and prints the best and the worst time, the slowest query last.
"""

import argparse
import json
import sys
import time
from datetime import timedelta
from pathlib import Path

from clickhouse_connect.driver.client import Client

from cartcast.settings import load_settings
from service.clickhouse import connect
from tests.deploy.grafana_queries import replaced

DASHBOARDS = Path(__file__).parents[1] / "deploy/grafana/dashboards"
STEP_SECONDS = 3600


def main() -> None:
    """Ask and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--database", default="dashboard_benchmark")
    client = connect(load_settings().clickhouse, database=parser.parse_args().database)
    first, last, rows = client.query(
        "SELECT fromUnixTimestamp64Milli(min(event_time), 'UTC'), fromUnixTimestamp64Milli(max(event_time), 'UTC'), "
        "count() FROM scores"
    ).result_rows[0]
    sys.stdout.write(
        f"{rows:,} rows, {first:%Y-%m-%d} to {last:%Y-%m-%d}\n\n{'panel':<60}{'best s':>8}{'worst s':>9}\n"
    )
    variables = {
        "horizon": ["24h"],
        "model": client.query("SELECT DISTINCT model FROM propensity_by_hour").result_columns[0],
        "channel": client.query("SELECT DISTINCT channel FROM events_by_hour").result_columns[0],
    }
    timed = [
        (*_times(client, replaced(sql, variables, first, last + timedelta(seconds=1), STEP_SECONDS)), title)
        for title, sql in _queries()
    ]
    for best, worst, title in sorted(timed):
        sys.stdout.write(f"{title:<60}{best:>8.2f}{worst:>9.2f}\n")


def _queries() -> list[tuple[str, str]]:
    dashboards = [(path.stem, json.loads(path.read_text())) for path in sorted(DASHBOARDS.glob("*.json"))]
    return [
        (f"{name}: {panel['title']}", target["rawSql"])
        for name, dashboard in dashboards
        for panel in dashboard["panels"]
        for target in panel.get("targets", ())
        if "rawSql" in target
    ]


def _times(client: Client, sql: str) -> tuple[float, float]:
    taken = []
    for _ in range(3):
        started = time.monotonic()
        client.query(sql)
        taken.append(time.monotonic() - started)
    return min(taken), max(taken)


if __name__ == "__main__":
    main()
