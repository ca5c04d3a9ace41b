import pytest
from confluent_kafka.admin import AdminClient, ConfigResource, NewTopic

from cartcast.local.ports import free_port
from streams.errors import StreamError
from streams.settings import Topics
from streams.topics import check_topics, create_topics, topic_configs

pytestmark = pytest.mark.integration


def client(bootstrap_servers: str) -> dict[str, str]:
    return {"bootstrap.servers": bootstrap_servers}


def test_topics_are_created_once_and_agree(kafka: str, topic_prefix: str) -> None:
    topics = Topics(prefix=topic_prefix)
    created = create_topics(client(kafka), topics, partitions=3, replication_factor=1)
    assert sorted(created) == sorted([topics.events, topics.scores, topics.dead_letters, topics.changelog])
    assert create_topics(client(kafka), topics, partitions=3, replication_factor=1) == []
    assert check_topics(client(kafka), topics) == 3


@pytest.mark.parametrize(
    ("topic", "name", "value"),
    [("scores", "message.timestamp.type", "LogAppendTime"), ("changelog", "cleanup.policy", "compact")],
)
def test_topics_have_the_configuration_they_need(
    kafka: str, topic_prefix: str, topic: str, name: str, value: str
) -> None:
    topics = Topics(prefix=topic_prefix)
    create_topics(client(kafka), topics, partitions=1, replication_factor=1)
    resource = ConfigResource(ConfigResource.Type.TOPIC, getattr(topics, topic))
    admin = AdminClient(client(kafka))
    config = admin.describe_configs([resource])[resource].result(timeout=10)
    assert config[name].value == value


def test_a_missing_topic_is_named_with_what_to_do(kafka: str, topic_prefix: str) -> None:
    with pytest.raises(StreamError, match=rf"topic {topic_prefix}\.events does not exist.*cartcast topics create"):
        check_topics(client(kafka), Topics(prefix=topic_prefix))


def test_another_partition_count_than_the_setting_creates_nothing(kafka: str, topic_prefix: str) -> None:
    topics = Topics(prefix=topic_prefix)
    _create_topic(kafka, topics.events, partitions=2)
    with pytest.raises(StreamError, match=r"has 2 partitions, but kafka\.partitions is 4.*PARTITIONS=2"):
        create_topics(client(kafka), topics, partitions=4, replication_factor=1)
    assert topics.scores not in AdminClient(client(kafka)).list_topics(timeout=10).topics


def test_topics_that_disagree_are_refused(kafka: str, topic_prefix: str) -> None:
    topics = Topics(prefix=topic_prefix)
    for name in topic_configs(topics):
        _create_topic(kafka, name, partitions=3 if name == topics.scores else 2)
    with pytest.raises(StreamError, match=r"\.scores has 3 partitions, but .*\.events has 2"):
        check_topics(client(kafka), topics)


def test_kafka_says_why_it_does_not_create_a_topic(kafka: str, topic_prefix: str) -> None:
    with pytest.raises(StreamError, match=r"does not create topic .*replication factor"):
        create_topics(client(kafka), Topics(prefix=topic_prefix), partitions=1, replication_factor=2)


def test_an_unreachable_broker_is_one_line_with_its_address() -> None:
    address = f"127.0.0.1:{free_port()}"
    with pytest.raises(StreamError, match=f"Kafka at {address} does not answer.*cartcast up"):
        check_topics(client(address), Topics(prefix="t"))


def _create_topic(bootstrap_servers: str, name: str, partitions: int) -> None:
    admin = AdminClient(client(bootstrap_servers))
    admin.create_topics([NewTopic(name, partitions, 1)])[name].result(timeout=10)
    while name not in admin.list_topics(timeout=10).topics:
        pass
