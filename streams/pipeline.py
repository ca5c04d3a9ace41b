"""What is computed of a fetch, from the records that Kafka hands out to those that it takes: no waiting, no order."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import structlog

from model.consent import CONSENT
from model.core.byte_strings import ByteStrings
from model.core.decode import decode_events
from model.core.encode import OwnFields
from model.events import OTHER
from model.formats.records import Decode
from model.heads import NO_HEADS, HeadNames
from model.horizons import HORIZONS
from service.kafka_settings import Topics
from service.signatures import NO_SIGNATURES, Signatures
from streams.fenced import Elsewhere
from streams.fetch import Fetch
from streams.following import Following
from streams.identity import Identity
from streams.messages import dead_letter_records, decode_unreadable, score_records
from streams.misplaced import MISPLACED
from streams.observe.counts import Timings, WorkerCounts
from streams.observe.spans import NO_SPANS, Spans
from streams.partition_states import Dirty, PartitionStates
from streams.published import Published
from streams.publisher import Publisher
from streams.recommendations import Recommendations
from streams.records.writer import OutputRecord, OutputRecords, RecordBatch, record_batches
from streams.scoring import ScoredFetch, Scoring

_log: Final = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Results:
    """What came of a fetch, and what of it no predecessor has published."""

    scored: ScoredFetch
    scores: list[RecordBatch]
    dead_letters: list[RecordBatch]


@dataclass(frozen=True, slots=True)
class Pipeline:
    """The parts that lanes work with, and what of their work is computed: most of it without the interpreter lock."""

    topics: Topics
    publisher: Publisher
    scoring: Scoring
    model_version: str
    clock_ms: Callable[[], int]
    counts: WorkerCounts
    timings: Timings = field(default_factory=Timings)
    spans: Spans = NO_SPANS
    decode: Decode = decode_events
    """From the events topic's records to events and rejects."""
    horizons: Sequence[str] = HORIZONS
    threads: Executor | None = None
    """Where partitions are scored side by side; None: the event loop's own threads."""
    small_bytes: int = 0
    """Work on no more than this is done in the event loop."""
    head_names: HeadNames = NO_HEADS
    """What the classes of the extra heads are called; there are none by default."""
    own_fields: OwnFields | None = None
    """The fields of scores that the shop's definition adds."""
    signatures: Signatures = NO_SIGNATURES
    recommendations: Recommendations | None = None
    """What becomes of the moments that scoring finds."""
    identity: Identity | None = None
    """What joins anonymous ids to users; one of those that follow."""
    following: Following | None = None
    """Further topics whose records change states."""
    sweep: Callable[[PartitionStates], object] = lambda _: None
    """What is done about states once a commit, between two fetches; takes little time."""

    def score(self, fetch: Fetch, states: PartitionStates) -> Results:
        """Score a fetch and store the states; in a thread."""
        decode = decode_unreadable(fetch) if fetch.error else self.decode
        scored = self.scoring.score(fetch, decode, states, self.timings)
        began = self.timings.clock()
        scores, dead_letters = self._unpublished(fetch, scored, states.published)
        now_ms = self.clock_ms()
        batches = record_batches(scores, now_ms), record_batches(dead_letters, now_ms)
        scored.seconds["encode"] = self.timings.clock() - began
        claims = None if self.identity is None else self.identity.claims(fetch, scored.batch, scored.claiming)
        senders = scored.users.index[scored.claiming]
        left_out = [fetch.offsets[reject.position] for reject in scored.rejects if reject.reason == CONSENT]
        if left_out:
            states.leave_out(self.scoring.source_code, int(max(left_out)))
        states.scatter(scored.users, scored.slots, scored.states, fetch.next_offset, claims, senders)
        return Results(scored, *batches)

    def changelog(self, dirty: Dirty) -> tuple[list[RecordBatch], list[Elsewhere]]:
        """Encode what is to be written: notes before states, and what goes to other partitions."""
        now_ms = self.clock_ms()
        notes = OutputRecords.of([OutputRecord(key, value) for key, value in dirty.notes.items()])
        states = OutputRecords(dirty.users, dirty.values, ByteStrings.none(len(dirty.slots)))
        records = OutputRecords.concatenated([notes, states]) if notes else states
        batches = record_batches(records, now_ms, in_transaction=True)
        topics = {each.topic for each in dirty.outgoing}
        return batches, [each for topic in topics for each in _sent_to(topic, dirty, now_ms)]

    def _unpublished(
        self, fetch: Fetch, scored: ScoredFetch, published: Published
    ) -> tuple[OutputRecords, OutputRecords]:
        """Encode the results that no predecessor has published."""
        offsets = fetch.offsets
        fresh = offsets[scored.batch.positions[scored.rows]] > published.last_score
        rejects = [
            reject
            for reject in scored.rejects
            if reject.reason != CONSENT and offsets[reject.position] > published.last_dead_letter
        ]
        shifts = scored.levels.fields(scored.batch.event_time_ms[scored.rows[fresh]])
        scores = score_records(
            fetch,
            scored.batch,
            scored.rows[fresh],
            scored.propensities[fresh],
            model=self.model_version,
            scored_at_ms=self.clock_ms(),
            horizons=self.horizons,
            signatures=self.signatures,
            extra=self.head_names.fields_of(scored.extra[fresh]) | shifts,
            own_fields=self.own_fields,
        )
        return scores, dead_letter_records(fetch, rejects)

    def first_later(self, fetch: Fetch, states: PartitionStates) -> tuple[int, bytes, int] | None:
        """Return what `Identity.first_later` does; None without identities, and for a fetch that nobody can read."""
        if self.identity is None or fetch.error:
            return None
        return self.identity.first_later(fetch, self.decode, states)

    def confirmed_since(self, produced: float, fetch: Fetch, scored: ScoredFetch) -> None:
        """Note how long Kafka took, and how old events were when their scores were confirmed."""
        self.timings.lap("acknowledge", produced)
        sent_ms = fetch.timestamps_ms[scored.batch.positions[scored.rows]]
        delays_ms = self.clock_ms() - sent_ms[sent_ms > 0]
        self.timings.event_to_score.add_all(np.maximum(delays_ms, 0) / 1000)

    def count(self, fetch: Fetch, scored: ScoredFetch) -> None:
        """Count what came of a fetch."""
        counts = self.counts
        counts.events += len(fetch)
        counts.scored += len(scored.rows)
        counts.impressions += scored.impressions
        own = scored.batch.own
        types = scored.batch.type_codes if own is None else own.types
        counts.other_types += int((types[scored.rows[: len(scored.rows) - scored.impressions]] == OTHER).sum())
        counts.duplicates += scored.duplicates
        counts.already_applied += scored.already_applied
        counts.clock_ahead += scored.clock_ahead
        if scored.misplaced and not counts.misplaced:
            _log.warning(f"{MISPLACED}; counted from now on", topic=fetch.topic, partition=fetch.partition)
        counts.misplaced += scored.misplaced
        reasons = Counter(reject.reason for reject in scored.rejects)
        counts.without_consent += reasons.pop(CONSENT, 0)
        counts.dead_letters.update(reasons)
        self.timings.batch_events.add(len(scored.batch))
        for stage, seconds in scored.seconds.items():
            self.timings.stages[stage].add(seconds)


def _sent_to(topic: str, dirty: Dirty, now_ms: int) -> Iterator[Elsewhere]:
    """Yield the batches for another topic, as few as possible: each takes a request of its own."""
    parts = [each for each in dirty.outgoing if each.topic == topic]
    records = OutputRecords.concatenated([each.records for each in parts])
    partitions = np.concatenate([each.partitions for each in parts])
    for partition in np.unique(partitions).tolist():
        for batch in record_batches(records.take(np.flatnonzero(partitions == partition)), now_ms, in_transaction=True):
            yield Elsewhere(topic, partition, batch)
