"""Forgetting shoppers: their states at once, and what they do from then on for as long as the topic may hold it.

A request is applied by the lane that owns the shopper's partition, between two fetches. With the tombstone of the state
the changelog gets the digest of the id, and the forget topic that it is done, all in one transaction. Only an event of
somebody who has no state is compared with the digests, as the forgotten have none.
"""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Callable, Container, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from operator import attrgetter
from typing import Final, Protocol

import numpy as np

from model.batch import EventBatch
from model.core.slots import Distinct
from model.validate import Reject
from service.forget import (
    JOINED_IDS,
    REQUESTS_AT_ONCE,
    STATES,
    Done,
    JoinedIds,
    Request,
    digest,
    encoded,
    joined_of,
    request_of,
)
from streams.fetch import Fetch
from streams.following import FollowedRecords
from streams.messages import FORGOTTEN
from streams.observe.counts import WorkerCounts
from streams.partition_states import Outgoing, PartitionStates
from streams.records.writer import OutputRecord

_DIGESTS_AT_ONCE: Final = 50_000
_ERROR: Final = "the shopper is forgotten"


class Joins(Protocol):
    """What is kept of ids that were joined to users'; digests are SHA-256's."""

    @property
    def partitions(self) -> int: ...

    def joined(self, digests: frozenset[bytes], request: bytes, states: PartitionStates) -> list[bytes]:
        """Return the ids of this partition that were joined, or wait to be, to whom digests name.

        Of those whose claim is under way, `request` is what asks to forget them.
        """
        ...

    def forget(self, digests: Container[bytes], states: PartitionStates) -> None:
        """Keep nothing any more of whom digests name."""
        ...


@dataclass(frozen=True, slots=True)
class ForgetFollower:
    """Applies the requests of the forget topic."""

    topic: str
    clock_ms: Callable[[], int]
    counts: WorkerCounts
    joins: Joins | None = None
    at_once: int = REQUESTS_AT_ONCE
    passes_over_states: bool = True

    def apply(self, records: FollowedRecords, states: PartitionStates) -> None:
        """Empty the states of whom the records name, and say so behind them; a pass over all ids of the partition."""
        said = list[tuple[int, OutputRecord]]()
        for record in records.records:
            if self.joins is not None and (wanted := joined_of(record.key, record.value)) is not None:
                said += self._joined(wanted, self.joins, records.partition, states)
        found = ((record.offset, request_of(record.key, record.value)) for record in records.records)
        asked = [(offset, bytes.fromhex(named[0].decode()), named[1]) for offset, named in found if named is not None]
        if asked:
            said += self._forget(asked, records.partition, states)
        if said:
            states.send(Outgoing.of(self.topic, said))

    def _forget(
        self, asked: Sequence[tuple[int, bytes, Request]], partition: int, states: PartitionStates
    ) -> Iterator[tuple[int, OutputRecord]]:
        """Empty the states of whom requests name, in their order; yield what to say of it, by partition."""
        digests = {digest for _, digest, _ in asked}
        users = {digest: user for user in states if (digest := hashlib.sha256(user).digest()) in digests}
        if self.joins is not None:
            yield from self._wanted(self.joins, asked, users, states)
        self.counts.forgotten_states += states.remove(list(users.values()))
        for _, digest, request in asked:
            states.note(FORGOTTEN, digest, None)  # the order of the notes is that of the requests
            states.note(FORGOTTEN, digest, b"%d" % request.requested_at)
        if self.joins is not None:
            self.joins.forget(digests, states)
        for start in range(0, len(asked), REQUESTS_AT_ONCE):
            done = self._done(asked[start : start + REQUESTS_AT_ONCE], users)
            yield partition, OutputRecord(STATES.encode(), encoded(done))

    def _wanted(
        self,
        joins: "Joins",
        asked: Sequence[tuple[int, bytes, Request]],
        users: dict[bytes, bytes],
        states: PartitionStates,
    ) -> Iterator[tuple[int, OutputRecord]]:
        """Ask every partition for ids that were joined to those users who have claimed some."""
        known = list(users)
        _, found = states.gather(Distinct.of([users[digest] for digest in known]))
        claiming = {known[place] for place in np.flatnonzero(found["sequence"]["claimed"]).tolist()}
        by_request = defaultdict[Request, list[str]](list)
        for _, hashed, request in asked:
            if hashed in claiming:
                by_request[request].append(hashed.hex())
        for request, digests in by_request.items():
            for start in range(0, len(digests), REQUESTS_AT_ONCE):
                wanted = JoinedIds(request.request, request.requested_at, digests[start : start + REQUESTS_AT_ONCE])
                for partition in range(joins.partitions):
                    yield partition, OutputRecord(JOINED_IDS, encoded(wanted))

    def _joined(
        self, wanted: JoinedIds, joins: "Joins", partition: int, states: PartitionStates
    ) -> Iterator[tuple[int, OutputRecord]]:
        """Request that the ids be forgotten that were joined to shoppers."""
        request = encoded(Request(wanted.request, wanted.requested_at, joined=True))
        for anonymous_id in joins.joined(frozenset(map(bytes.fromhex, wanted.digests)), request, states):
            yield partition, OutputRecord(digest(anonymous_id), request)

    def _done(self, asked: Sequence[tuple[int, bytes, Request]], users: dict[bytes, bytes]) -> Done:
        """Return what was done about requests; who had a state is counted for the first that names them."""
        removed = Counter(request.request for _, digest, request in asked if users.pop(digest, None) is not None)
        return Done(asked[-1][0], {name: {STATES: count} for name, count in removed.items()}, self.clock_ms())


def expire_forgotten(states: PartitionStates, before_ms: int) -> None:
    """Keep no digests any more of whom it was requested to forget before; looks at a bounded number."""
    for key, requested_at in list(islice(states.notes(FORGOTTEN).items(), _DIGESTS_AT_ONCE)):
        if int(requested_at) >= before_ms:
            break  # they are in the order of the requests
        states.note(FORGOTTEN, key, None)


def without_forgotten(
    fetch: Fetch, batch: EventBatch, rejects: list[Reject], states: PartitionStates
) -> tuple[EventBatch, list[Reject]]:
    """Return the events of others, and rejects, by position, of which those of the forgotten say nothing else."""
    if not states.notes(FORGOTTEN):
        return batch, rejects
    users = Distinct.of(fetch.keys.take(batch.positions))
    slots = states.find(users)
    is_refused = np.array(
        [slot < 0 and is_forgotten(states, user) for slot, user in zip(slots.tolist(), users.strings, strict=True)],
        np.bool_,
    )[users.index]
    refused = [_reject(position) for position in batch.positions[is_refused].tolist()]
    told = [_reject(each.position) if is_forgotten(states, fetch.keys[each.position]) else each for each in rejects]
    return batch.take(np.flatnonzero(~is_refused)), sorted([*told, *refused], key=attrgetter("position"))


def is_forgotten(states: PartitionStates, user: bytes | None) -> bool:
    """Whether events of a user, and states that others hand over, are refused."""
    return hashlib.sha256(user or b"").digest() in states.notes(FORGOTTEN)


def _reject(position: int) -> Reject:
    return Reject(position, FORGOTTEN, _ERROR)
