"""The job of the benchmark by hand: librdkafka's consumer and producer, a dict, and orjson, in one loop.

Once an interval the shoppers' states that have changed go to a changelog topic, everything is flushed, and the offsets
are committed.
"""

import os
import struct
import time

import orjson
from confluent_kafka import Consumer, Message, Producer

ENTRY_BYTES = 16
EMPTY = bytes(1024)


class Loop:
    """States, those of them that have changed since the last commit, and the producer."""

    def __init__(self) -> None:
        self.states: dict[bytes, bytes] = {}
        self.changed: dict[bytes, int] = {}
        """Partition by shopper."""
        self.producer = Producer(
            {
                "bootstrap.servers": os.environ["BENCH_KAFKA"],
                "acks": "all",
                "enable.idempotence": True,
                "queue.buffering.max.messages": 1_000_000,
            }
        )
        self.scores = os.environ["BENCH_SCORES"]
        self.changelog = os.environ["BENCH_CHANGELOG"]

    def score(self, message: Message) -> None:
        """Keep the last 64 entries of 16 bytes a shopper."""
        key, partition = message.key() or b"", message.partition() or 0
        event = orjson.loads(message.value() or b"")
        entry = struct.pack(">qQ", event["ts"], hash(event["event_id"]) & 0xFFFFFFFFFFFFFFFF)
        self.states[key] = self.states.get(key, EMPTY)[ENTRY_BYTES:] + entry
        self.changed[key] = partition
        score = {
            "user_id": event["user_id"],
            "event_id": event["event_id"],
            "event_type": event["type"],
            "event_time": event["ts"],
            "propensity": 0.5,
            "model": "none",
        }
        self.producer.produce(self.scores, orjson.dumps(score), key, partition)

    def make_durable(self) -> None:
        """Write the states that have changed; return when Kafka has confirmed everything."""
        for key, partition in self.changed.items():
            self.producer.produce(self.changelog, self.states[key], key, partition)
        self.changed.clear()
        self.producer.flush()


def main() -> None:
    interval = int(os.environ["BENCH_COMMIT_MS"]) / 1000
    consumer = Consumer(
        {
            "bootstrap.servers": os.environ["BENCH_KAFKA"],
            "group.id": os.environ["BENCH_GROUP"],
            "auto.offset.reset": "earliest",
            "enable.auto.commit": False,
        }
    )
    consumer.subscribe([os.environ["BENCH_EVENTS"]])
    loop, due = Loop(), time.monotonic() + interval
    while True:
        for message in consumer.consume(5000, 0.1):
            loop.score(message)
        loop.producer.poll(0)
        if loop.changed and time.monotonic() >= due:
            loop.make_durable()
            consumer.commit(asynchronous=False)
            due = time.monotonic() + interval


if __name__ == "__main__":
    main()
