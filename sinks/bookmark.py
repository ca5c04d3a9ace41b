"""What a commit says: how far a scores partition is stored, and which block is about to be.

The bookmark is the commit's offset and its metadata, so Kafka keeps both or neither, and only for the consumer that
owns the partition. Naming the block before it is inserted is what makes the same block again after a crash.
"""

from dataclasses import dataclass

import msgspec
import structlog

Source = tuple[str, int]
"""A topic and partition of events."""

MAX_TOPIC_BYTES = 249

log = structlog.get_logger()


class _Metadata(msgspec.Struct, omit_defaults=True):
    topic_id: str
    stored: int = -1
    block_last: int | None = None
    compared: bool = False
    rows_at_once: int | None = None


_decode = msgspec.json.Decoder(_Metadata).decode


@dataclass(frozen=True)
class Bookmark:
    """Everything below `offset` is stored; offset None: nothing that can be believed was committed.

    `topic_id` tells this topic from an earlier one of the same name. `stored`: the highest stored source offset, -1 if
    none is. `block_last`: the offset of the last record of the block that may be stored already, None if there is no
    such block. `compared`: of that block only those rows are inserted that the table lacks, `rows_at_once` of them if a
    whole block is too large for a proxy.
    """

    offset: int | None
    topic_id: str
    stored: int = -1
    block_last: int | None = None
    compared: bool = False
    rows_at_once: int | None = None

    def metadata(self) -> str:
        """Return what the commit carries besides the offset."""
        fields = _Metadata(self.topic_id, self.stored, self.block_last, self.compared, self.rows_at_once)
        return msgspec.json.encode(fields).decode()


def read_bookmark(offset: int | None, metadata: str | None, topic_id: str, end_offset: int) -> Bookmark:
    """Read a commit back.

    Nothing is believed of one by another program, for an earlier topic of this name, or that speaks of records beyond
    the partition's `end_offset`: the partition is then read from its beginning, and compared with the table.
    """
    if offset is None:
        return Bookmark(None, topic_id)
    try:
        decoded = _decode(metadata or "")
    except msgspec.DecodeError:
        return _disbelieved("another program, or an earlier version, committed it", offset, topic_id)
    if decoded.topic_id != topic_id:
        return _disbelieved("the topic is another one than at the last commit", offset, topic_id)
    last = offset - 1 if decoded.block_last is None else decoded.block_last
    if not offset - 1 <= last < end_offset:
        return _disbelieved("it speaks of records that the partition does not have", offset, topic_id)
    return Bookmark(offset, **msgspec.structs.asdict(decoded))


def _disbelieved(reason: str, offset: int, topic_id: str) -> Bookmark:
    log.warning(
        "a commit is not believed: reading the partition from its beginning, and storing what the table lacks",
        reason=reason,
        offset=offset,
    )
    return Bookmark(None, topic_id)
