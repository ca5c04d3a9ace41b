import json
from dataclasses import replace

import numpy as np
import pytest
from structlog.testing import capture_logs

from model.core.byte_strings import ByteStrings
from model.core.decode import decode_events
from model.formats.records import decoder_of
from service.errors import RefusedError
from service.kafka import source_headers
from service.kafka_settings import Topics
from service.signatures import NO_SIGNATURES, Signatures
from streams.changelog import PartitionReader
from streams.fetch import Fetch
from streams.messages import dead_letter_records, score_records
from streams.published import Published, published_positions
from streams.records.writer import OutputRecord
from streams.topic_configs import topic_configs
from tests.harness.records import recommendation_fields
from tests.streams.fetches import PARTITION, event
from tests.streams.mock_topics import create, write


@pytest.fixture
def topics(mock_kafka, topic_prefix) -> Topics:
    topics = Topics(prefix=topic_prefix)
    create(mock_kafka, topic_configs(topics))
    return topics


@pytest.fixture
def published(mock_kafka, topics):
    """Read back what is published for the partition."""

    def published(
        *, is_known: bool | None = True, signatures: Signatures = NO_SIGNATURES, recommends: bool = False
    ) -> Published:
        reader = PartitionReader(mock_kafka)
        try:
            return published_positions(reader, topics, PARTITION, is_known, signatures, recommends=recommends)
        finally:
            reader.close()

    return published


def fetch_of(topics: Topics, *values: bytes, first_offset: int = 0) -> Fetch:
    offsets = first_offset + np.arange(len(values))
    keys = [json.loads(value)["user_id"].encode() if value.startswith(b"{") else b"?" for value in values]
    return Fetch(topics.events, PARTITION, ByteStrings.of(keys), ByteStrings.of(values), offsets, offsets)


def results(
    fetch: Fetch, decode=decode_events, signatures: Signatures = NO_SIGNATURES
) -> tuple[list[OutputRecord], list[OutputRecord]]:
    """The scores and dead letters that a worker publishes for a fetch."""
    batch, rejects = decode(fetch.values, fetch.keys)
    half = np.full((len(batch), 3), 0.5, np.float32)
    scores = score_records(fetch, batch, np.arange(len(batch)), half, model="m", scored_at_ms=0, signatures=signatures)
    return list(scores), list(dead_letter_records(fetch, rejects))


@pytest.fixture
def process(mock_kafka, topics):
    """Put a fetch on the events topic and its results on theirs, as a predecessor did."""

    def process(fetch: Fetch, *, scores: int | None = None, produce_events: bool = True) -> None:
        if produce_events:
            events = [OutputRecord(key, value) for key, value in zip(fetch.keys, fetch.values, strict=True)]
            write(mock_kafka, topics.events, PARTITION, events)
        score_messages, dead_letters = results(fetch)
        write(mock_kafka, topics.scores, PARTITION, score_messages[:scores])
        write(mock_kafka, topics.dead_letters, PARTITION, dead_letters)

    return process


def test_nothing_is_published_on_new_topics(published):
    assert published() == Published(last_score=-1, last_dead_letter=-1)


def test_the_last_score_and_the_last_dead_letter_say_how_far_a_predecessor_came(topics, process, published):
    process(fetch_of(topics, event(0), b"damaged", event(1), b"[]", event(2)), scores=2)
    assert published() == Published(last_score=2, last_dead_letter=3)


def test_repeated_scores_do_not_set_the_position_back(topics, process, published):
    process(fetch_of(topics, event(0), event(1), event(2)))
    process(fetch_of(topics, event(0), event(1)), produce_events=False)
    assert published().last_score == 2


def test_other_partitions_and_other_topics_results_say_nothing(mock_kafka, topics, process, published):
    process(fetch_of(topics, event(0)))
    batch = fetch_of(topics, event(0), event(1), event(2), event(3), b"damaged")
    for stranger in (replace(batch, partition=PARTITION - 1), replace(batch, topic="other.events")):
        scores, dead_letters = results(stranger)
        write(mock_kafka, topics.scores, PARTITION, scores)
        write(mock_kafka, topics.dead_letters, PARTITION, dead_letters)
    write(
        mock_kafka, topics.dead_letters, PARTITION, [OutputRecord(b"k", b"from a replayed file", [("file", b"a.csv")])]
    )
    assert published() == Published(last_score=0)


def test_scores_of_another_input_format_are_known_as_well(mock_kafka, topics, published):
    """The setting may have changed since: that is no topic made anew."""
    call = {"type": "track", "event": "Order Completed", "userId": "u", "timestamp": "2017-11-24T16:00:17Z"}
    keys, values = ByteStrings.of([b"u"]), ByteStrings.of([json.dumps(call).encode()])
    source = Fetch(topics.events, PARTITION, keys, values, np.arange(1), np.arange(1))
    scores, _ = results(source, decoder_of("segment"))
    write(mock_kafka, topics.events, PARTITION, [OutputRecord(b"u", source.values[0])])
    write(mock_kafka, topics.scores, PARTITION, scores)
    assert published().last_score == 0


@pytest.mark.parametrize("letters", [999, 1000, 1001, 2500, 13_000])
def test_of_any_number_of_dead_letters_the_last_one_counts(topics, process, published, letters):
    process(fetch_of(topics, *[b"damaged"] * letters))
    assert published() == Published(last_dead_letter=letters - 1)


@pytest.mark.parametrize("others", [999, 1000, 12_000])
def test_a_dead_letter_is_found_behind_any_number_of_letters_about_others(
    mock_kafka, topics, process, published, others
):
    """About rows of a replayed file, and about scores that the table refused: they lie in the same partition."""
    process(fetch_of(topics, b"damaged", b"[]"))
    of_file = source_headers("events.csv", -1, 7)
    letters = [
        OutputRecord(None, b"row", of_file if number % 2 else source_headers(topics.scores, PARTITION, number))
        for number in range(others)
    ]
    write(mock_kafka, topics.dead_letters, PARTITION, letters)
    assert published() == Published(last_dead_letter=1)


HEADERS_THAT_NAME_NO_SOURCE = {
    "none": [],
    "no offset": [("offset", ...)],
    "an offset without a value": [("offset", None)],
    "an empty offset": [("offset", b"")],
    "an offset that is no number": [("offset", b"last")],
    "an offset with a sign": [("offset", b"-3")],
    "an offset beyond every log": [("offset", b"9" * 30)],
    "an offset beyond all reason": [("offset", b"9" * 5000)],
    "no topic": [("topic", ...)],
    "a topic without a value": [("topic", None)],
    "a partition without a value": [("partition", None)],
}


@pytest.mark.parametrize("on", ["scores", "dead_letters"])
@pytest.mark.parametrize("given", HEADERS_THAT_NAME_NO_SOURCE.values(), ids=HEADERS_THAT_NAME_NO_SOURCE)
def test_a_record_whose_headers_name_no_source_is_ignored_with_one_warning(  # noqa: PLR0917 - one fixture each
    mock_kafka, topics, process, published, given, on
):
    process(fetch_of(topics, event(0), b"damaged"))
    headers = dict(source_headers(topics.events, PARTITION, 1)) | dict(given) if given else {}
    foreign = OutputRecord(b"k", b"secret", [(name, value) for name, value in headers.items() if value is not ...])
    write(mock_kafka, getattr(topics, on), PARTITION, [foreign, foreign])
    with capture_logs() as logs:
        assert published() == Published(last_score=0, last_dead_letter=1)
    topic = getattr(topics, on)
    assert [{**line, "event": ""} for line in logs] == [
        {"event": "", "log_level": "warning", "topic": topic, "partition": PARTITION, "offset": 2, "count": 2}
    ]


@pytest.mark.parametrize("value", [None, b"", b"null", b"[]", b"{}", b'{"event_id": 7}', b"\xff", b"[" * 100_000])
def test_a_score_that_is_none_is_ignored_with_one_warning(mock_kafka, topics, process, published, value):
    process(fetch_of(topics, event(0), event(1)))
    foreign = OutputRecord(b"k", value, source_headers(topics.events, PARTITION, 1))
    write(mock_kafka, topics.scores, PARTITION, [foreign])
    with capture_logs() as logs:
        assert published().last_score == 1
    assert [line["offset"] for line in logs] == [2]


class Unnamed:
    """A record with a header whose name is not UTF-8, which a stock client of another language may write."""

    def headers(self):
        raise SystemError("returned a result with an exception set")  # as confluent-kafka does

    def offset(self) -> int:
        return 5


def test_a_record_with_a_header_whose_name_is_not_utf_8_is_ignored(monkeypatch, topics, process, published):
    process(fetch_of(topics, event(0), b"damaged"))
    backwards = PartitionReader.backwards

    def with_unnamed(self, topic, partition):
        for number, stretch in enumerate(backwards(self, topic, partition)):
            yield [*stretch, *([Unnamed()] if number == 0 else [])]

    monkeypatch.setattr(PartitionReader, "backwards", with_unnamed)
    with capture_logs() as logs:
        assert published() == Published(last_score=0, last_dead_letter=1)
    assert [line["offset"] for line in logs] == [5, 5]


FORGED_OFFSETS = [2, 3, 1000, 2**62, 2**63 - 1, 10**19 - 1]
"""Of an event, of a bad record, and beyond the end of a partition of four."""


@pytest.mark.parametrize("offset", FORGED_OFFSETS)
@pytest.mark.parametrize("is_known", [True, None])
def test_a_forged_score_moves_nothing(mock_kafka, topics, process, published, offset, is_known):  # noqa: PLR0917
    process(fetch_of(topics, event(0), event(1), event(2), b"damaged"), scores=1)
    (forged,), _ = results(fetch_of(topics, event(9), first_offset=min(offset, 2**63 - 1)))
    value = (forged.value or b"").replace(b"%d" % min(offset, 2**63 - 1), b"%d" % offset)
    forged = OutputRecord(forged.key, value, source_headers(*of(topics), offset))
    write(mock_kafka, topics.scores, PARTITION, [forged] * 3)
    with capture_logs() as logs:
        assert published(is_known=is_known) == Published(last_score=0, last_dead_letter=3)
    assert [(line["log_level"], line["topic"], line["count"]) for line in logs] == [("warning", topics.scores, 3)]


@pytest.mark.parametrize("offset", FORGED_OFFSETS)
def test_a_forged_letter_moves_nothing(mock_kafka, topics, process, published, offset):
    process(fetch_of(topics, event(0), b"damaged", event(2), b"bad"), scores=1)
    headers = [*source_headers(*of(topics), offset), ("reason", b"json"), ("error", b"made up")]
    write(mock_kafka, topics.dead_letters, PARTITION, [OutputRecord(b"u", b"made up", headers)])
    assert published() == Published(last_score=0, last_dead_letter=3)


def test_with_keys_only_a_signed_score_is_believed(mock_kafka, topics, process, published):
    process(fetch_of(topics, event(0), event(1)), scores=1)
    unsigned = fetch_of(topics, event(1), first_offset=1)  # as whoever reads the events could write it
    write(mock_kafka, topics.scores, PARTITION, results(unsigned)[0])
    assert published().last_score == 1
    signatures = Signatures(["0123456789abcdef"])
    assert published(signatures=signatures).last_score == -1
    signed, _ = results(fetch_of(topics, event(0)), signatures=signatures)
    write(mock_kafka, topics.scores, PARTITION, signed)
    assert published(signatures=signatures).last_score == 0


@pytest.mark.parametrize("on", ["scores", "dead_letters"])
def test_forged_records_on_topics_without_results_move_nothing(mock_kafka, topics, published, on):
    write(mock_kafka, topics.events, PARTITION, [OutputRecord(b"u", event(0))])
    forged = OutputRecord(b"u", b"made up", source_headers(*of(topics), 2**62))
    write(mock_kafka, getattr(topics, on), PARTITION, [forged])
    assert published(is_known=None) == Published()


def of(topics: Topics) -> tuple[str, int]:
    return topics.events, PARTITION


def test_a_score_that_contradicts_itself_is_not_believed(mock_kafka, topics, process, published):
    process(fetch_of(topics, event(0), event(1)), scores=1)
    (score,), _ = results(fetch_of(topics, event(1), first_offset=1))
    value = score.value.replace(b'"source_offset":1,', b'"source_offset":7,')
    assert value != score.value
    for forged in (OutputRecord(score.key, value, score.headers), OutputRecord(b"v", score.value, score.headers)):
        write(mock_kafka, topics.scores, PARTITION, [forged])
        assert published().last_score == 0


def test_results_beyond_the_end_cost_no_reads(mock_kafka, topics, process, published, monkeypatch):
    process(fetch_of(topics, event(0)))
    forged, _ = results(fetch_of(topics, *(event(1 + number) for number in range(150)), first_offset=1))
    write(mock_kafka, topics.scores, PARTITION, forged)
    reads, record_at = [], PartitionReader.record_at
    monkeypatch.setattr(PartitionReader, "record_at", lambda self, *at: reads.append(at) or record_at(self, *at))
    assert published().last_score == 0
    assert len(reads) == 1


def test_a_flood_of_forged_results_costs_a_bounded_number_of_reads(mock_kafka, topics, process, published, monkeypatch):
    process(fetch_of(topics, *(event(number) for number in range(400))))
    forged, _ = results(fetch_of(topics, *(event(1000 + number) for number in range(400))))
    write(mock_kafka, topics.scores, PARTITION, forged * 3)
    reads, record_at = [], PartitionReader.record_at
    monkeypatch.setattr(PartitionReader, "record_at", lambda self, *at: reads.append(at) or record_at(self, *at))
    assert published().last_score == -1  # what is published again is equal, and the sink drops it
    assert len(reads) == 100


def test_a_score_of_an_event_that_retention_has_taken_is_believed(topics, process, published, monkeypatch):
    process(fetch_of(topics, event(0), event(1), event(2)))
    bounds = PartitionReader.bounds

    def without_the_first(self, topic, partition):
        low, end = bounds(self, topic, partition)
        return (3 if topic == topics.events else low), end

    monkeypatch.setattr(PartitionReader, "bounds", without_the_first)
    assert published().last_score == 2


@pytest.mark.parametrize(("new_events", "is_known"), [(0, False), (2, False), (5, False), (2, None), (5, None)])
def test_results_of_an_earlier_topic_of_the_same_name_are_refused(  # noqa: PLR0917
    mock_kafka, topics, process, published, new_events, is_known
):
    """The events that they were made from are gone: their offsets hold other events, or none yet."""
    earlier = fetch_of(topics, event(0), event(1), b"damaged", event(2))
    process(earlier, produce_events=False)
    others = [OutputRecord(b"v", event(100 + number, "v")) for number in range(new_events)]
    write(mock_kafka, topics.events, PARTITION, others)
    with pytest.raises(RefusedError, match=r"created again.*groups .* with their offsets"):
        published(is_known=is_known)


def test_a_letter_that_was_cut_is_known_by_the_size_and_hash_of_its_record(mock_kafka, topics, process, published):
    large = b"x" * 950_000
    write(mock_kafka, topics.events, PARTITION, [OutputRecord(b"?", large)])
    _, letters = results(fetch_of(topics, large[1:] + b"y"))
    write(mock_kafka, topics.dead_letters, PARTITION, letters)
    assert published().last_dead_letter == -1
    process(fetch_of(topics, large), produce_events=False)
    assert published().last_dead_letter == 0


def test_a_batch_that_nobody_could_read_is_not_read_again(mock_kafka, topics, published):
    """Its source would unpack it."""
    write(mock_kafka, topics.events, PARTITION, [OutputRecord(b"k", b"in the place of a batch")])
    letter = OutputRecord(None, b"packed", [*source_headers(topics.events, PARTITION, 0), ("reason", b"unpacked")])
    write(mock_kafka, topics.dead_letters, PARTITION, [letter])
    assert published().last_dead_letter == 0


def recommendations_for(fetch: Fetch) -> list[OutputRecord]:
    """Records as a worker writes them, for all events of a fetch."""
    batch, _ = decode_events(fetch.values, fetch.keys)
    headers = list(results(fetch)[0])
    fields = [
        recommendation_fields(PARTITION, offset, event_id=event_id, user_id=user_id, source_topic=fetch.topic)
        for offset, event_id, user_id in zip(fetch.offsets.tolist(), batch.event_ids, batch.user_ids, strict=True)
    ]
    return [
        OutputRecord(score.key, json.dumps(each).encode(), score.headers)
        for score, each in zip(headers, fields, strict=True)
    ]


def test_the_last_recommendation_is_found_where_they_are_made(mock_kafka, topics, process, published):
    fetch = fetch_of(topics, *(event(number) for number in range(4)))
    process(fetch, scores=3)
    write(mock_kafka, topics.recommendations, PARTITION, recommendations_for(fetch)[:2])
    assert published() == Published(last_score=2)
    assert published(recommends=True) == Published(last_score=2, last_recommendation=1)


def test_a_recommendation_that_is_of_no_event_is_ignored(mock_kafka, topics, process, published):
    fetch, other = (fetch_of(topics, *(event(number, user) for number in range(4))) for user in ("u", "other"))
    process(fetch)
    write(mock_kafka, topics.recommendations, PARTITION, recommendations_for(fetch)[:1])
    write(mock_kafka, topics.recommendations, PARTITION, recommendations_for(other)[3:])
    with capture_logs() as logs:
        assert published(recommends=True).last_recommendation == 0
    assert [line["topic"] for line in logs] == [topics.recommendations]
