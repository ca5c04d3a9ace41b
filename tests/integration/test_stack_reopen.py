from pathlib import Path

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient

from cartcast.demo.readback import read_to_end
from cartcast.errors import LocalStackError
from cartcast.local import stack as stack_module
from cartcast.local.stack import local_stack
from streams.settings import Topics
from streams.topics import create_topics

pytestmark = pytest.mark.integration


def silent(_: str) -> None: ...


def test_a_directory_is_opened_again_with_its_topics(tmp_path: Path) -> None:
    topics = Topics(prefix="kept")
    cluster_ids = []
    for opening in range(2):
        with local_stack(tmp_path, silent, with_clickhouse=False, preferred_ports=False) as running:
            config = {"bootstrap.servers": running.bootstrap_servers}
            cluster_ids.append(AdminClient(config).list_topics(timeout=10).cluster_id)
            created = create_topics(config, topics, partitions=1, replication_factor=1)
            if opening == 0:
                producer = Producer(config)
                producer.produce(topics.events, b"{}", b"ada")
                producer.flush()
    assert created == []
    assert cluster_ids[0] == cluster_ids[1]


def test_a_record_outlives_the_stack(tmp_path: Path) -> None:
    topics = Topics(prefix="kept")
    with local_stack(tmp_path, silent, with_clickhouse=False, preferred_ports=False) as running:
        config = {"bootstrap.servers": running.bootstrap_servers}
        create_topics(config, topics, partitions=1, replication_factor=1)
        producer = Producer(config)
        producer.produce(topics.events, b"{}", b"ada")
        producer.flush()
    with local_stack(tmp_path, silent, with_clickhouse=False, preferred_ports=False) as running:
        config = {"bootstrap.servers": running.bootstrap_servers}
        assert [message.key() for message in read_to_end(config, topics.events)] == [b"ada"]


def test_a_directory_in_use_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stack_module, "LOCK_WAIT_SECONDS", 0.1)
    in_use = local_stack(tmp_path, silent, with_clickhouse=False, preferred_ports=False)
    second = local_stack(tmp_path, silent, with_clickhouse=False, preferred_ports=False)
    with in_use, pytest.raises(LocalStackError, match=r"another cartcast uses .* choose another --dir"):
        second.__enter__()
