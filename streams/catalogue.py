"""The items topic, read whole by every worker and followed: what becomes the worker's catalogue.

It runs in a thread of its own and is in nobody's way: a worker scores while the topic is read, and while it is missing,
empty or away. A record that is no item changes nothing; it is counted and logged, but is no dead letter, because every
worker reads the whole topic again at every start and would write one each time. `cartcast items show --refused` lists
them.
"""

import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from contextlib import closing, suppress
from threading import Event, Thread
from typing import Any, Final

import structlog
from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, Message, TopicPartition

from model.items.catalogue import EVENTS_ONLY, IN_CATALOGUE, Catalogue
from model.items.item import InvalidItem, Item
from service.backoff import Backoff
from service.errors import CartcastError, UnavailableError
from service.kafka import TopicIdentity, in_words, logged
from streams.item_topic import Judge, item_partitions

_RECORDS_AT_ONCE: Final = 500
"""A few milliseconds of the interpreter lock, which threads that score wait for."""
_WAIT_SECONDS: Final = 0.1
_IDENTITY_SECONDS: Final = 20.0
_STOP_SECONDS: Final = 2.0
_QUEUED_KILOBYTES: Final = 16_384
_LINES_PER_MINUTE: Final = 10
_MINUTE: Final = 60.0

_log: Final = structlog.get_logger()


class CatalogueReader:
    """Keeps a catalogue as the items topic says."""

    def __init__(
        self,
        client_config: Mapping[str, Any],
        topic: str,
        catalogue: Catalogue,
        clock: Callable[[], float] = time.monotonic,
        identity: Callable[[], str] | None = None,
    ) -> None:
        """`identity` tells the topic from an earlier one of its name; Kafka is asked if it is not given."""
        self.catalogue = catalogue
        self.is_complete = False
        """Whether the topic has been read to its end since this process began."""
        self.refused = Counter[str]()
        """Records that are no items, by reason."""
        self._judge = Judge(catalogue.vector_dimension)
        self._client_config = client_config
        self._topic = topic
        self._clock = clock
        self._identity = identity or TopicIdentity(client_config, topic)
        self._backoff = Backoff(clock)
        self._stop = Event()
        self._trouble = ""
        self._read_identity, self._identified_at = "", 0.0
        self._minute_began, self._lines = clock(), 0
        self._thread = Thread(target=self.run, name="items", daemon=True)

    def start(self) -> None:
        """Read and follow until `stop`."""
        self._thread.start()

    def stop(self) -> None:
        """Read no more; what waits for Kafka is left alone."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(_STOP_SECONDS)

    def counts(self) -> dict[str, int]:
        """Return how many items are known, by where from."""
        return {
            "catalogue": self.catalogue.count(IN_CATALOGUE),
            "events": self.catalogue.count(EVENTS_ONLY),
        }

    def run(self) -> None:
        """Read and follow; begin again after whatever Kafka refuses."""
        while not self._stop.is_set():
            try:
                self._follow()
            except (CartcastError, KafkaException) as failure:
                if self._trouble != str(failure):
                    self._trouble = str(failure)
                    _log.warning("items are not read; scoring goes on without", reason=self._trouble)
                self._stop.wait(self._backoff.failed())

    def _follow(self) -> None:
        began, partitions = self._clock(), item_partitions(self._client_config, self._topic)
        self._read_identity, self._identified_at = self._identity(), began
        with closing(Consumer(self._consumer_config())) as consumer:
            consumer.assign([TopicPartition(self._topic, each, OFFSET_BEGINNING) for each in range(partitions)])
            self.catalogue.begin()
            ended = set[int | None]()
            while not self._stop.is_set() and self._is_same_topic():
                messages = consumer.consume(_RECORDS_AT_ONCE, _WAIT_SECONDS)
                was_complete = len(ended) == partitions
                ended.update(each.partition() for each in messages if _is_end(each))
                self._apply(each for each in messages if each.error() is None)
                if not was_complete and len(ended) == partitions:
                    self._completed(began)

    def _is_same_topic(self) -> bool:
        """Whether the topic is the one that is being read, and was not made anew; Kafka is asked now and then."""
        if self._clock() - self._identified_at >= _IDENTITY_SECONDS:
            self._identified_at = self._clock()
            with suppress(UnavailableError):  # then nothing can be read either
                return self._identity() == self._read_identity
        return True

    def _completed(self, began: float) -> None:
        self.catalogue.complete()
        self.is_complete = True
        self._trouble = ""
        self._backoff.succeeded()
        refused, seconds = self.refused.total(), round(self._clock() - began, 1)
        _log.info("items are read", items=self.catalogue.count(IN_CATALOGUE), refused=refused, seconds=seconds)

    def _apply(self, messages: Iterable[Message]) -> None:
        newest: dict[bytes, Item | None] = {}
        for message in messages:
            try:
                newest[message.key() or b""] = self._judge(message)
            except InvalidItem as invalid:
                self._refuse(message, invalid)
        if newest:
            self.catalogue.put([item for item in newest.values() if item is not None])
            self.catalogue.remove([key for key, item in newest.items() if item is None])

    def _refuse(self, message: Message, invalid: InvalidItem) -> None:
        self.refused[invalid.reason] += 1
        if self._clock() - self._minute_began >= _MINUTE:
            self._minute_began, self._lines = self._clock(), 0
        self._lines += 1
        if self._lines <= _LINES_PER_MINUTE:
            where = {"topic": self._topic, "partition": message.partition(), "offset": message.offset()}
            _log.warning("an item is refused", **where, reason=invalid.reason, error=invalid.error)

    def _consumer_config(self) -> dict[str, Any]:
        return {
            **logged(self._client_config),
            "group.id": "cartcast-items",  # needed, not used: no group is joined and nothing committed
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "auto.offset.reset": "earliest",
            "queued.max.messages.kbytes": _QUEUED_KILOBYTES,
        }


def _is_end(message: Message) -> bool:
    """Whether a message says that its partition has no more for now; raises UnavailableError if it is another error."""
    error = message.error()
    if error is None:
        return False
    if error.code() == KafkaError._PARTITION_EOF:
        return True
    if error.retriable() or error.code() in {KafkaError._TRANSPORT, KafkaError._ALL_BROKERS_DOWN}:
        return False  # librdkafka goes on by itself
    raise UnavailableError(f"topic {message.topic()} cannot be read: {in_words(error)}")
