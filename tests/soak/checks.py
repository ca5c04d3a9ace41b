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
from tests.soak.forgetting import FORGOTTEN, left_over, wrong_ids
from tests.soak.history import Sent
from tests.soak.identity import Joining, left_behind, lives, wrong_claims, wrong_handovers, wrong_states
from tests.soak.oracle import Accepted, Oracle, published_numbers
from tests.soak.world import ROW, TRIGGERS, World

SHOWN = 5
Letter = tuple[str, int, int]
"""Topic, partition and offset of the record that a dead letter is about."""


@dataclass
class Found:
    """What a seed's pipeline has made."""

    read: list[Sent]
    """What was there to be read."""
    accepted: Accepted
    scores: Mapping[Coordinates, list[dict[str, Any]]]
    score_records: Mapping[tuple[int, int], Coordinates]
    """The source coordinates of each genuine score, by its own."""
    rows: list[dict[str, Any]]
    letters: Counter[Letter]
    letter_rows: Counter[Letter]
    reasons: Mapping[Letter, str]
    recommendations: Counter[Coordinates]


def check(world: World, oracle: Oracle) -> list[str]:
    """Return everything that is not as it must be."""
    found = look(world)
    world.notes["events"] += len(found.accepted.new)
    world.notes["repeated scores"] += sum(map(len, found.scores.values())) - len(found.scores)
    world.notes["repeated letters"] += found.letters.total() - len(found.letters)
    world.notes["letters"] += len(found.letters)
    world.notes["repeated recommendations"] += found.recommendations.total() - len(found.recommendations)
    checks = (_scores(found), _people(world, found, oracle), _rows(world, found), _letters(world, found))
    checks += (_recommendations(world, found), _forgotten(world, found), _commits(world, found))
    return [line for each in (*checks, _named_losses(world), _tracebacks(world)) for line in each]


def look(world: World) -> Found:
    """Read everything back with stock clients."""
    world.note_growth()
    read = [record for record in world.sent if not record.aborted and not world.is_lost(record)]
    scores, score_records = defaultdict(list), {}
    for message in (*world.deleted_scores, *world.read(world.topics.scores)):
        if (world.topics.scores, message.partition(), message.offset()) not in world.forged:
            score = json.loads(message.value())
            source = (score["source_partition"], score["source_offset"])
            scores[source].append(score)
            score_records[message.partition(), message.offset()] = source
    letters, reasons = _letters_on_the_topic(world)
    refused = {about[1:] for about, reason in reasons.items() if reason == FORGOTTEN} - scores.keys()
    letter_rows = world.query("SELECT source_topic, source_partition, source_offset FROM dead_letters FINAL")
    accepted = Accepted.of(record for record in read if (record.partition, record.offset) not in refused)
    accepted.repeats -= {at for at in accepted.repeats & scores.keys() if accepted.records[at].begins_anew}
    recommended = (json.loads(message.value()) for message in world.read(world.topics.recommendations))
    return Found(
        read,
        accepted,
        scores,
        score_records,
        [dict(zip(ROW, row, strict=True)) for row in world.rows()],
        letters,
        Counter(tuple(row) for row in letter_rows),
        reasons,
        Counter((each["source_partition"], each["source_offset"]) for each in recommended),
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


def _scores(found: Found) -> Iterator[str]:
    """Each accepted event has one or more scores."""
    yield from _some("events without a score", found.accepted.new - found.scores.keys())
    yield from _some("scores of what is no new event", found.scores.keys() - found.accepted.new)


def _people(world: World, found: Found, oracle: Oracle) -> Iterator[str]:
    """Scores and states are those of offline scoring; what anonymous ids did went to who claimed them, once."""
    codec = oracle.codec()
    joining = Joining.read(world, found.accepted, codec)
    followed = lives(oracle, found.accepted, joining, found.scores)
    world.notes["claims"] += joining.claims.total()
    world.notes["merges"] += len(joining.handovers)
    unscored = [(partition, each) for (partition, _), life in followed.items() for each in life.unscored]
    yield from _some("events that offline scoring does not score", unscored)
    wrong = [(partition, *each) for (partition, _), life in followed.items() for each in life.wrong.items()]
    yield from _some("scores that are not the offline ones", [f"{p} {at}: by {by:.4f}" for p, at, by in wrong])
    yield from _some("states handed over to whom nobody knows", joining.unknown)
    yield from _some(
        "states handed over that are not the offline ones", wrong_handovers(world, joining, followed, codec)
    )
    yield from _some("wrong claims", wrong_claims(world, found.accepted, joining, followed))
    yield from _some("events that nobody got who claimed them", left_behind(world, found.accepted, joining))
    states = wrong_states(world, joining, followed, codec, world.states())
    yield from _some("states that are not the offline ones", states)


def _recommendations(world: World, found: Found) -> Iterator[str]:
    """Each event that triggers one has a recommendation, and one row of it, unless its shopper is forgotten."""
    new = {at: found.accepted.records[at].event for at in found.accepted.new}
    wanted = {at for at, event in new.items() if event is not None and event.type in TRIGGERS}
    yield from _some("triggers without a recommendation", wanted - found.recommendations.keys())
    yield from _some("recommendations without a trigger", found.recommendations.keys() - wanted)
    stored = world.query("SELECT source_partition, source_offset, event_id FROM recommendations")
    rows = Counter(row[:2] for row in stored if row[2] not in world.earlier_events)
    kept = wanted - _of_forgotten(world, found)
    yield from _some("recommendations without a row", kept - rows.keys())
    yield from _some("rows of no recommendation", rows.keys() - kept)
    yield from _some("doubled rows of recommendations", [each for each, count in rows.items() if count > 1])


def _of_forgotten(world: World, found: Found) -> set[Coordinates]:
    """Return the accepted events of who is forgotten."""
    records = found.accepted.records.items()
    return {at for at, record in records if record.event is not None and record.event.user_id in world.gone}


def _forgotten(world: World, found: Found) -> Iterator[str]:
    """Nothing is left of the forgotten, and what they do later is refused."""
    world.notes["forgotten"] += len(world.gone)
    deleted = {found.score_records[each] for each in found.score_records if (world.topics.scores, *each) in world.lost}
    stored = found.accepted.new & found.scores.keys() - deleted
    yield from _some("ids that are forgotten, or not, against what was asked", wrong_ids(world, found.accepted, stored))
    yield from _some("things left of the forgotten", left_over(world))
    later = {(record.partition, record.offset) for record in found.read if record.is_refused}
    yield from _some("scores of who was forgotten", later & found.scores.keys())
    refused = {about[1:] for about, reason in found.reasons.items() if reason == FORGOTTEN}
    yield from _some("records of the forgotten that were not refused", later - refused)
    keys = {(record.partition, record.offset): record.key for record in found.read}
    others = [at for at in refused if at in keys and (keys[at] or b"").decode() not in world.gone]
    yield from _some("records refused of who is not forgotten", others)


def _rows(world: World, found: Found) -> Iterator[str]:
    """Each event whose score was not deleted is exactly one row, which says what a score says."""
    rows = Counter((row["source_partition"], row["source_offset"]) for row in found.rows)
    deleted = {found.score_records[each] for each in found.score_records if (world.topics.scores, *each) in world.lost}
    forgotten = _of_forgotten(world, found)
    yield from _some("events without a row", found.accepted.new - rows.keys() - deleted - forgotten)
    yield from _some("rows of what is no new event", rows.keys() - found.accepted.new)
    yield from _some("doubled rows", [each for each, count in rows.items() if count > 1])
    different = []
    for row in found.rows:
        source = row["source_partition"], row["source_offset"]
        scores = found.scores.get(source, [])
        if not any(_says(row, score, world.gone) for score in scores):
            different.append(source)
    yield from _some("rows that say something else than their scores", different)


def _says(row: Mapping[str, Any], score: Mapping[str, Any], gone: set[str]) -> bool:
    named = score.get("anonymous_id", "")
    same = row["anonymous_id"] == ("" if named in gone else named) and row["shown"] == score.get("shown", [])
    same &= all(row[name] == score[name] for name in ("user_id", "event_id"))
    stored = np.array([row[name] for name in PROPENSITIES])
    return same and np.allclose(stored, *published_numbers([score]), atol=1e-6, equal_nan=True)


def _letters(world: World, found: Found) -> Iterator[str]:
    """Letters are about exactly what is bad; stored, there is one of each."""
    topics = world.topics
    records = {(topics.events, record.partition, record.offset): record for record in found.read}
    wanted = {about: record.reason for about, record in records.items() if record.reason}
    of_gone = {about for about, record in records.items() if (record.key or b"").decode() in world.gone}
    refused = {about for about in of_gone if found.reasons.get(about) == FORGOTTEN}
    wanted |= dict.fromkeys(refused, FORGOTTEN)
    wanted |= {each: reason for each, reason in world.forged.items() if reason and each not in world.lost}
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
    early, forgotten = set[object](), _of_forgotten(world, found)
    for snapshot in world.snapshots:
        for partition, offset in found.accepted.new & published.keys():
            if offset < snapshot.events.get(partition, 0):
                first = min(at for _, at in published[partition, offset])
                if first >= snapshot.scores_end.get(partition, 0):
                    early.add(("event", partition, offset))
        for (partition, offset), source in found.score_records.items():
            is_lost = (world.topics.scores, partition, offset) in world.lost
            is_stored = source in snapshot.rows or source in forgotten
            if offset < snapshot.scores.get(partition, 0) and not is_stored and not is_lost:
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
