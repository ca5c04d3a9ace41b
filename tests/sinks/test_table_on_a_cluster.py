"""What the sink asks of an insert when its table is spread over shards."""

from service.clickhouse_settings import ClickHouseSettings
from sinks.table import _INSERT_SETTINGS, _on_a_cluster


def test_one_server_is_asked_for_nothing_more():
    assert _on_a_cluster(ClickHouseSettings(insert_quorum=2)) == {}


def test_every_shard_has_its_rows_before_the_sink_goes_on():
    asked = _on_a_cluster(ClickHouseSettings(cluster="shop"))
    assert asked["distributed_foreground_insert"] == 1
    assert "insert_quorum" not in asked


def test_a_block_is_one_to_every_shard_so_that_its_token_is():
    asked = _INSERT_SETTINGS | _on_a_cluster(ClickHouseSettings(cluster="shop"))
    assert asked["input_format_parallel_parsing"] == 0


def test_a_quorum_is_passed_on():
    assert _on_a_cluster(ClickHouseSettings(cluster="shop", insert_quorum=2))["insert_quorum"] == 2
