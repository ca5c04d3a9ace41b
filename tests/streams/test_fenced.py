"""Whether Kafka lets a worker write states at all."""

import pytest

from service.errors import RefusedError
from service.kafka_settings import Topics
from streams.fenced import check_transactions
from tests.harness.ports import new_port

TOPICS = Topics(prefix="shop")


def test_a_cluster_that_begins_transactions_is_none_to_complain_of(mock_kafka):
    check_transactions(mock_kafka, TOPICS)


def test_one_that_begins_none_is_told_what_they_need(monkeypatch):
    monkeypatch.setattr("streams.fenced._TRIAL_SECONDS", 0.2)
    needed = (
        r"transaction\.state\.log\.replication\.factor .* transactional ids that begin with shop-sequences-changelog$"
    )
    with pytest.raises(RefusedError, match=needed):
        check_transactions({"bootstrap.servers": f"127.0.0.1:{new_port()}"}, TOPICS)
