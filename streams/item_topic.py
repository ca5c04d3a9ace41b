"""The items topic: what its records say, and loading it from files."""

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

import msgspec
from confluent_kafka import Message

from model.items.item import InvalidItem, Item, decode_item
from model.items.rows import BadItem
from service.errors import RefusedError
from service.kafka import metadata, open_admin
from streams.changelog import PartitionReader
from streams.confirmed import ConfirmedProducer
from streams.replay import KEPT_BAD_ROWS


class Record(Protocol):
    """A record of the items topic."""

    def key(self) -> Any: ...  # noqa: ANN401 - the client exports no type
    def value(self) -> Any: ...  # noqa: ANN401


class Judge:
    """Says what records hold, one after the other, as every worker does: the first vector says how long all are."""

    def __init__(self, dimension: int | None = None) -> None:
        """`dimension` is the length of vectors if it is known before; 0 if they are not read, whatever their length."""
        self._is_open = dimension is None
        self.dimension = dimension or None

    def __call__(self, record: Record) -> Item | None:
        """Return the item, None for a tombstone; raises InvalidItem."""
        key, value = record.key(), record.value()
        if not key:
            raise InvalidItem("key", "the record has no key, which should be the item's item_id")
        if value is None:
            return None
        item = decode_item(value)
        if item.item_id.encode() != key:
            raise InvalidItem("key", "the record's key is not the item's item_id")
        if self._is_open and item.vector is not None:
            self._is_open, self.dimension = False, len(item.vector)
        return item.with_dimension(self.dimension)


def item_partitions(client_config: Mapping[str, Any], topic: str) -> int:
    """Return how many partitions the topic has.

    Raises UnavailableError if Kafka does not answer, RefusedError if there is no such topic.
    """
    listed = metadata(open_admin(client_config), client_config).topics
    if topic not in listed:
        raise RefusedError(f"topic {topic} does not exist: run `cartcast topics create`")
    return len(listed[topic].partitions)


def item_records(client_config: Mapping[str, Any], topic: str) -> Iterator[Message]:
    """Yield the records that the topic has now; raises as `item_partitions` does."""
    partitions = item_partitions(client_config, topic)
    with closing(PartitionReader({**client_config, "log_level": 0})) as reader:
        for partition in range(partitions):
            yield from reader.records(topic, partition)


class ItemProducer(ConfirmedProducer):
    """Sends items to their topic."""

    def __init__(self, client_config: Mapping[str, Any], topic: str) -> None:
        super().__init__(client_config)
        self._topic = topic
        self._encode = msgspec.json.Encoder().encode
        self.refused = 0
        """Items that the topic does not take for what they are, usually their size."""

    def put(self, item: Item) -> None:
        """Queue an item."""
        self.produce(self._topic, item.item_id.encode(), self._encode(item))

    def remove(self, key: bytes) -> None:
        """Queue a tombstone."""
        self.produce(self._topic, key, None)

    def dealt_with(self, *_: object) -> bool:
        """Count an item that is not taken."""
        self.refused += 1
        return True


@dataclass
class Loaded:
    """How far a load has come."""

    items: int = 0
    bad_rows: Counter[str] = field(default_factory=Counter)
    """By reason."""
    first_bad_rows: list[tuple[str, BadItem]] = field(default_factory=list)
    """The first KEPT_BAD_ROWS of them, with the name of their file."""
    removed: int = 0


class Load:
    """Sends the items of files; bad rows are counted, and keep the items that they are meant for from being removed."""

    def __init__(self, producer: ItemProducer) -> None:
        self._producer = producer
        self._named = set[bytes]()
        self.loaded = Loaded()
        self.unnamed = 0
        """Bad rows that do not say which item they are meant for."""

    def send_rows(self, file_name: str, rows: Iterable[Item | BadItem]) -> None:
        """Send the items of a file; may raise whatever `rows` raises, and RefusedError."""
        for row in rows:
            if row.item_id is None:
                self.unnamed += 1
            else:
                self._named.add(row.item_id.encode(errors="replace"))
            if isinstance(row, Item):
                self._producer.put(row)
                self.loaded.items += 1
            else:
                self.loaded.bad_rows[row.reason] += 1
                if len(self.loaded.first_bad_rows) < KEPT_BAD_ROWS:
                    self.loaded.first_bad_rows.append((file_name, row))

    def remove_others(self, keys: Collection[bytes]) -> None:
        """Remove those items of the topic that no row was about."""
        for key in keys:
            if key not in self._named:
                self._producer.remove(key)
                self.loaded.removed += 1


_DESCRIBED: Final = ("title", "description", "category", "brand", "price", "in_stock", "vector")


@dataclass(frozen=True, slots=True)
class Refusal:
    """A record that is no item, and why."""

    partition: int
    offset: int
    key: str
    reason: str
    error: str


@dataclass(frozen=True, slots=True)
class _Seen:
    """What is kept of an item's last record."""

    partition: int
    offset: int
    fields: tuple[bool, ...]
    """Which of _DESCRIBED it has."""
    dimension: int


@dataclass
class TopicContent:
    """What the items topic says now."""

    items: dict[bytes, _Seen] = field(default_factory=dict)
    """By key."""
    refused: list[Refusal] = field(default_factory=list)
    wanted: Item | None = None
    """The item that was asked for."""
    dimension: int = 0
    """The length of most vectors; 0 if there are none."""

    @property
    def fields(self) -> dict[str, int]:
        """How many items have each field."""
        return {name: sum(seen.fields[place] for seen in self.items.values()) for place, name in enumerate(_DESCRIBED)}


def keys_of(client_config: Mapping[str, Any], topic: str) -> set[bytes]:
    """Return the keys that the topic has now, except those whose last record removes them."""
    keys = set[bytes]()
    for record in item_records(client_config, topic):
        (keys.add if record.value() is not None else keys.discard)(record.key() or b"")
    keys.discard(b"")
    return keys


def read_content(client_config: Mapping[str, Any], topic: str, wanted: bytes | None = None) -> TopicContent:
    """Read the topic once, and judge its records as workers do whose model knows vectors of the usual length."""
    content, judge = TopicContent(), Judge(0)
    for record in item_records(client_config, topic):
        key, partition, offset = record.key() or b"", record.partition() or 0, record.offset() or 0
        try:
            item = judge(record)
        except InvalidItem as invalid:
            content.refused.append(_refusal(key, partition, offset, invalid))
            continue
        if key == wanted:
            content.wanted = item
        if item is None:
            content.items.pop(key, None)
        else:
            has = tuple(getattr(item, name) is not None for name in _DESCRIBED)
            content.items[key] = _Seen(partition, offset, has, len(item.vector or ()))
    _refuse_other_lengths(content)
    return content


def _refuse_other_lengths(content: TopicContent) -> None:
    lengths = Counter(seen.dimension for seen in content.items.values() if seen.dimension)
    content.dimension = lengths.most_common(1)[0][0] if lengths else 0
    for key, seen in list(content.items.items()):
        if seen.dimension not in {0, content.dimension}:
            why = f"vector has {seen.dimension} numbers, most have {content.dimension}"
            content.refused.append(_refusal(key, seen.partition, seen.offset, InvalidItem("vector", why)))
            del content.items[key]


def _refusal(key: bytes, partition: int, offset: int, invalid: InvalidItem) -> Refusal:
    return Refusal(partition, offset, key.decode(errors="replace"), invalid.reason, invalid.error)
