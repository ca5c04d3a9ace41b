"""Settings of clusters that cannot work are refused before anything is made of them."""

import pytest

from cartcast.settings import load_settings
from service.errors import UsageError


def test_more_copies_in_sync_than_there_are_is_refused():
    with pytest.raises(UsageError, match=r"min_insync_replicas \(3\) is above replication_factor \(2\)"):
        load_settings(kafka={"replication_factor": 2, "min_insync_replicas": 3})


@pytest.mark.parametrize(("replicas", "in_sync"), [(1, 1), (2, 1), (3, 2)])
def test_copies_in_sync_survive_the_loss_of_one_broker(replicas, in_sync):
    assert load_settings(kafka={"replication_factor": replicas}).kafka.least_insync_replicas == in_sync


def test_records_that_are_kept_for_no_time_are_refused():
    with pytest.raises(UsageError, match="retention_hours is 0"):
        load_settings(kafka={"retention_hours": 0})


def test_the_rack_reaches_every_client_and_is_left_out_if_there_is_none():
    assert load_settings(kafka={"client_rack": "zone-b"}).kafka.client_config()["client.rack"] == "zone-b"
    assert "client.rack" not in load_settings().kafka.client_config()


@pytest.mark.parametrize("name", ["a'b", "a b", "a;b"])
def test_a_cluster_name_that_is_none_is_refused(name):
    with pytest.raises(UsageError, match="cluster"):
        load_settings(clickhouse={"cluster": name})
