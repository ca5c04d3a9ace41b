"""Gets a broker that has just started into its stride.

Its first requests run in interpreted Java, and until it has fetched its first block of producer ids it answers
"coordinator load in progress", upon which every idempotent producer pauses for half a second. Without this the delay
of the first scores would be that of a broker's first seconds, and not the pipeline's. Uses a topic of its own.
"""

from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Final

from confluent_kafka import KafkaException, Producer
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from cartcast.demo.readback import read_to_end
from service.errors import RefusedError

TOPIC: Final = "cartcast-demo-warm-up"
REQUESTS: Final = 300
MESSAGES_PER_REQUEST: Final = 20
PARTITIONS: Final = 4
TIMEOUT_SECONDS: Final = 10.0


def warm_up(client_config: Mapping[str, Any]) -> None:
    """Produce and consume a few thousand records in small requests; best effort."""
    with suppress(KafkaException, RefusedError, TimeoutError):  # the last is what a future raises
        admin = AdminClient({**client_config, "log_level": 0})
        admin.create_topics([NewTopic(TOPIC, PARTITIONS, 1)])[TOPIC].result(TIMEOUT_SECONDS)
        _produce(client_config)
        sum(1 for _ in read_to_end(client_config, TOPIC))
        admin.delete_topics([TOPIC])[TOPIC].result(TIMEOUT_SECONDS)


def _produce(client_config: Mapping[str, Any]) -> None:
    producer = Producer({**client_config, "transactional.id": TOPIC, "linger.ms": 0, "log_level": 0})
    producer.init_transactions(TIMEOUT_SECONDS)
    producer.begin_transaction()
    for request in range(REQUESTS):
        for number in range(MESSAGES_PER_REQUEST):
            producer.produce(TOPIC, b"x" * 150, b"%d" % number, partition=request % PARTITIONS)
        producer.flush(TIMEOUT_SECONDS)
    producer.commit_transaction(TIMEOUT_SECONDS)
