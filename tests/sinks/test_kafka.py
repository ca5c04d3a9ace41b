"""A consumer whose client has broken tells whoever polls it."""

from threading import Event
from types import SimpleNamespace

import pytest
from confluent_kafka import KafkaError

from service.errors import RefusedError
from service.liveness import Liveness
from sinks import kafka
from sinks.settings import SinkSettings
from tests.harness.ports import new_port
from tests.harness.waiting import eventually


def test_what_a_client_does_not_recover_from_ends_who_polls_it(monkeypatch):
    """Of a client that could not start its threads nothing else would ever be heard."""
    end_if_broken = kafka.end_if_broken
    monkeypatch.setattr(kafka, "end_if_broken", lambda _: end_if_broken(KafkaError(KafkaError._CRIT_SYS_RESOURCE)))
    consumer = kafka.open_consumer(
        {"bootstrap.servers": f"127.0.0.1:{new_port()}"}, "group", SinkSettings(), Liveness()
    )
    with pytest.raises(RefusedError, match="will not recover"):
        eventually(lambda: consumer.consume(1, 0.1), "the failure")


def test_any_other_error_is_logged_and_waited_for(caplog):
    kafka.end_if_broken(KafkaError(KafkaError._TRANSPORT, "connection refused"))
    kafka.end_if_broken(KafkaError(KafkaError._ALL_BROKERS_DOWN, "1/1 brokers are down"))
    assert caplog.messages == ["1/1 brokers are down"]


def test_a_client_that_gets_on_is_heard_by_who_polls_it_also_without_a_server():
    heard = Event()
    liveness = SimpleNamespace(turned=heard.set)
    consumer = kafka.open_consumer(
        {"bootstrap.servers": f"127.0.0.1:{new_port()}", "log_level": 0}, "group", SinkSettings(), liveness
    )
    eventually(lambda: consumer.consume(1, 0.1) or heard.is_set(), "a sign of life")
    consumer.close()
