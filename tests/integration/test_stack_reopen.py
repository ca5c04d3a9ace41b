from pathlib import Path

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient

from cartcast.demo.readback import read_to_end
from cartcast.local import stack as stack_module
from cartcast.local.stack import local_stack
from service.errors import LocalStackError
from service.kafka_settings import Topics
from streams.topics import create_topics

pytestmark = pytest.mark.integration


def silent(_: str) -> None: ...


def test_a_directory_is_opened_again_with_its_topics_and_records(tmp_path: Path) -> None:
    topics = Topics(prefix="kept")
    with local_stack(tmp_path, silent, with_clickhouse=False, preferred_ports=False) as running:
        config = {"bootstrap.servers": running.bootstrap_servers}
        cluster_id = AdminClient(config).list_topics().cluster_id
        create_topics(config, topics, partitions=1, replication_factor=1)
        producer = Producer(config)
        producer.produce(topics.events, b"{}", b"ada")
        producer.flush()
    with local_stack(tmp_path, silent, with_clickhouse=False, preferred_ports=False) as running:
        config = {"bootstrap.servers": running.bootstrap_servers}
        assert AdminClient(config).list_topics().cluster_id == cluster_id
        assert create_topics(config, topics, partitions=1, replication_factor=1) == []
        assert [message.key() for message in read_to_end(config, topics.events)] == [b"ada"]


def test_a_directory_in_use_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stack_module, "LOCK_WAIT_SECONDS", 0.1)
    in_use = local_stack(tmp_path, silent, with_clickhouse=False, preferred_ports=False)
    second = local_stack(tmp_path, silent, with_clickhouse=False, preferred_ports=False)
    with in_use, pytest.raises(LocalStackError, match=r"another cartcast uses .* choose another --dir"):
        second.__enter__()
