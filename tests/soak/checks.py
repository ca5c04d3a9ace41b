"""What must hold after a seed, whatever has happened; each check returns a line for each thing that does not hold."""

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from confluent_kafka import Message

from service.kafka import headers_of
from tests.harness.pipeline import PROPENSITIES, Coordinates
from tests.soak.oracle import Accepted, Oracle
from tests.soak.world import ROW, World

TOLERANCE = 1e-4
SHOWN = 5
Letter = tuple[str, int, int]
"""Topic, partition and offset of the record that a dead letter is about."""


@dataclass
class Found:
    """What a seed's pipeline has made."""

    accepted: Accepted
    scores: Mapping[Coordinates, list[dict[str, Any]]]
    score_records: Mapping[tuple[int, int], Coordinates]
    """The source coordinates of each genuine score, by its own."""
    rows: list[dict[str, Any]]
    letters: Counter[Letter]
    letter_rows: Counter[Letter]
    reasons: Mapping[Letter, str]


def check(world: World, oracle: Oracle) -> list[str]:
    """Return everything that is not as it must be."""
    found = look(world, oracle)
    world.notes["events"] += len(found.accepted.new)
    world.notes["repeated scores"] += sum(map(len, found.scores.values())) - len(found.scores)
    world.notes["repeated letters"] += found.letters.total() - len(found.letters)
    world.notes["letters"] += len(found.letters)
    checks = (_scores(found, oracle), _rows(world, found), _letters(world, found), _commits(world, found))
    return [line for each in (*checks, _named_losses(world), _tracebacks(world)) for line in each]


def look(world: World, oracle: Oracle) -> Found:
    """Read everything back with stock clients."""
    read = [record for record in world.sent if not record.aborted and not world.is_lost(record)]
    scores, score_records = defaultdict(list), {}
    for message in (*world.deleted_scores, *world.read(world.topics.scores)):
        if (world.topics.scores, message.partition(), message.offset()) not in world.forged:
            score = json.loads(message.value())
            source = (score["source_partition"], score["source_offset"])
            scores[source].append(score)
            score_records[message.partition(), message.offset()] = source
    letters, reasons = _letters_on_the_topic(world)
    letter_rows = world.query("SELECT source_topic, source_partition, source_offset FROM dead_letters FINAL")
    return Found(
        oracle.accepted(read),
        scores,
        score_records,
        [dict(zip(ROW, row, strict=True)) for row in world.rows()],
        letters,
        Counter(tuple(row) for row in letter_rows),
        reasons,
    )


def _letters_on_the_topic(world: World) -> tuple[Counter[Letter], dict[Letter, str]]:
    letters: Counter[Letter] = Counter()
    reasons = {}
    for message in world.read(world.topics.dead_letters):
        if (world.topics.dead_letters, message.partition(), message.offset()) not in world.forged:
            about = _about(message)
            letters[about] += 1
            reasons[about] = headers_of(message)["reason"].decode()
    return letters, reasons


def _about(message: Message) -> Letter:
    headers = headers_of(message)
    return headers["topic"].decode(), int(headers["partition"]), int(headers["offset"])


def _some(what: str, things: Iterable[object]) -> Iterator[str]:
    """Yield one line that counts things and names the first."""
    if things := sorted(things, key=str):
        yield f"{len(things)} {what}, as {', '.join(map(str, things[:SHOWN]))}"


def _scores(found: Found, oracle: Oracle) -> Iterator[str]:
    """Each accepted event has one or more equal scores, equal to offline scoring."""
    yield from _some("events without a score", found.accepted.new - found.scores.keys())
    yield from _some("scores of what is no new event", found.scores.keys() - found.accepted.new)
    expected = oracle.scores(found.accepted, {each: scores[0]["model"] for each, scores in found.scores.items()})
    yield from _some("events that offline scoring does not score", found.accepted.new - expected.keys())
    wrong = {}
    for each, scores in found.scores.items():
        if each in expected:
            worst = max(
                float(np.abs(expected[each] - [score[name] for name in PROPENSITIES]).max()) for score in scores
            )
            if worst > TOLERANCE:
                wrong[each] = worst
    yield from _some("scores that are not the offline ones", [f"{each}: by {by:.4f}" for each, by in wrong.items()])


def _rows(world: World, found: Found) -> Iterator[str]:
    """Each event whose score was not deleted is exactly one row, which says what a score says."""
    rows = Counter((row["source_partition"], row["source_offset"]) for row in found.rows)
    deleted = {found.score_records[each] for each in found.score_records if (world.topics.scores, *each) in world.lost}
    yield from _some("events without a row", found.accepted.new - rows.keys() - deleted)
    yield from _some("rows of what is no new event", rows.keys() - found.accepted.new)
    yield from _some("doubled rows", [each for each, count in rows.items() if count > 1])
    different = []
    for row in found.rows:
        source = row["source_partition"], row["source_offset"]
        scores = found.scores.get(source, [])
        if not any(_says(row, score) for score in scores):
            different.append(source)
    yield from _some("rows that say something else than their scores", different)


def _says(row: Mapping[str, Any], score: Mapping[str, Any]) -> bool:
    same = all(row[name] == score[name] for name in ("user_id", "event_id"))
    return same and np.allclose([row[name] for name in PROPENSITIES], [score[name] for name in PROPENSITIES], atol=1e-6)


def _letters(world: World, found: Found) -> Iterator[str]:
    """Letters are about exactly what is bad; stored, there is one of each."""
    topics = world.topics
    wanted = {
        (topics.events, record.partition, record.offset): record.reason
        for record in world.sent
        if record.reason and not record.aborted and not world.is_lost(record)
    }
    wanted |= {about: reason for about, reason in world.forged.items() if reason and about not in world.lost}
    yield from _some("bad records without a letter", wanted.keys() - found.letters.keys())
    yield from _some("letters about what is not bad", found.letters.keys() - wanted.keys())
    both = wanted.keys() & found.letters.keys()
    wrong = [f"{each}: {found.reasons[each]}" for each in both if found.reasons[each] != wanted[each]]
    yield from _some("letters with another reason", wrong)
    yield from _some("letters that are not stored", wanted.keys() - found.letter_rows.keys())
    yield from _some("letters stored twice", [each for each, count in found.letter_rows.items() if count > 1])


def _commits(world: World, found: Found) -> Iterator[str]:
    """What a group had committed was there: scores of the workers' events, rows of the sinks' scores."""
    published = defaultdict(list)
    for (partition, offset), source in found.score_records.items():
        published[source].append((partition, offset))
    early: set[object] = set()
    for snapshot in world.snapshots:
        for partition, offset in found.accepted.new & published.keys():
            if offset < snapshot.events.get(partition, 0):
                first = min(at for _, at in published[partition, offset])
                if first >= snapshot.scores_end.get(partition, 0):
                    early.add(("event", partition, offset))
        for (partition, offset), source in found.score_records.items():
            is_lost = (world.topics.scores, partition, offset) in world.lost
            if offset < snapshot.scores.get(partition, 0) and source not in snapshot.rows and not is_lost:
                early.add(("score", partition, offset))
    yield from _some("records committed before what they became was there", early)


def _named_losses(world: World) -> Iterator[str]:
    """Somebody has said of every record that retention deleted unread that it is gone."""
    named = {
        (line["topic"], line["partition"], offset)
        for line in world.log_lines()
        if "were deleted" in line["event"]
        for offset in range(line["first_offset"], line["last_offset"] + 1)
    }
    yield from _some("records lost without a word", world.lost - named)


def _tracebacks(world: World) -> Iterator[str]:
    """A process may end with one line that says why; a traceback is for bugs."""
    if not world.starved:
        yield from _some("tracebacks", world.tracebacks())
