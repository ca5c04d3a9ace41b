import pytest
from confluent_kafka.admin import AdminClient

pytestmark = pytest.mark.integration


def test_kafka_of_the_session_answers(kafka: str) -> None:
    metadata = AdminClient({"bootstrap.servers": kafka}).list_topics()
    assert len(metadata.brokers) == 1
