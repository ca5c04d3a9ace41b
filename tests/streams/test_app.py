import asyncio
import ssl

import pytest
from faust.transport.drivers.aiokafka import credentials_to_aiokafka_auth

from streams.app import create_app, store
from streams.settings import StreamSettings, WorkerSettings
from streams.tables import SequenceStore
from tests.streams.fetches import TOPICS
from tests.streams.memory_publisher import MemoryPublisher

PLAIN = {"bootstrap.servers": "one:9092,two:9093"}
SASL = {"sasl.username": "shop", "sasl.password": "hunter2", "sasl.mechanism": "SCRAM-SHA-512"}


def settings(client_config=PLAIN, **worker) -> StreamSettings:
    return StreamSettings(
        client_config=client_config,
        topics=TOPICS,
        partitions=6,
        source_identity="shop.events/1",
        worker=WorkerSettings(**worker),
    )


@pytest.fixture
def make(checkpoint, inference):
    def make(stream_settings: StreamSettings):
        return create_app(
            stream_settings,
            publisher=MemoryPublisher(),
            inference=inference,
            checkpoint=checkpoint,
        )

    return make


async def test_the_application_reads_the_events_topic_with_one_agent_and_one_table(make):
    app = make(settings())
    assert app.conf.id == TOPICS.prefix
    assert app.source_topic == TOPICS.events
    assert [agent.channel.get_topic_name() for agent in app.agents.values()] == [TOPICS.events]
    (table,) = app.tables.values()
    assert table.changelog_topic_name == TOPICS.changelog
    assert table.partitions == 6
    assert type(store(table)) is SequenceStore
    assert store(table)._followed == [TOPICS.identity, TOPICS.forget]


async def test_worker_settings_reach_faust(make):
    app = make(
        settings(max_batch_events=123, commit_interval_seconds=0.25, session_timeout_seconds=60, instance_id="worker-3")
    )
    assert [str(url) for url in app.conf.broker] == ["kafka://one:9092", "kafka://two:9093"]
    assert app.conf.broker_max_poll_records == 123
    assert app.conf.broker_commit_interval == 0.25
    assert app.conf.broker_session_timeout == 60
    assert app.conf.broker_session_timeout <= app.conf.broker_request_timeout
    assert app.conf.broker_heartbeat_interval * 3 <= app.conf.broker_session_timeout
    assert app.conf.consumer_group_instance_id == "worker-3"
    assert app.conf.consumer_auto_offset_reset == "earliest"
    assert app.conf.stream_wait_empty
    assert not app.conf.topic_allow_declare
    assert not app.conf.web_enabled


@pytest.mark.parametrize(
    ("client_config", "expected"),
    [
        ({}, {"security_protocol": "PLAINTEXT"}),
        ({"security.protocol": "SSL"}, {"security_protocol": "SSL"}),
        (
            {"security.protocol": "SASL_PLAINTEXT", **SASL},
            {
                "security_protocol": "SASL_PLAINTEXT",
                "sasl_mechanism": "SCRAM-SHA-512",
                "sasl_plain_username": "shop",
                "sasl_plain_password": "hunter2",
            },
        ),
        (
            {"security.protocol": "SASL_SSL", **SASL, "sasl.mechanism": "PLAIN"},
            {"security_protocol": "SASL_SSL", "sasl_mechanism": "PLAIN", "sasl_plain_username": "shop"},
        ),
    ],
)
async def test_security_settings_reach_fausts_consumer_as_they_reach_librdkafka(make, client_config, expected):
    conf = make(settings(PLAIN | client_config)).conf
    auth = credentials_to_aiokafka_auth(conf.broker_credentials, conf.ssl_context)
    assert {name: auth[name] for name in expected} == expected
    if expected["security_protocol"].endswith("SSL"):
        assert auth["ssl_context"].verify_mode == ssl.CERT_REQUIRED


async def test_a_fetch_of_a_partition_that_is_not_owned_is_dropped_and_secures_nothing(make):
    app = make(settings())
    assert await app.secure() == {}
    await app.drain()
    assert app.failure is None
    await asyncio.sleep(0)
