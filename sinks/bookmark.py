"""What a commit says: how far a scores partition is stored, and which block is about to be.

The bookmark is the commit's offset and its metadata, so Kafka keeps both or neither, and only for the consumer that
owns the partition. Naming the block before it is inserted is what makes the same block again after a crash.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec
import structlog

Source = tuple[str, int]
"""A topic and partition of events."""

MAX_TOPIC_BYTES: Final = 249
MAX_METADATA_BYTES: Final = 4096
"""The broker's `offset.metadata.max.bytes`."""

log = structlog.get_logger()


class _Metadata(msgspec.Struct, omit_defaults=True):
    topic_id: str
    stored: list[tuple[str, int, int]]
    block_last: int | None = None
    halved: bool = False


_decode = msgspec.json.Decoder(_Metadata).decode


@dataclass(frozen=True)
class Bookmark:
    """Everything below `offset` is stored; offset None: nothing was ever committed.

    `stored`: the highest stored offset of each event partition whose scores are here, least recently raised first.
    `block_last`: the offset of the last record of the block that may be stored already, None if there is no such
    block. `halved`: that block is inserted in halves, because the table refused it as a whole.
    `topic_id` tells this topic from an earlier one of the same name.
    """

    offset: int | None
    topic_id: str
    stored: Mapping[Source, int] = field(default_factory=dict)
    block_last: int | None = None
    halved: bool = False

    def metadata(self) -> str:
        """Return what the commit carries besides the offset; fits for a bookmark whose `stored` is `trimmed`."""
        return _encode(self).decode()


def read_bookmark(offset: int | None, metadata: str | None, topic_id: str) -> Bookmark:
    """Read a commit back.

    One for an earlier topic of this name means nothing; of one by another program only the offset counts.
    """
    try:
        decoded = _decode(metadata or "")
    except msgspec.DecodeError:
        if metadata:
            log.warning("the committed metadata is not the sink's own", offset=offset)
        return Bookmark(offset, topic_id)
    if decoded.topic_id != topic_id:
        log.warning("the topic is another one than at the last commit, starting at its beginning", offset=offset)
        return Bookmark(None, topic_id)
    stored = {(topic, partition): last for topic, partition, last in decoded.stored}
    return Bookmark(offset, topic_id, stored, decoded.block_last, decoded.halved)


def trimmed(stored: Mapping[Source, int]) -> dict[Source, int]:
    """Return as much of `stored` as a commit can carry, leaving out what was raised longest ago.

    The scores of a partition come from one event partition, so this matters only after dozens of changes of the
    events topic's name; a repeat of a source that was left out would be inserted again and removed by a merge.
    """
    kept = dict(stored)
    while len(_encode(Bookmark(2**63 - 1, "-" * 36, kept, 2**63 - 1, halved=True))) > MAX_METADATA_BYTES:
        del kept[next(iter(kept))]
    return kept


def _encode(bookmark: Bookmark) -> bytes:
    fields: dict[str, Any] = {
        "topic_id": bookmark.topic_id,
        "stored": [(topic, partition, last) for (topic, partition), last in bookmark.stored.items()],
        "block_last": bookmark.block_last,
        "halved": bookmark.halved,
    }
    return msgspec.json.encode(_Metadata(**fields))
