"""Events that their shopper's wishes do not allow: counted, and nothing else comes of them."""

import json
from dataclasses import replace

import msgspec
import pytest

from model.consent import CONSENT, ConsentRule
from model.core.byte_strings import ByteStrings
from model.core.decode import decode_events
from model.formats import FORMATS
from model.formats.records import decoder_of
from model.shop import NO_SHOP
from streams.consent import Consent
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
    assert is_scored(Consent(decode_events, ConsentRule(frozenset(purposes))), asking(wishes)) is allows


def test_an_event_that_says_nothing_is_scored_unless_consent_is_required():
    value = json.dumps(FIELDS).encode()
    assert is_scored(Consent(decode_events), value)
    assert not is_scored(Consent(decode_events, ConsentRule(is_required=True)), value)
    assert is_scored(Consent(decode_events, ConsentRule(is_required=True)), asking(True))


def test_a_call_of_segments_says_it_in_its_own_context():
    consent = Consent(decoder_of("segment"), ConsentRule(ONE_PURPOSE))
    for wish in (True, False):
        call = {**SEGMENT, "context": {"consent": {"categoryPreferences": {"personalization": wish}}}}
        assert is_scored(consent, json.dumps(call).encode()) is wish


GA4 = {"event_name": "page_view", "event_timestamp": "1511539217250000", "user_pseudo_id": "c"}


@pytest.mark.parametrize(
    ("said", "purposes", "allows"),
    [
        ({"privacy_info": {"analytics_storage": "Yes", "ads_storage": "Unset"}}, (), True),
        ({"privacy_info": {"analytics_storage": "Yes", "ads_storage": "No"}}, (), False),
        ({"privacy_info": {"analytics_storage": "Yes", "ads_storage": "No"}}, ("analytics_storage",), True),
        ({"privacy_info": {"analytics_storage": None, "uses_transient_token": "No"}}, (), True),
        ({"privacy_info": 7}, (), True),
        ({"consent": {"ad_user_data": "DENIED"}}, (), False),
    ],
)
def test_an_event_of_ga4_says_it_as_ga4_does(said, purposes, allows):
    assert (
        is_scored(Consent(decoder_of("ga4"), ConsentRule(frozenset(purposes))), json.dumps(GA4 | said).encode())
        is allows
    )


OF_FORMATS = {
    "cartcast": lambda wish: {**FIELDS, "context": {"channel": "email", "consent": wish}},
    "segment": lambda wish: {**SEGMENT, "context": {"consent": {"categoryPreferences": {"all": wish}}}},
    "ga4": lambda wish: {**GA4, "privacy_info": {"analytics_storage": "Yes" if wish else "No"}},
}


@pytest.mark.parametrize("name", OF_FORMATS)
@pytest.mark.parametrize("wish", [True, False])
def test_a_file_that_is_replayed_says_it_as_its_events_do(name, wish):
    line = json.dumps(OF_FORMATS[name](wish)).encode()
    (read,) = FORMATS[name](iter([(1, line)]), NO_SHOP)
    assert is_scored(Consent(decode_events), msgspec.json.encode(read)) is wish


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
