"""A cluster of one server, as far as the embedded engine goes: prints as JSON what its tables and views answer.

The engine carries out no `ON CLUSTER` and replicates nothing, so both are left out of the statements here; distributed
tables, sharding, tokens and lists that are sent along (`GLOBAL IN`) are the real ones. `pair` has the server twice, so
that every query meets more than one shard.
"""

import json
import re
import sys
import tempfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Final, cast

import chdb

from service.clickhouse_settings import ClickHouseSettings
from service.errors import RefusedError
from service.forget import digest
from sinks.erasing import deletion, named
from sinks.schema.checks import check_layout
from sinks.schema.layout import Cluster, Layout, OneServer
from sinks.schema.migrate import LEDGER, shipped_migrations
from tests.harness.stored_scores import random_impressions, random_rows

PORT: Final = 9000
CONFIG: Final = """<clickhouse><tcp_port>{port}</tcp_port><macros><shard>1</shard><replica>a</replica></macros>
<remote_servers><one>{shard}</one><pair>{shard}{shard}</pair></remote_servers></clickhouse>"""
SHARD: Final = f"<shard><replica><host>127.0.0.1</host><port>{PORT}</port></replica></shard>"
CLUSTER_ONLY: Final = re.compile(
    r" ON CLUSTER `\w+`|Replicated(?=\w*MergeTree)|'/clickhouse/tables/[^)]*?'\{.*?\}'(?:, )?"
)
REFUSALS: Final = (
    ("plain", ""),
    ("spread", "one"),
    ("new", "one"),
    ("new", "other"),
    ("plain", "one"),
    ("spread", ""),
    ("spread", "pair"),
)
DISTRIBUTED: Final = "Distributed('pair', 'spread', 'scores_local', cityHash64(user_id))"


def prepare(engine: Any, layout: Layout, database: str) -> None:
    """Make the tables and views of a database."""
    for sql in (layout.create_database(), f"USE {database}"):
        engine.query(CLUSTER_ONLY.sub("", sql))
    for sql in (LEDGER, *(migration.sql for migration in shipped_migrations())):
        for statement in layout.statements(sql):
            engine.query(CLUSTER_ONLY.sub("", statement))


def insert(engine: Any, database: str, token: str, block: str) -> None:
    settings = f"insert_deduplication_token = '{token}', insert_deduplicate = 1, distributed_foreground_insert = 1"
    engine.query(f"INSERT INTO {database}.scores SETTINGS {settings} FORMAT JSONEachRow\n{block}")


def answers(engine: Any, database: str) -> dict[str, list[dict[str, Any]]]:
    """Return the rows of every view."""
    names = (
        "SELECT name FROM system.tables WHERE database = 'plain' AND engine = 'View' "
        "AND empty(parameterized_view_parameters) ORDER BY name"
    )
    return {name: rows(engine, f"SELECT * FROM {database}.{name} ORDER BY ALL") for name in lines(engine, names, "TSV")}  # noqa: S608


def rows(engine: Any, query: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in lines(engine, query, "JSONEachRow")]


def lines(engine: Any, query: str, shape: str) -> list[str]:
    return bytes(engine.query(query, shape).bytes()).decode().splitlines()


def forgotten(engine: Any, user: str) -> dict[str, int]:
    """Delete a shopper's rows as the sink does; return how many there were, how many are gone, and how many left."""

    def count(condition: str) -> int:
        return int(lines(engine, f"SELECT count() FROM spread.scores WHERE {condition}", "TSV")[0])  # noqa: S608

    condition = named("user_id", [digest(user.encode())])
    before = count("1"), count(condition)
    engine.query("USE spread")
    for statement in Cluster("one", "spread").statements(deletion("scores", [digest(user.encode())])):
        engine.query(f"{CLUSTER_ONLY.sub('', statement)} SETTINGS mutations_sync = 1")
    return {"of_one": before[1], "deleted": before[0] - count("1"), "of_one_left": count(condition)}


class Asked:
    """The engine, as far as `check_layout` needs the client of ClickHouse over HTTP."""

    def __init__(self, engine: Any) -> None:
        self._engine = engine

    def query(self, sql: str, parameters: dict[str, Any] | None = None) -> SimpleNamespace:
        for name, value in (parameters or {}).items():
            text = str(value).replace("'", "\\'")
            self._engine.query(f"SET param_{name} = '{text}'")
        return SimpleNamespace(result_rows=[tuple(row.values()) for row in rows(self._engine, sql)])

    def command(self, sql: str, parameters: dict[str, Any] | None = None) -> Any:
        return self.query(sql, parameters).result_rows[0][0]


def refusal(engine: Any, database: str, cluster: str) -> str:
    """Return what is said against going on with these settings; empty if nothing is."""
    try:
        check_layout(cast("Any", Asked(engine)), ClickHouseSettings(database=database, cluster=cluster))
    except RefusedError as refused:
        return str(refused)
    return ""


def main() -> None:
    with tempfile.TemporaryDirectory() as directory:
        config = Path(directory) / "config.xml"
        config.write_text(CONFIG.format(port=PORT, shard=SHARD))
        engine = chdb.connect(f"{directory}/data?config-file={config}")
        prepare(engine, OneServer("plain"), "plain")
        prepare(engine, Cluster("one", "spread"), "spread")
        stored = [*random_rows(7, 2700), *random_impressions(7, 300)]
        block = "\n".join(json.dumps({**row, "stored_at": "2024-01-01 00:00:00.000"}) for row in stored)
        insert(engine, "plain", "block", block)
        for _ in range(2):
            insert(engine, "spread", "block", block)
        refused = {f"{name} {cluster}": refusal(engine, name, cluster) for name, cluster in REFUSALS}
        found: dict[str, Any] = {
            "refused": refused,
            "stored": int(lines(engine, "SELECT count() FROM spread.scores_local", "TSV")[0]),
        }
        for database in ("plain", "spread"):
            found[database] = answers(engine, database)
        engine.query(f"CREATE OR REPLACE TABLE spread.scores AS spread.scores_local ENGINE = {DISTRIBUTED}")
        found |= forgotten(engine, "u1")
        found["pair"] = {name: len(of_view) for name, of_view in answers(engine, "spread").items()}
        engine.close()
    sys.stdout.write(json.dumps(found))


if __name__ == "__main__":
    main()
