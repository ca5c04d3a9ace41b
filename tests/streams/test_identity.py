"""Claims and transfers between the states of two partitions, without Kafka: what is sent is handed on by the test."""

import json
from dataclasses import replace

import numpy as np
import pytest
from structlog.testing import capture_logs

from model.states import StateCodec
from service.forget import JOINED_IDS, STATES, JoinedIds, Request, digest, encoded
from streams.following import FollowedRecord, FollowedRecords
from streams.forgetting import ForgetFollower
from streams.identity import CLAIMED, Claim, Identity, joined_to
from streams.observe.counts import WorkerCounts
from streams.records.writer import OutputRecord
from streams.scoring import Scoring
from tests.streams.fetches import PARTITION, START_MS, TOPICS, fetch
from tests.streams.memory_publisher import states_of

PARTITIONS = 4
LATER_MS = START_MS + 500_000
CLOCK_MS = START_MS + 750


def event(number: int, user: str, *, type: str = "view", anonymous_id: str | None = None) -> bytes:  # noqa: A002
    """An event that happened so many seconds after START_MS."""
    fields = {"event_id": f"e{number}", "user_id": user, "type": type, "ts": START_MS + 1000 * number, "item_id": "i"}
    return json.dumps(fields | ({"anonymous_id": anonymous_id} if anonymous_id else {})).encode()


@pytest.fixture
def identity(pipeline) -> Identity:
    topics, codec = (TOPICS.identity, TOPICS.forget), pipeline.scoring.codec
    return Identity(*topics, PARTITIONS, codec, WorkerCounts(), pipeline.timings, lambda: CLOCK_MS)


@pytest.fixture
def applied(pipeline, identity):
    """Score events and store the states, as a lane does."""
    scoring: Scoring = pipeline.scoring

    def applied(states, *values: bytes, first_offset: int = 0) -> None:
        batch = fetch(*values, first_offset=first_offset)
        scored = scoring.score(batch, pipeline.decode, states, pipeline.timings)
        claims, senders = identity.claims(batch, scored.batch, scored.claiming), scored.users.index[scored.claiming]
        states.scatter(scored.users, scored.slots, scored.states, batch.next_offset, claims, senders)

    return applied


@pytest.fixture
def owners(pipeline, states):
    """The states of two partitions: of the anonymous ids, and of the users."""
    return states, states_of(pipeline, PARTITION, states.restored)


def handed_on(identity: Identity, sender, receiver, *, events_end: int = 0) -> list:
    """Let a partition apply what another one sends; returns it."""
    sent = records_of(sender.take_dirty(urgent=True).outgoing)
    first = receiver.position(identity.topic)
    records = [
        FollowedRecord(first + place, record.key, record.value, dict(record.headers))
        for place, record in enumerate(sent)
    ]
    apply(identity, receiver, records, events_end=events_end)
    return sent


def records_of(outgoing) -> list[OutputRecord]:
    return [record for each in outgoing for record in each.records]


def apply(identity: Identity, states, records, *, events_end: int = 0) -> None:
    next_offset = records[-1].offset + 1 if records else 0
    batch = FollowedRecords(identity.topic, PARTITION, records, next_offset, events_end)
    with states.follow(batch) as fresh:
        if fresh is not None:
            identity.apply(fresh, states)
    identity.release_due(states)


def events_of(states, user: bytes) -> int:
    record = states.record(user)
    return 0 if record is None else int(record["sequence"]["events"][0])


def claim(anonymous_id: bytes, user: bytes, offset: int = 0, time_ms: int = LATER_MS) -> FollowedRecord:
    return FollowedRecord(offset, anonymous_id, user, {"kind": b"claim", "time": time_ms.to_bytes(8, "big")})


def test_what_an_anonymous_id_did_goes_to_the_user_who_claims_it_and_the_id_begins_afresh(owners, identity, applied):
    of_devices, of_users = owners
    applied(of_devices, event(0, "device"), event(1, "device"))
    applied(of_users, event(2, "user", type="identify", anonymous_id="device"))
    (claimed,) = handed_on(identity, of_users, of_devices)
    assert (claimed.key, claimed.value) == (b"device", b"user")
    (transferred,) = handed_on(identity, of_devices, of_users)
    assert transferred.key == b"user"
    assert (events_of(of_devices, b"device"), events_of(of_users, b"user")) == (0, 3)
    assert joined_to(of_devices, b"device") == Claim("user", START_MS + 2000, sent_ms=START_MS)
    counts = identity.counts
    assert (counts.claims, counts.merges, dict(counts.claims_refused)) == (1, 1, {})
    assert identity.timings.log_in_to_merge.total == (CLOCK_MS - START_MS) / 1000


def test_a_transfer_to_a_user_who_is_unknown_here_makes_one(owners, identity, applied):
    of_devices, of_users = owners
    applied(of_devices, event(0, "device"))
    apply(identity, of_devices, [claim(b"device", b"new")])
    handed_on(identity, of_devices, of_users)
    assert events_of(of_users, b"new") == 1


def test_several_transfers_to_one_user_are_all_merged(owners, identity, applied):
    of_devices, of_users = owners
    applied(of_devices, event(0, "phone"), event(1, "desk"), event(2, "desk"), event(3, "other"))
    apply(identity, of_devices, [claim(b"phone", b"u"), claim(b"desk", b"u", 1), claim(b"other", b"v", 2)])
    handed_on(identity, of_devices, of_users)
    assert (events_of(of_users, b"u"), events_of(of_users, b"v"), identity.counts.merges) == (3, 1, 3)


def test_a_claim_waits_until_the_events_that_were_there_are_dealt_with(owners, identity, applied):
    of_devices, _ = owners
    applied(of_devices, event(0, "device"))
    apply(identity, of_devices, [claim(b"device", b"user")], events_end=3)
    assert (events_of(of_devices, b"device"), of_devices.has_outgoing) == (1, False)
    applied(of_devices, event(1, "device"), event(2, "device"), first_offset=1)
    identity.release_due(of_devices)
    assert (events_of(of_devices, b"device"), of_devices.has_outgoing) == (0, True)


def test_a_claim_that_waits_survives_a_restart(owners, identity, applied, pipeline):
    of_devices, _ = owners
    apply(identity, of_devices, [claim(b"device", b"user")], events_end=3)
    dirty = of_devices.take_dirty()
    restored = states_of(pipeline, PARTITION, of_devices.restored)
    restored.restore({key: value for key, value in dirty.notes.items() if value is not None})
    restored.events_end = 2
    identity.resume(restored)
    applied(restored, event(0, "device"), event(1, "device"))
    identity.release_due(restored)
    (transfer,) = records_of(restored.take_dirty().outgoing)
    assert transfer.key == b"user"
    assert not restored.notes(CLAIMED)


def test_a_claim_does_not_wait_for_events_that_the_predecessor_dealt_with(states, identity, applied):
    applied(states, event(0, "device"), event(1, "device"))
    states.next_offset, states.committed = 0, 2
    apply(identity, states, [claim(b"device", b"user")], events_end=2)
    assert states.has_outgoing


def test_a_later_event_of_the_id_is_not_handed_over(owners, identity, applied, pipeline):
    """Two users log in, one after the other, on a device whose owner lags behind."""
    of_devices, of_users = owners
    claims = [claim(b"d", b"u", 0, START_MS + 1500), claim(b"d", b"v", 1, START_MS + 3500)]
    apply(identity, of_devices, claims, events_end=9)
    batch = fetch(event(0, "x"), event(1, "d"), event(2, "d"), event(3, "d"), event(4, "d"))
    place, key, until_ms = identity.first_later(batch, pipeline.decode, of_devices)
    assert (place, key) == (2, b"d")
    applied(of_devices, *batch.part(0, place).values)
    identity.release([(key, until_ms)], of_devices)
    rest = batch.part(place, len(batch))
    place, key, until_ms = identity.first_later(rest, pipeline.decode, of_devices)
    assert place == 2
    applied(of_devices, *rest.part(0, place).values, first_offset=2)
    identity.release([(key, until_ms)], of_devices)
    rest = rest.part(place, len(rest))
    assert identity.first_later(rest, pipeline.decode, of_devices) is None
    applied(of_devices, *rest.values, first_offset=4)
    identity.release_due(of_devices)
    handed_on(identity, of_devices, of_users)
    assert [events_of(of_users, user) for user in (b"u", b"v")] == [1, 2]
    assert events_of(of_devices, b"d") == 1


def test_a_claim_of_who_did_nothing_comes_to_nothing(owners, identity, applied):
    of_devices, _ = owners
    applied(of_devices, event(0, "device"))
    apply(identity, of_devices, [claim(b"unknown", b"u"), claim(b"device", b"u", 1), claim(b"device", b"v", 2)])
    assert len(records_of(of_devices.take_dirty().outgoing)) == 1
    assert identity.counts.claims_refused == {"nothing": 2}
    assert joined_to(of_devices, b"unknown") is None


def test_a_user_is_not_claimed_nor_who_was_claimed_too_often(owners, identity, applied):
    of_devices, _ = owners
    strict = replace(identity, most_claims=1)
    applied(of_devices, event(0, "kiosk"), event(1, "user", type="identify", anonymous_id="kiosk"))
    apply(strict, of_devices, [claim(b"kiosk", b"u"), claim(b"user", b"v", 1)])
    applied(of_devices, event(2, "kiosk"), first_offset=2)
    apply(strict, of_devices, [claim(b"kiosk", b"w", 2)])
    assert strict.counts.claims_refused == {"user": 1, "claims": 1}
    assert (events_of(of_devices, b"kiosk"), events_of(of_devices, b"user")) == (1, 1)


@pytest.mark.parametrize(
    "record",
    [
        FollowedRecord(0, b"secret", b"u", {}),
        FollowedRecord(0, b"secret", b"u", {"kind": b"other"}),
        FollowedRecord(0, None, b"u", {"kind": b"claim", "time": bytes(8)}),
        FollowedRecord(0, b"secret", None, {"kind": b"transfer"}),
        FollowedRecord(0, b"secret", b"\xff", {"kind": b"claim", "time": bytes(8)}),
        FollowedRecord(0, b"secret\xff", b"u", {"kind": b"claim", "time": bytes(8)}),
        FollowedRecord(0, b"secret", b"u", {"kind": b"claim", "time": b"soon"}),
        FollowedRecord(0, b"secret", b"no state", {"kind": b"transfer"}),
    ],
)
def test_what_strangers_write_is_counted_and_told_without_its_content(states, identity, record):
    with capture_logs() as logs:
        apply(identity, states, [record, claim(b"a", b"u", 1)])
    assert identity.counts.claims_refused == {"stranger": 1, "nothing": 1}
    (line,) = logs
    assert (line["topic"], line["partition"], line["offset"]) == (TOPICS.identity, PARTITION, 0)
    assert "secret" not in str(logs)
    assert states.position(TOPICS.identity) == 2
    assert len(states) == 0


def test_a_state_of_another_model_is_merged_and_rebuilt_when_it_is_needed(owners, identity, applied, pipeline):
    of_devices, of_users = owners
    applied(of_devices, event(0, "device"))
    apply(identity, of_devices, [claim(b"device", b"u")])
    (sent,) = records_of(of_devices.take_dirty().outgoing)
    codec = StateCodec(6, model_code=99)
    other = codec.blank(1)
    other["sequence"] = np.frombuffer(sent.value, pipeline.scoring.codec.dtype)["sequence"]
    transfer = FollowedRecord(0, b"u", other.tobytes(), {"kind": b"transfer"})
    apply(identity, of_users, [transfer])
    assert events_of(of_users, b"u") == 1
    assert len(pipeline.scoring.codec.stale(of_users.record(b"u"))) == 1


def forget(identity: Identity, states, *records: tuple[bytes, bytes]) -> list[tuple[int, bytes, bytes]]:
    """Let a partition read records of the forget topic; return what it sends there: partition, key, value."""
    follower = ForgetFollower(TOPICS.forget, lambda: 0, identity.counts, identity)
    first = states.position(TOPICS.forget)
    followed = [FollowedRecord(first + place, *record) for place, record in enumerate(records)]
    with states.follow(FollowedRecords(TOPICS.forget, PARTITION, followed, first + len(followed))) as fresh:
        follower.apply(fresh, states)
    return requested(states)


def requested(states) -> list[tuple[int, bytes, bytes]]:
    """Return what a partition sends to the forget topic: partition, key, value."""
    return [
        (partition, record.key, record.value)
        for each in states.take_dirty(urgent=True).outgoing
        if each.topic == TOPICS.forget
        for partition, record in zip(each.partitions.tolist(), each.records, strict=True)
    ]


def test_the_ids_that_were_joined_to_a_user_are_forgotten_wherever_they_lie(owners, identity, applied):
    of_devices, of_users = owners
    applied(of_devices, event(0, "device"))
    applied(of_users, event(1, "user", type="identify", anonymous_id="device"), event(2, "other"))
    handed_on(identity, of_users, of_devices)
    handed_on(identity, of_devices, of_users)
    asked = encoded(Request("r", 7))
    *wanted, done = forget(identity, of_users, (digest(b"user"), asked), (digest(b"other"), asked))
    assert done[1] == STATES.encode()
    assert [partition for partition, _, _ in wanted] == list(range(identity.partitions))
    ((partition, key, value),) = forget(identity, of_devices, wanted[0][1:])
    assert (partition, key, value) == (PARTITION, digest(b"device"), encoded(Request("r", 7, joined=True)))
    assert joined_to(of_devices, b"device") is not None
    forget(identity, of_devices, (key, value))
    assert joined_to(of_devices, b"device") is None


def test_an_id_is_forgotten_whose_claim_is_read_after_it_was_asked_who_was_joined_to_the_claimer(
    owners, identity, applied
):
    of_devices, of_users = owners
    applied(of_devices, event(0, "device"), event(1, "another"))
    applied(of_users, event(1, "user", type="identify", anonymous_id="device"))
    wanted, *_ = forget(identity, of_users, (digest(b"user"), encoded(Request("r", 7))))
    forget(identity, of_devices, wanted[1:])
    apply(identity, of_devices, [claim(b"device", b"user"), claim(b"another", b"somebody")], events_end=0)
    (request,) = requested(of_devices)
    assert request == (PARTITION, digest(b"device"), encoded(Request("r", 7, joined=True)))
    assert events_of(of_devices, b"device") == 1
    forget(identity, of_devices, request[1:])
    assert (list(of_devices), list(of_devices.notes("joined"))) == ([b"another"], [b"another"])


def test_a_claim_that_comes_long_after_its_user_was_forgotten_is_a_claim(owners, identity, applied):
    of_devices, _ = owners
    applied(of_devices, event(0, "device"))
    wanted = encoded(JoinedIds("r", 7, [digest(b"user").decode()]))
    for number, (late_ms, requests) in enumerate(((600_000, 1), (600_001, 0))):
        forget(identity, of_devices, (JOINED_IDS, wanted))
        later = replace(identity, clock_ms=lambda late_ms=late_ms: CLOCK_MS + late_ms)
        apply(later, of_devices, [claim(b"device", b"user", number)], events_end=100)
        assert len(requested(of_devices)) == requests
    assert list(of_devices.notes(CLAIMED)) == [b"device"]
    assert not identity.asked


def test_whom_an_id_was_joined_to_is_not_known_for_longer_than_states_are_kept(owners, identity, applied):
    of_devices, _ = owners
    for number, device in enumerate(("old", "young")):
        applied(of_devices, event(number, device))
        apply(identity, of_devices, [claim(device.encode(), b"user", number, LATER_MS + number)], events_end=0)
    identity.expire(of_devices, LATER_MS + 1)
    assert (joined_to(of_devices, b"old"), joined_to(of_devices, b"young")) == (None, Claim("user", LATER_MS + 1))


def test_what_is_left_of_a_claimed_id_is_kept_as_long_as_a_state_with_its_last_event(owners, identity, applied):
    of_devices, _ = owners
    applied(of_devices, event(0, "device"))
    apply(identity, of_devices, [claim(b"device", b"user")])
    assert (events_of(of_devices, b"device"), of_devices.expire(START_MS, 100), list(of_devices)) == (0, 0, [b"device"])
    assert (of_devices.expire(START_MS + 1, 100), list(of_devices)) == (1, [])


def test_a_claim_of_an_id_that_is_forgotten_is_not_kept(owners, identity):
    of_devices, _ = owners
    forget(identity, of_devices, (digest(b"device"), encoded(Request("r", 7))))
    apply(identity, of_devices, [claim(b"device", b"user")], events_end=100)
    assert not of_devices.notes(CLAIMED)
