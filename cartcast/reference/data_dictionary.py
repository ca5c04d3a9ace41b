"""What ClickHouse holds: the page docs/data-dictionary.md and the file docs/contracts/tables.json.

Both come from the comments that tables and views carry: the migrations are applied to an engine of its own, which is
asked what every view and column means.
"""

import json
import tempfile
from collections.abc import Mapping
from functools import cache
from typing import Any, Final

from sinks.schema.migrate import LEDGER, shipped_migrations

GROUPS: Final = {
    "What happens in the shop": (
        "data_span", "events_by_minute", "events_by_hour", "events_by_category", "shoppers_by_hour", "funnel_by_hour",
        "item_events", "shopper_events",
    ),
    "Who is about to buy": (
        "latest_scores", "top_shoppers", "segments", "shopper_timeline", "shopper_outcomes", "shopper_recommendations",
        "identities",
    ),
    "What the scores say": (
        "propensity_by_hour", "propensity_by_category", "models", "score_distribution", "score_drift",
    ),
    "Whether they come true": (
        "online_evaluation", "online_evaluation_by_model", "calibration_bins", "operating_points", "outcome_bins",
        "impression_outcomes",
    ),
    "Whether the pipeline keeps up": (
        "pipeline_by_minute", "source_progress", "lag_now", "lag_by_minute", "dead_letters_by_hour",
        "recent_dead_letters",
    ),
    "Tables": ("scores", "recommendations", "dead_letters", "consumer_lag"),
    "Internal": (
        "bounds", "view_settings", "named_ids", "shoppers", "scores_by_category", "outcomes_since", "sampled_outcomes",
        "outcome_ranks", "evaluation", "schema_migrations",
    ),
}  # fmt: skip
"""Every table and view, in the order of the page; a test fails when one is missing."""

_INTRODUCTION: Final = """# Data dictionary

What ClickHouse holds, as the tables and views themselves say it (`SHOW CREATE TABLE`, `system.columns`). Written by
`make reference` from `sinks/schema/migrations`; do not edit. Times are UTC. Horizons are named `session`, `1h` and
`24h`; of further horizons (`cartcast migrate --horizons`) and of a shop's own goals and money (`--shop`) the table has
columns, the views of outcomes, distribution and drift do not: they are about purchases. Dashboards read views, never
`scores`.
"""
_TABLES: Final = "SELECT name, comment, engine FROM system.tables WHERE database = 'cartcast' FORMAT JSONEachRow"
_COLUMNS: Final = (
    "SELECT table, name, type, comment FROM system.columns WHERE database = 'cartcast' "
    "ORDER BY table, position FORMAT JSONEachRow"
)


def page() -> str:
    """Return the page."""
    described = tables()
    parts = [_INTRODUCTION]
    for group, names in GROUPS.items():
        parts.append(f"## {group}\n")
        parts += [_section(name, described[name]) for name in names]
    return "\n".join(parts)


@cache
def tables() -> dict[str, dict[str, Any]]:
    """Return each table and view of the page by name, in its order: what it is, what it means, and its columns.

    A view with parameters has no columns until it is asked.
    """
    found, columns = _asked_of_an_engine()
    by_name = {table["name"]: table for table in found}
    described: dict[str, dict[str, Any]] = {
        name: {"kind": by_name[name]["engine"], "comment": by_name[name]["comment"], "columns": {}}
        for names in GROUPS.values()
        for name in names
    }
    for column in columns:
        table = described.get(column["table"])
        if table is not None:
            table["columns"][column["name"]] = {"type": column["type"], "comment": column["comment"]}
    return described


def _asked_of_an_engine() -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Return all tables (name, comment, engine) and all columns (table, name, type, comment)."""
    import chdb  # noqa: PLC0415 - loads 400 MB of engine

    with tempfile.TemporaryDirectory() as directory, chdb.connect(directory) as engine:
        engine.query("CREATE DATABASE cartcast")
        engine.query("USE cartcast")
        for statement in (LEDGER, *(migration.sql for migration in shipped_migrations())):
            engine.query(statement)
        return _rows(engine.query(_TABLES)), _rows(engine.query(_COLUMNS))


def _rows(result: Any) -> list[dict[str, Any]]:  # noqa: ANN401 - chdb has no types
    return [json.loads(line) for line in bytes(result.bytes()).splitlines()]


def _section(name: str, table: Mapping[str, Any]) -> str:
    columns: Mapping[str, Mapping[str, str]] = table["columns"]
    if not columns:
        return f"### {name}\n{table['comment']}.\n"
    rows = [
        f"| `{column}` | `{_in_a_cell(each['type'])}` | {_in_a_cell(each['comment'])} |"
        for column, each in columns.items()
    ]
    return "\n".join(
        [f"### {name}", f"{table['comment']}.", "", "| column | type | meaning |", "| --- | --- | --- |", *rows, ""]
    )


def _in_a_cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")
