"""What a record of a topic of results is: a score that this application's workers published, or a stranger's record.

A worker writes the key, the value and the headers of a result from the same event; so they agree. Anybody who may write
to the topic may write anything else: it becomes a dead letter, and moves nothing.
"""

from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta

from model.events import MAX_EVENT_TIME_MS, MIN_EVENT_TIME_MS
from service.kafka import headers_of
from service.signatures import NO_SIGNATURES, SIGNATURE, Signatures
from sinks.blocks import Record, RecordRefusedError, Row

STRANGER: Final = "stranger"
"""Reason of a record that no worker of this application wrote."""
ROW: Final = "row"
"""Reason of a score that the table does not take."""

NO_COORDINATES: Final = "headers: no source topic, partition and offset"
OTHER_SOURCE: Final = "headers: not of this application's events topic, or of another partition"
NO_OBJECT: Final = "value: not one JSON object"
DISAGREES: Final = "value: names another source topic, partition or offset than the headers"
OTHER_KEY: Final = "key: not the user_id of the value"
UNSIGNED: Final = "headers: no signature of one of kafka.score_keys"

Text = Annotated[str, Meta(min_length=1)]
_Propensity = float | None
_Time = Annotated[int, Meta(ge=MIN_EVENT_TIME_MS, le=MAX_EVENT_TIME_MS)]
_Share = Annotated[float, Meta(ge=0, le=1)]
_Flat = dict[str, str | float | bool | list[str | float | bool | None] | dict[str, str | float] | None]


class Result(msgspec.Struct, gc=False):
    """What a score and a recommendation have in common."""

    user_id: Text
    event_id: Text
    event_type: Text
    event_time: int
    model: Text
    source_topic: str
    source_partition: int
    source_offset: int


class _Score(Result, gc=False):
    """The fields whose types are those of every version of a score; a model may add others."""

    scored_at: int
    item_id: str | None = None
    category: str | None = None
    channel: str | None = None
    price: float | None = None
    quantity: float | None = None
    rating: float | None = None
    text: str | None = None
    anonymous_id: str | None = None
    shown: list[str] | None = None
    shown_by: str | None = None
    placement: str | None = None
    source_timestamp: int = 0
    propensity_session: _Propensity = None
    propensity_1h: _Propensity = None
    propensity_24h: _Propensity = None
    shift_session: float | None = None
    shift_1h: float | None = None
    shift_24h: float | None = None


class _Plain(_Score, gc=False):
    """A score within the bounds of the table's constraints."""

    event_time: _Time
    scored_at: _Time
    propensity_session: _Share | None = None
    propensity_1h: _Share | None = None
    propensity_24h: _Share | None = None


_decode_plain = msgspec.json.Decoder(_Plain).decode
_decode = msgspec.json.Decoder(_Score).decode
_check_flat = msgspec.json.Decoder(_Flat).decode


class ResultJudge:
    """Judges the records of one partition of a topic of results, which has the number of its events' partition."""

    def __init__(self, events_topic: str, partition: int, signatures: Signatures = NO_SIGNATURES) -> None:
        self._signatures = signatures
        self._topic = events_topic
        self._partition = partition
        self._headers = events_topic.encode(), b"%d" % partition
        self._first_headers = [("topic", self._headers[0]), ("partition", self._headers[1])]

    def __call__(self, record: Record) -> Row:
        """Return the row that a record is; raises RecordRefusedError with a reason and what is wrong, never a value."""
        value = record.value() or b""
        if self._signatures and not self._signatures.accept(value, headers_of(record).get(SIGNATURE)):
            raise RecordRefusedError(STRANGER, UNSIGNED)
        return self._judge(record)

    def _judge(self, record: Record) -> Row:
        offset = self._source_offset(record)
        result = self._read(record.value() or b"")
        if (
            result.source_offset != offset
            or result.source_partition != self._partition
            or result.source_topic != self._topic
        ):
            raise RecordRefusedError(STRANGER, DISAGREES)
        if record.key() != result.user_id.encode():
            raise RecordRefusedError(STRANGER, OTHER_KEY)
        self._check_bounds(result)
        return Row(record, offset)

    def _decoded(self, value: bytes) -> Any:  # noqa: ANN401 - one of the kinds of Result
        """Return what a value says; raises what msgspec raises if it is no such result, or nests deeply."""
        raise NotImplementedError

    def _check_bounds(self, result: Any) -> None:  # noqa: ANN401 - what `_decoded` returns
        """Refuse what the table's constraints would refuse with the whole block."""
        raise NotImplementedError

    def _read(self, value: bytes) -> Any:  # noqa: ANN401 - what `_decoded` returns
        try:
            return self._decoded(value)
        except msgspec.ValidationError as failure:  # its text names field and types
            raise RecordRefusedError(STRANGER, f"value: {failure}") from None
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            raise RecordRefusedError(STRANGER, NO_OBJECT) from None

    def _source_offset(self, record: Record) -> int:
        headers = headers_of(record)
        topic, partition, offset = headers.get("topic"), headers.get("partition"), headers.get("offset")
        if not (topic and partition and offset and partition.isdigit() and offset.isdigit() and len(offset) < 20):
            raise RecordRefusedError(STRANGER, NO_COORDINATES)
        if (topic, partition) != self._headers:
            raise RecordRefusedError(STRANGER, OTHER_SOURCE)
        return int(offset)


def _may_nest(value: bytes) -> bool:
    """Whether a value may hold more than one list or object in its own: no engine has to follow what nests deeply."""
    return value.count(b"{") + value.count(b"[") > 2


class ScoreJudge(ResultJudge):
    """Judges scores; one as a worker writes it quickly."""

    def _judge(self, record: Record) -> Row:
        value = record.value() or b""
        try:
            score = _decode_plain(value)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return super()._judge(record)
        if (
            record.headers() == [*self._first_headers, ("offset", b"%d" % score.source_offset)]
            and score.source_partition == self._partition
            and score.source_topic == self._topic
            and record.key() == score.user_id.encode()
            and not _may_nest(value)
        ):
            return Row(record, score.source_offset)
        return super()._judge(record)

    def _decoded(self, value: bytes) -> _Score:
        if _may_nest(value):
            _check_flat(value)
        return _decode(value)

    def _check_bounds(self, result: _Score) -> None:
        check_time("event_time", result.event_time)
        check_time("scored_at", result.scored_at)
        _check_share("propensity_session", result.propensity_session)
        _check_share("propensity_1h", result.propensity_1h)
        _check_share("propensity_24h", result.propensity_24h)


def check_time(column: str, time_ms: int) -> None:
    """Refuse a time that is no event's."""
    if not MIN_EVENT_TIME_MS <= time_ms <= MAX_EVENT_TIME_MS:
        raise _out_of_range(column)


def _check_share(column: str, share: float | None) -> None:
    if share is not None and not 0 <= share <= 1:
        raise _out_of_range(column)


def _out_of_range(column: str) -> RecordRefusedError:
    return RecordRefusedError(ROW, f"column {column}: out of range")
