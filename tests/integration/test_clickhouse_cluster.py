"""The tables and views of a ClickHouse cluster: their SQL, and what they answer, as far as one engine can tell."""

import json
import math
import re
import subprocess
import sys
from typing import Any

import pytest

from model.shop import NO_SHOP, shop_of
from service.clickhouse import connect
from service.clickhouse_settings import ClickHouseSettings
from service.errors import RefusedError
from service.forget import digest
from sinks.erasing import blanking, deletion
from sinks.schema.applied import RETAINED, retention
from sinks.schema.horizons import model_columns
from sinks.schema.layout import Cluster, OneServer
from sinks.schema.migrate import LEDGER, migrate, script, shipped_migrations
from sinks.schema.own_columns import own_columns
from tests.model.own_shop import large_shop

pytestmark = pytest.mark.integration

A_SHOP = shop_of(
    {
        "goals": {"cart_soon": {"event": "cart", "within": "1h", "where": {"category": r"kids' \ toys"}}},
        "money": {"within": "7d", "currency": "EUR"},
    }
)
EMPTY = {
    *("dead_letters_by_hour", "recent_dead_letters", "lag_now", "lag_by_minute"),
    *("shopper_recommendations", "identities", "named_ids"),
}
"""Views of what the test has none of."""
CLUSTER = Cluster("shop", "cartcast")
ON_ONE_SERVER = [
    LEDGER,
    *(migration.sql for migration in shipped_migrations()),
    *(column.statement for column in model_columns(("7d", "cart_soon"), A_SHOP)),
    *own_columns(large_shop()).values(),
    *(retention(table, 30) for table in RETAINED),
    retention("scores", 0),
    deletion("scores", [digest(b"u")]),
    blanking("scores", [digest(b"a"), digest(b"b")]),
]
STATEMENTS = [CLUSTER.create_database(), *(each for sql in ON_ONE_SERVER for each in CLUSTER.statements(sql))]


def test_the_engine_parses_every_statement(clickhouse):
    client = connect(ClickHouseSettings(url=clickhouse))
    for statement in STATEMENTS:
        assert "Query" in str(client.command(f"EXPLAIN AST {statement}"))
    client.close_connections()


def test_every_statement_is_for_the_whole_cluster():
    assert all(len(re.findall(r"ON CLUSTER `shop`", statement)) == 1 for statement in STATEMENTS)


def test_every_table_is_replicated_and_only_scores_and_recommendations_are_sharded():
    engines = [line for each in STATEMENTS for line in each.splitlines() if line.startswith("ENGINE")]
    sharded = [line for line in engines if "{uuid}/{shard}'" in line]
    assert [line for line in engines if not line.startswith(("ENGINE = Replicated", "ENGINE = Distributed"))] == []
    assert sharded == ["ENGINE = ReplicatedReplacingMergeTree('/clickhouse/tables/{uuid}/{shard}', '{replica}')"] * 2
    everywhere = "'/clickhouse/tables/{uuid}/all', '{shard}-{replica}'"
    assert f"ENGINE = ReplicatedReplacingMergeTree({everywhere}, changed_at)" in engines


def test_a_shard_remembers_tokens_for_longer_than_a_sink_is_away():
    scores = CLUSTER.statements(shipped_migrations()[0].sql)[0]
    assert "replicated_deduplication_window = 100000, replicated_deduplication_window_seconds = 2592000" in scores


def test_no_shard_makes_a_list_of_its_own():
    for statement in STATEMENTS:
        assert not re.search(r"(?<!GLOBAL )(?<!GLOBAL NOT )\bIN\s*\(\s*(SELECT|WITH)\b", statement)


def test_the_distributed_table_follows_every_change_of_columns_and_rules():
    for sql in ON_ONE_SERVER:
        if re.search(r"^ALTER TABLE scores\b.*\b(COLUMN|CONSTRAINT)\b", sql, re.MULTILINE | re.DOTALL):
            assert "Distributed('shop', 'cartcast', 'scores_local'" in CLUSTER.statements(sql)[-1]


def test_rows_of_the_forgotten_are_deleted_on_every_server_that_holds_some():
    (deleted,) = CLUSTER.statements(deletion("scores", [digest(b"u")]))
    condition = f"lower(hex(SHA256(user_id))) IN ('{digest(b'u').decode()}')"
    assert deleted == f"ALTER TABLE scores_local ON CLUSTER `shop` DELETE WHERE {condition}"


def test_rows_of_the_forgotten_are_counted_over_all_shards_and_deleted_from_them(found):
    assert found["of_one"] == found["deleted"] > 0
    assert found["of_one_left"] == 0


def test_a_statement_of_another_form_is_refused():
    with pytest.raises(RefusedError, match="cannot be carried out on cluster shop: DROP TABLE scores"):
        CLUSTER.statements("DROP TABLE scores")


def test_one_server_gets_every_statement_as_it_is():
    assert [OneServer("x").statements(sql) for sql in ON_ONE_SERVER] == [[sql] for sql in ON_ONE_SERVER]


def test_the_printed_script_is_what_is_run_and_says_so_in_the_ledger(clickhouse, topic_prefix):
    settings = ClickHouseSettings(url=clickhouse, database=topic_prefix)
    client = connect(settings)
    client.command(f"CREATE DATABASE {topic_prefix}")
    client.database = topic_prefix
    for statement in script(settings).split(";\n\n")[:-1]:
        if not statement.startswith("USE "):
            client.command(statement)
    assert migrate(settings) == []
    client.close_connections()


def test_the_command_prints_the_script_without_a_server():
    command = [
        sys.executable,
        "-m",
        "cartcast",
        "migrate",
        "--url",
        "http://127.0.0.1:1",
        "--horizons",
        "7d",
        "--print",
    ]
    ran = subprocess.run(
        command, capture_output=True, check=True, text=True, env={"CARTCAST_CLICKHOUSE__CLUSTER": "shop"}
    )
    assert ran.stdout == script(ClickHouseSettings(cluster="shop"), model_columns(["7d"], NO_SHOP))
    assert "ALTER TABLE scores_local ON CLUSTER `shop` MODIFY TTL" in ran.stdout
    assert ran.stdout.count("+ INTERVAL 400 DAY") == 3
    assert "propensity_7d" in ran.stdout


@pytest.fixture
def may_reach_servers(monkeypatch):
    """The local engine lets nobody reach others; what is asked behind that."""
    monkeypatch.setattr("sinks.schema.checks.ON_CLUSTER", ())


@pytest.mark.usefixtures("may_reach_servers")
def test_a_cluster_that_the_server_does_not_know_is_one_line_and_makes_nothing(clickhouse, topic_prefix):
    settings = ClickHouseSettings(url=clickhouse, database=topic_prefix, cluster="nowhere")
    with pytest.raises(
        RefusedError, match=r"knows no cluster nowhere, only none: correct CARTCAST_CLICKHOUSE__CLUSTER"
    ):
        migrate(settings)
    client = connect(settings)
    assert client.query(f"SHOW DATABASES LIKE '{topic_prefix}'").result_rows == []


@pytest.mark.usefixtures("may_reach_servers")
def test_a_database_of_one_server_is_not_made_half_a_cluster(clickhouse, topic_prefix):
    migrate(ClickHouseSettings(url=clickhouse, database=topic_prefix), migrations=shipped_migrations()[:1])
    with pytest.raises(RefusedError, match=r"was made for one server, but clickhouse\.cluster says cluster shop"):
        migrate(ClickHouseSettings(url=clickhouse, database=topic_prefix, cluster="shop"))


@pytest.fixture(scope="module")
def found() -> dict[str, Any]:
    """What tests/harness/cluster_engine.py prints: the answers of one server and of a cluster of it."""
    command = [sys.executable, "-m", "tests.harness.cluster_engine"]
    ran = subprocess.run(command, capture_output=True, check=False, text=True)
    assert ran.returncode == 0, ran.stderr
    return dict(json.loads(ran.stdout))


def test_a_server_is_looked_at_before_anything_is_made(found):
    refused = found["refused"]
    assert [refused[fitting] for fitting in ("plain ", "spread one", "new one")] == ["", "", ""]
    assert "knows no cluster other, only one, pair: correct CARTCAST_CLICKHOUSE__CLUSTER" in refused["new other"]
    assert "was made for one server, but clickhouse.cluster says cluster one" in refused["plain one"]
    assert "was made for cluster one, but clickhouse.cluster says one server" in refused["spread "]
    assert "was made for cluster one, but clickhouse.cluster says cluster pair" in refused["spread pair"]


def test_a_block_that_is_sent_again_through_the_distributed_table_is_stored_once(found):
    assert found["stored"] == 3000


def test_every_view_answers_on_a_cluster_what_it_answers_on_one_server(found):
    assert found["plain"].keys() == found["spread"].keys()
    for view, rows in found["plain"].items():
        assert rows or view in EMPTY
        assert comparable(found["spread"][view]) == comparable(rows), view


def test_every_view_answers_where_there_is_more_than_one_shard(found):
    assert found["pair"].keys() == found["plain"].keys()


def comparable(value: Any) -> Any:
    """Leave out what the order of adding up decides: the last digits, and the order of sets."""
    if isinstance(value, dict):
        return {name: sorted(each) if name == "shopper_hashes" else comparable(each) for name, each in value.items()}
    if isinstance(value, list):
        return [comparable(each) for each in value]
    if isinstance(value, float) and math.isfinite(value):
        return pytest.approx(value, rel=1e-9, abs=1e-12)
    return value
