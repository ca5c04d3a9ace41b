"""The floor of the benchmark in Python: every record's key and value from one topic to another, unread."""

import os
import time

from confluent_kafka import Consumer, Producer


def main() -> None:
    interval = int(os.environ["BENCH_COMMIT_MS"]) / 1000
    servers = {"bootstrap.servers": os.environ["BENCH_KAFKA"]}
    own = {"group.id": os.environ["BENCH_GROUP"], "auto.offset.reset": "earliest", "enable.auto.commit": False}
    consumer = Consumer({**servers, **own})
    consumer.subscribe([os.environ["BENCH_EVENTS"]])
    producer = Producer(
        {**servers, "acks": "all", "enable.idempotence": True, "queue.buffering.max.messages": 1_000_000}
    )
    topic, due, copied = os.environ["BENCH_SCORES"], time.monotonic() + interval, 0
    while True:
        for message in consumer.consume(5000, 0.1):
            producer.produce(topic, message.value(), message.key(), message.partition() or 0)
            copied += 1
        producer.poll(0)
        if copied and time.monotonic() >= due:
            producer.flush()
            consumer.commit(asynchronous=False)
            due, copied = time.monotonic() + interval, 0


if __name__ == "__main__":
    main()
