import json

import pytest
from confluent_kafka.admin import AdminClient, ConfigResource, NewPartitions, NewTopic

from cartcast.local.stack import LocalStack
from service.errors import RefusedError, UnavailableError
from service.kafka_settings import Topics
from streams.topic_configs import Difference, TopicRetention, differing_topics, topic_configs
from streams.topics import check_topics, check_unchanged, create_topics, grow_topics, staying_share, unused_prefix
from tests.harness.command import run_command
from tests.harness.ports import new_port
from tests.harness.waiting import eventually

pytestmark = pytest.mark.integration


def client(bootstrap_servers: str) -> dict[str, str]:
    return {"bootstrap.servers": bootstrap_servers}


def test_topics_are_created_once_and_agree(kafka: str, topic_prefix: str) -> None:
    topics = Topics(prefix=topic_prefix)
    created = create_topics(client(kafka), topics, partitions=3, replication_factor=1)
    assert sorted(created) == sorted(
        [
            topics.events,
            topics.scores,
            topics.recommendations,
            topics.dead_letters,
            topics.changelog,
            topics.forget,
            topics.identity,
            topics.items,
        ]
    )
    assert create_topics(client(kafka), topics, partitions=3, replication_factor=1) == []
    assert check_topics(client(kafka), topics) == 3


@pytest.mark.parametrize(
    ("topic", "name", "value"),
    [
        ("scores", "message.timestamp.type", "LogAppendTime"),
        ("changelog", "cleanup.policy", "compact"),
        ("changelog", "max.compaction.lag.ms", "86400000"),
        ("items", "cleanup.policy", "compact"),
        ("events", "cleanup.policy", "delete"),
        ("identity", "retention.ms", "604800000"),
        ("recommendations", "message.timestamp.type", "LogAppendTime"),
    ],
)
def test_topics_have_the_configuration_they_need(
    kafka: str, topic_prefix: str, topic: str, name: str, value: str
) -> None:
    topics = Topics(prefix=topic_prefix)
    create_topics(client(kafka), topics, partitions=1, replication_factor=1)
    resource = ConfigResource(ConfigResource.Type.TOPIC, getattr(topics, topic))
    admin = AdminClient(client(kafka))
    config = admin.describe_configs([resource])[resource].result()
    assert config[name].value == value


def test_items_have_one_partition_that_does_not_grow_and_may_be_missing(kafka: str, topic_prefix: str) -> None:
    topics, admin = Topics(prefix=topic_prefix), AdminClient(client(kafka))
    create_topics(client(kafka), topics, partitions=2, replication_factor=1)
    assert topics.items not in grow_topics(client(kafka), topics, 3)
    assert len(admin.list_topics().topics[topics.items].partitions) == 1
    admin.delete_topics([topics.items])[topics.items].result()
    eventually(lambda: topics.items not in admin.list_topics().topics, "the topic's end")
    assert check_topics(client(kafka), topics) == 3
    assert create_topics(client(kafka), topics, partitions=3, replication_factor=1) == [topics.items]


def test_recommendations_may_be_missing_where_nobody_recommends(kafka: str, topic_prefix: str) -> None:
    topics, admin = Topics(prefix=topic_prefix), AdminClient(client(kafka))
    create_topics(client(kafka), topics, partitions=2, replication_factor=1)
    assert check_topics(client(kafka), topics, recommends=True) == 2
    admin.delete_topics([topics.recommendations])[topics.recommendations].result()
    eventually(lambda: topics.recommendations not in admin.list_topics().topics, "the topic's end")
    assert check_topics(client(kafka), topics) == 2
    with pytest.raises(RefusedError, match=rf"topic {topics.recommendations} does not exist.*cartcast topics create"):
        check_topics(client(kafka), topics, recommends=True)
    _create_topic(kafka, topics.recommendations, partitions=1)
    with pytest.raises(RefusedError, match=r"2 partitions, but .*\.recommendations 1"):
        check_topics(client(kafka), topics, recommends=True)


def test_a_missing_topic_is_named_with_what_to_do(kafka: str, topic_prefix: str) -> None:
    with pytest.raises(RefusedError, match=rf"topic {topic_prefix}\.events does not exist.*cartcast topics create"):
        check_topics(client(kafka), Topics(prefix=topic_prefix))


def test_another_partition_count_than_the_setting_creates_nothing(kafka: str, topic_prefix: str) -> None:
    topics = Topics(prefix=topic_prefix)
    _create_topic(kafka, topics.events, partitions=2)
    with pytest.raises(RefusedError, match=r"has 2 partitions, but kafka\.partitions is 4.*PARTITIONS=2"):
        create_topics(client(kafka), topics, partitions=4, replication_factor=1)
    assert topics.scores not in AdminClient(client(kafka)).list_topics().topics


def test_topics_that_disagree_are_refused(kafka: str, topic_prefix: str) -> None:
    topics = Topics(prefix=topic_prefix)
    for name in topic_configs(topics):
        _create_topic(kafka, name, partitions=3 if name == topics.scores else 2)
    with pytest.raises(
        RefusedError, match=r"\.scores has 3 partitions, but .*\.events 2.* create --partitions 3`, which"
    ):
        check_topics(client(kafka), topics)


def test_partitions_that_were_added_to_one_topic_are_added_to_the_others(kafka: str, topic_prefix: str) -> None:
    topics = Topics(prefix=topic_prefix)
    create_topics(client(kafka), topics, partitions=2, replication_factor=1)
    check_unchanged(client(kafka), topics, 2)
    admin = AdminClient(client(kafka))
    admin.create_partitions([NewPartitions(topics.events, 3)])[topics.events].result()

    def is_noticed() -> bool:
        try:
            check_unchanged(client(kafka), topics, 2)
        except RefusedError as refusal:
            return f"topic {topics.events} has 3 partitions, but {topics.scores} 2" in str(refusal)
        return False

    eventually(is_noticed, "a partition that was added")
    grown = grow_topics(client(kafka), topics, 3)
    behind = (topics.scores, topics.dead_letters, topics.recommendations, topics.identity, topics.changelog)
    behind += (topics.forget,)
    assert grown == dict.fromkeys(behind, 2)
    assert check_topics(client(kafka), topics) == 3
    with pytest.raises(RefusedError, match=r"have 3 partitions, and had 2 .* start every worker again"):
        check_unchanged(client(kafka), topics, 2)
    assert grow_topics(client(kafka), topics, 3) == {}
    with pytest.raises(RefusedError, match=r"has 3 partitions, but kafka\.partitions is 2"):
        grow_topics(client(kafka), topics, 2)


def test_what_kafka_refuses_to_grow_grows_nothing(kafka: str, topic_prefix: str) -> None:
    topics = Topics(prefix=topic_prefix)
    create_topics(client(kafka), topics, partitions=1, replication_factor=1)
    with pytest.raises(RefusedError, match="does not add partitions to topic"):
        grow_topics(client(kafka), topics, 50_000)
    assert check_topics(client(kafka), topics) == 1


@pytest.mark.parametrize(("before", "after"), [(4, 8), (4, 5), (1, 7), (6, 9), (3, 3)])
def test_the_share_of_shoppers_who_stay_is_that_of_their_hashes(before: int, after: int) -> None:
    hashes = range(before * after)
    stay = sum(number % before == number % after for number in hashes) / len(hashes)
    assert staying_share(before, after) == pytest.approx(stay)


def test_kafka_says_why_it_does_not_create_a_topic(kafka: str, topic_prefix: str) -> None:
    with pytest.raises(RefusedError, match=r"does not create topic .*Topic name is invalid"):
        create_topics(client(kafka), Topics(prefix=f"{topic_prefix}/a"), partitions=1, replication_factor=1)


def test_what_the_brokers_refuse_of_one_topic_makes_none(kafka: str, topic_prefix: str) -> None:
    refused = TopicRetention(retention_hours=-2)
    with pytest.raises(RefusedError, match=r"does not create topic .*retention\.ms"):
        create_topics(client(kafka), Topics(prefix=topic_prefix), partitions=1, replication_factor=1, retention=refused)
    assert not [name for name in AdminClient(client(kafka)).list_topics().topics if topic_prefix in name]


def test_more_replicas_than_brokers_is_one_line_that_says_what_to_set(kafka: str, topic_prefix: str) -> None:
    with pytest.raises(RefusedError, match=r"has 1 broker, but kafka\.replication_factor is 3: .*REPLICATION_FACTOR=1"):
        create_topics(client(kafka), Topics(prefix=topic_prefix), partitions=1, replication_factor=3)


def test_topics_that_exist_are_compared_with_the_settings(kafka: str, topic_prefix: str) -> None:
    topics, keeping = Topics(prefix=topic_prefix), TopicRetention(min_insync_replicas=1, retention_hours=48)
    _create_topic(kafka, topics.changelog, partitions=1)
    created = create_topics(client(kafka), topics, partitions=1, replication_factor=1, retention=keeping)
    expected = [
        Difference(topics.changelog, "cleanup.policy", "delete", "compact"),
        Difference(topics.changelog, "max.compaction.lag.ms", str(2**63 - 1), "86400000"),
        Difference(topics.changelog, "delete.retention.ms", "86400000", "3600000"),
    ]
    assert differing_topics(client(kafka), topics, replication_factor=1, retention=keeping) == expected
    assert (
        differing_topics(client(kafka), topics, replication_factor=1, retention=TopicRetention(), new=created)
        == expected
    )
    others = differing_topics(client(kafka), topics, replication_factor=2, retention=TopicRetention(2, -1))
    assert {each.config for each in others if each.topic == topics.events} == {
        "replication factor", "min.insync.replicas", "retention.ms",
    }  # fmt: skip
    assert all("kafka-" in each.as_line() and "\n" not in each.as_line() for each in others)


def test_an_unreachable_broker_is_one_line_with_its_address(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.kafka.TIMEOUT_SECONDS", 0.5)
    address = f"127.0.0.1:{new_port()}"
    with pytest.raises(UnavailableError, match=f"Kafka at {address} does not answer.*cartcast up"):
        check_topics(client(address), Topics(prefix="t"))


def _create_topic(bootstrap_servers: str, name: str, partitions: int) -> None:
    admin = AdminClient(client(bootstrap_servers))
    admin.create_topics([NewTopic(name, partitions, 1)])[name].result()
    eventually(lambda: name in admin.list_topics().topics, "the topic")


def test_a_prefix_in_use_is_followed_by_the_next_free_one(kafka: str, topic_prefix: str) -> None:
    assert unused_prefix(client(kafka), topic_prefix) == topic_prefix
    create_topics(client(kafka), Topics(prefix=topic_prefix), partitions=1, replication_factor=1)
    assert unused_prefix(client(kafka), topic_prefix) == f"{topic_prefix}-2"


def test_the_command_creates_the_topics_and_says_so(stack: LocalStack, topic_prefix: str) -> None:
    environment = {**stack.environment(), "CARTCAST_KAFKA__TOPIC_PREFIX": topic_prefix}
    create = run_command("topics", "create", "--partitions", 2, "--json", environment=environment)
    assert create.status == 0, create.stderr
    assert json.loads(create.stdout)["partitions"] == 2
    again = run_command("topics", "create", "--partitions", 2, environment=environment)
    assert "exist" in again.stdout
    fewer = run_command("topics", "create", "--partitions", 1, environment=environment)
    assert fewer.status == 1
    assert fewer.stderr.startswith("cartcast: topic ")
    assert len(fewer.stderr.splitlines()) == 1


def test_the_command_adds_partitions_after_a_warning_and_only_when_it_is_told_to(
    stack: LocalStack, topic_prefix: str
) -> None:
    environment = {**stack.environment(), "CARTCAST_KAFKA__TOPIC_PREFIX": topic_prefix}
    assert run_command("topics", "create", "--partitions", 2, environment=environment).status == 0
    setting = run_command("topics", "create", environment=environment | {"CARTCAST_KAFKA__PARTITIONS": "4"})
    assert (setting.status, "create --partitions 4`" in setting.stderr) == (1, True)
    grown = run_command("topics", "create", "--partitions", 4, environment=environment)
    assert grown.status == 0, grown.stderr
    assert "grow from 2 to 4 partitions: about 50 % of the shoppers move" in grown.stderr
    assert f"grew {topic_prefix}.events from 2 to 4 partitions" in grown.stdout
    assert "start every worker again" in grown.stdout
    assert check_topics({"bootstrap.servers": stack.bootstrap_servers}, Topics(prefix=topic_prefix)) == 4
