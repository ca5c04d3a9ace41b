"""Dead letters, read back: what they say, and which of them are events after all.

A letter is sent again only if it is an event by the rules and the input format of now, under its shopper's key. What
still is none would only come back, and a letter that was cut holds no event. Two reasons are sent only if somebody
names them. `key`: whoever wrote the record gave another key than the shopper's, perhaps because only that was theirs to
write, and the replay would make it the shopper's own. `late`: the event would come back, later still, unless its
shopper's state has gone. An event that was scored meanwhile is a duplicate by its id as long as its shopper remembers
it (the last 64 events), and late after that.
"""

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final

from confluent_kafka import Message

from model.formats.records import Decode
from model.validate import LATE
from service.errors import LookUpError
from service.kafka import Headers, header_text, headers_of
from service.pseudonyms import NO_PSEUDONYMS, Pseudonyms

Send = Callable[[bytes, bytes, Headers], object]
"""Queue a record of the events topic: key, value, headers."""
NAMED_ONLY: Final = ("key", LATE)
"""Reasons whose letters are not sent unless they are named."""
CARRIED_HEADERS: Final = ("traceparent", "tracestate")


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """One record of the dead-letter topic."""

    record: Message
    value: bytes | None
    source_topic: str
    """The topic, or the file, that the refused record came from."""
    reason: str
    error: str
    time_ms: int
    is_cut: bool
    """Whether `value` is only the beginning of what was refused."""
    carried: Headers


@dataclass
class Resent:
    """What became of the letters that were looked at."""

    sent: int = 0
    elsewhere: int = 0
    """Letters about other records than those of the events topic: rows of files, scores that are no rows."""
    cut: int = 0
    """Letters that hold only the beginning of a record."""
    unnamed: Counter[str] = field(default_factory=Counter)
    """Letters of a reason in NAMED_ONLY, which nobody named, by the reason."""
    rejected: Counter[str] = field(default_factory=Counter)
    """Letters that still are no event, by the reason of now."""


def dead_letters_of(
    messages: Iterable[Message], *, reasons: Collection[str] = (), since_ms: int = 0
) -> Iterator[DeadLetter]:
    """Yield the letters of these reasons (all if none is named) that were written at `since_ms` or later.

    Raises LookUpError in the end if a reason is named that no letter has, whenever it was written.
    """
    there = Counter[str]()
    for message in messages:
        letter = _letter(message)
        there[letter.reason] += 1
        if letter.time_ms >= since_ms and (not reasons or letter.reason in reasons):
            yield letter
    if missing := [reason for reason in reasons if reason not in there]:
        counts = ", ".join(f"{reason} {count:,}" for reason, count in there.most_common()) or "none at all"
        raise LookUpError(f"no dead letter has the reason {missing[0]}; there are {counts}")


def resend(  # noqa: PLR0913 - what is sent, and how
    letters: Iterable[DeadLetter],
    events_topic: str,
    decode: Decode,
    send: Send,
    reasons: Collection[str] = (),
    *,
    pseudonyms: Pseudonyms = NO_PSEUDONYMS,
) -> Resent:
    """Send those letters about `events_topic` that `decode` accepts now; `reasons` are those that somebody named.

    Ids that are no pseudonyms yet are replaced by `pseudonyms`, for which events must be canonical.
    """
    resent = Resent()
    for letter in letters:
        if letter.source_topic != events_topic:
            resent.elsewhere += 1
            continue
        if letter.is_cut:
            resent.cut += 1
            continue
        if letter.reason in NAMED_ONLY and letter.reason not in reasons:
            resent.unnamed[letter.reason] += 1
            continue
        batch, rejects = decode([letter.value], None)
        resent.rejected.update(reject.reason for reject in rejects)
        for user_id, anonymous_id in zip(batch.user_ids, batch.anonymous_ids, strict=True):
            value = pseudonyms.of_event(letter.value or b"", user_id, anonymous_id)
            send(pseudonyms.of(user_id).encode(), value, letter.carried)
            resent.sent += 1
    return resent


def _letter(message: Message) -> DeadLetter:
    headers = headers_of(message)
    carried: Headers = [(name, headers[name]) for name in CARRIED_HEADERS if name in headers]
    return DeadLetter(
        message,
        message.value(),
        header_text(headers, "topic"),
        header_text(headers, "reason"),
        header_text(headers, "error"),
        int(message.timestamp()[1]),
        "sha256" in headers,
        carried,
    )
