"""Records to Kafka, every delivery confirmed."""

from collections.abc import Mapping
from types import TracebackType
from typing import Any, Final, Self

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from service.errors import RefusedError
from service.kafka import Headers, headers_of, in_words, refuses_the_record, silent

LONGEST_WAIT_SECONDS: Final = 0.1

_PRODUCER_CONFIG: Final[Mapping[str, Any]] = {
    "partitioner": "murmur2_random",  # what Java clients do, so that any producer puts a shopper on one partition
    "enable.idempotence": True,
    "acks": "all",
    "compression.type": "lz4",
    "linger.ms": 5,
    "queue.buffering.max.messages": 200_000,
    "delivery.report.only.error": True,  # a call-back for each success would cost as much as producing
    "message.timeout.ms": 60_000,
    "message.max.bytes": 100 << 20,  # the topic says how large a record may be
}
_POLL_EVERY_RECORDS: Final = 1000
_FLUSH_SLICE_SECONDS: Final = 0.2  # a signal is seen between two slices


class ConfirmedProducer:
    """Sends records to topics; used as a context manager.

    Sending returns at once unless librdkafka's queue is full. Leaving the context without an error flushes. A delivery
    that failed for good raises RefusedError from the next `produce`, or from `flush`, unless `dealt_with` says that
    something was done about it.
    """

    def __init__(self, client_config: Mapping[str, Any]) -> None:
        self._producer = Producer(
            {**_PRODUCER_CONFIG, **silent(client_config), "on_delivery": self._on_failed_delivery}
        )
        self._failed = 0
        self._failure = ""
        self.sent = 0

    @property
    def confirmed(self) -> int:
        """Records that the brokers have; complete after `flush`."""
        waiting = len(self._producer)  # a failed one may still be among them when its failure is known
        return max(self.sent - self._failed - waiting, 0)

    def produce(self, topic: str, key: bytes | None, value: bytes | None, headers: Headers | None = None) -> None:
        """Queue a record."""
        while True:
            try:
                self._producer.produce(topic, value, key, headers=headers)
            except BufferError:  # librdkafka's queue is full: the brokers are slower than we are
                self.wait(LONGEST_WAIT_SECONDS)
            except KafkaException as failure:
                error = failure.args[0]
                if not (refuses_the_record(error) and self.dealt_with(topic, key, value, headers or [], error)):
                    raise RefusedError(f"{topic} takes no more messages: {in_words(error)}") from None
                break
            else:
                break
        self.sent += 1
        if self.sent % _POLL_EVERY_RECORDS == 0:
            self.wait(0)

    def dealt_with(
        self, topic: str, key: bytes | None, value: bytes | None, headers: Headers, error: KafkaError
    ) -> bool:
        """Whether something was done about a record that its topic refuses for what it is."""
        raise NotImplementedError

    def wait(self, seconds: float) -> None:
        """Let time pass while deliveries go on."""
        self._producer.poll(seconds)
        self._raise_failure()

    def flush(self) -> None:
        """Return when every record is confirmed, or raise RefusedError."""
        while self._producer.flush(_FLUSH_SLICE_SECONDS):
            self._raise_failure()
        self._raise_failure()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, failure: BaseException | None, trace: TracebackType | None
    ) -> None:
        if failure is None:
            self.flush()
        else:
            self._producer.purge()

    def _on_failed_delivery(self, error: KafkaError, message: Message) -> None:
        topic, headers = message.topic() or "", Headers(headers_of(message).items())
        if not (refuses_the_record(error) and self.dealt_with(topic, message.key(), message.value(), headers, error)):
            self._failed += 1
            self._failure = self._failure or f"{topic}: {in_words(error)}"

    def _raise_failure(self) -> None:
        if self._failed:
            raise RefusedError(
                f"{self._failed} of {self.sent} messages were not delivered ({self._failure}); "
                "check the brokers and the topics (`cartcast topics create`), then send all again"
            )
