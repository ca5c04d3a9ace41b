"""Events that their shopper's wishes do not allow: counted, and nothing else comes of them."""

import json
from dataclasses import replace

import pytest

from model.core.byte_strings import ByteStrings
from model.core.decode import decode_events
from model.formats.records import decoder_of
from streams.consent import CONSENT, Consent
from streams.lanes import Lane
from tests.streams.fetches import SOURCE_CODE, TOPICS, Acks, event, fetch, put

FIELDS = {"event_id": "e", "user_id": "u", "type": "view", "ts": 1_700_000_000_000}
SEGMENT = {"type": "track", "event": "Product Viewed", "messageId": "m", "userId": "u"}
SEGMENT |= {"timestamp": "2026-01-01T00:00:00Z", "properties": {"product_id": "p"}}


def asking(wishes: object) -> bytes:
    return json.dumps({**FIELDS, "context": {"channel": "email", "consent": wishes}}).encode()


def is_scored(consent: Consent, value: bytes) -> bool:
    batch, rejects = consent(ByteStrings.of([None, value]), None)
    reasons = [reject.reason for reject in rejects if reject.position == 1]
    assert reasons == [CONSENT] * (1 - len(batch))
    return len(batch) == 1


ONE_PURPOSE = frozenset({"personalization"})


@pytest.mark.parametrize(
    ("wishes", "purposes", "allows"),
    [
        (True, (), True),
        (False, (), False),
        (None, (), True),
        ("yes", (), False),
        (1, (), False),
        ({}, (), False),
        ({"ads": True, "personalization": True}, (), True),
        ({"ads": False, "personalization": True}, (), False),
        ({"ads": False, "personalization": True}, ONE_PURPOSE, True),
        ({"ads": True, "personalization": False}, ONE_PURPOSE, False),
        ({"ads": True}, ONE_PURPOSE, False),
        ({"personalization": "true"}, ONE_PURPOSE, False),
        ({"categoryPreferences": {"personalization": True, "ads": False}}, ONE_PURPOSE, True),
        ({"categoryPreferences": {"ads": False}}, (), False),
    ],
)
def test_an_event_is_scored_as_its_shopper_wishes(wishes, purposes, allows):
    assert is_scored(Consent(decode_events, frozenset(purposes)), asking(wishes)) is allows


def test_an_event_that_says_nothing_is_scored_unless_consent_is_required():
    value = json.dumps(FIELDS).encode()
    assert is_scored(Consent(decode_events), value)
    assert not is_scored(Consent(decode_events, is_required=True), value)
    assert is_scored(Consent(decode_events, is_required=True), asking(True))


def test_a_call_of_segments_says_it_in_its_own_context():
    consent = Consent(decoder_of("segment"), ONE_PURPOSE)
    for wish in (True, False):
        call = {**SEGMENT, "context": {"consent": {"categoryPreferences": {"personalization": wish}}}}
        assert is_scored(consent, json.dumps(call).encode()) is wish


def test_a_record_that_names_consent_and_is_no_event_is_not_kept_as_a_dead_letter():
    _, rejects = Consent(decode_events)([b'{"user_id": "u", "context": {"consent": fal'], None)
    assert [reject.reason for reject in rejects] == [CONSENT]


async def test_nothing_but_a_count_leaves_the_worker_and_the_offset_is_dealt_with(pipeline, states):
    pipeline = replace(pipeline, decode=Consent(decode_events))
    lane = Lane(pipeline, states, [].append)
    acks = Acks()
    await put(lane, acks, fetch(event(0), asking(False), asking({"ads": False})))
    await pipeline.publisher.until(lambda: bool(acks))
    assert await lane.secure() == 3
    await lane.close()
    assert (pipeline.counts.without_consent, pipeline.counts.scored) == (2, 1)
    assert not pipeline.counts.dead_letters
    assert pipeline.publisher.on(TOPICS.dead_letters) == []
    assert [each.headers["offset"] for each in pipeline.publisher.on(TOPICS.scores)] == [b"0"]
    assert states.record(b"u")["sequence"]["events"].tolist() == [1]
    assert states.last_left_out(SOURCE_CODE) == 2
