"""What must hold after a seed, whatever has happened; each check returns a line for each thing that does not hold."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

import msgspec
import numpy as np

from model.events import IDENTIFY, Event
from tests.harness.pipeline import PROPENSITIES, Coordinates
from tests.soak.commits import Record, Results, early_commits
from tests.soak.forgetting import FORGOTTEN, left_over, wrong_ids
from tests.soak.found import Found, look
from tests.soak.identity import Joining, left_behind, lives, wrong_claims, wrong_handovers, wrong_pairs, wrong_states
from tests.soak.oracle import Oracle, published_numbers
from tests.soak.world import OF_EVENT, TRIGGERS, World

SHOWN = 5
ABSENT: Final = {"item_id": "", "category": "", "anonymous_id": "", "shown": []}


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


def _some(what: str, things: Iterable[object]) -> Iterator[str]:
    """Yield one line that counts things and names the first."""
    if things := sorted(things, key=str):
        yield f"{len(things)} {what}, as {', '.join(map(str, things[:SHOWN]))}"


def _scores(found: Found) -> Iterator[str]:
    """Each accepted event has one or more scores, which say what it says."""
    yield from _some("events without a score", found.accepted.new - found.scores.keys())
    yield from _some("scores of what is no new event", found.scores.keys() - found.accepted.new)
    events = {at: found.accepted.records[at].event for at in found.accepted.new & found.scores.keys()}
    wrong = [at for at, event in events.items() if not all(_repeats(event, score) for score in found.scores[at])]
    yield from _some("scores that say something else than their events", wrong)


def _repeats(event: Event | None, score: Mapping[str, Any]) -> bool:
    """Whether a score says what its event says."""
    assert event is not None
    event_type = "other" if event.type == IDENTIFY else event.type
    fields = msgspec.to_builtins(event) | {"event_type": event_type, "event_time": event.ts, "shown": event.items}
    return _said(fields) == _said(score)


def _said(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return what an event, a score or a row says of an event, with one value each for what it does not say."""
    return {name: fields.get(name) or ABSENT.get(name) for name in OF_EVENT}


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
    yield from _some(
        "pairs of ids with other numbers than their events", wrong_pairs(world, _stored_events(world, found))
    )


def _stored_events(world: World, found: Found) -> Iterator[Event]:
    """Yield what each row in the table is made from, those of earlier topics with them."""
    records = found.accepted.records
    now = (
        records[at].event for row in found.rows if (at := (row["source_partition"], row["source_offset"])) in records
    )
    earlier = (event for some in world.earlier_events.values() for event in some if event.user_id not in world.gone)
    yield from (event for event in (*now, *earlier) if event is not None)


def _recommendations(world: World, found: Found) -> Iterator[str]:
    """Each event that triggers one has a recommendation, and one row of it, unless its shopper is forgotten."""
    wanted = _triggers(found)
    yield from _some("triggers without a recommendation", wanted - found.recommendations.keys())
    yield from _some("recommendations without a trigger", found.recommendations.keys() - wanted)
    stored = world.query("SELECT source_partition, source_offset, event_id FROM recommendations")
    rows = Counter(row[:2] for row in stored if row[2] not in world.earlier_events)
    kept = wanted - _of_forgotten(world, found)
    yield from _some("recommendations without a row", kept - rows.keys())
    yield from _some("rows of no recommendation", rows.keys() - kept)
    yield from _some("doubled rows of recommendations", [each for each, count in rows.items() if count > 1])


def _triggers(found: Found) -> set[Coordinates]:
    new = {at: found.accepted.records[at].event for at in found.accepted.new}
    return {at for at, event in new.items() if event is not None and event.type in TRIGGERS}


def _of_forgotten(world: World, found: Found) -> set[Coordinates]:
    """Return the accepted events of who is forgotten."""
    records = found.accepted.records.items()
    return {at for at, record in records if record.event is not None and record.event.user_id in world.gone}


def _forgotten(world: World, found: Found) -> Iterator[str]:
    """Nothing is left of the forgotten, and what they do later is refused."""
    world.notes["forgotten"] += len(world.gone)
    stored = found.accepted.new & found.scores.keys() - found.deleted
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
    forgotten = _of_forgotten(world, found)
    yield from _some("events without a row", found.accepted.new - rows.keys() - found.deleted - forgotten)
    yield from _some("rows of what is no new event", rows.keys() - found.accepted.new)
    yield from _some("doubled rows", [each for each, count in rows.items() if count > 1])
    different = []
    for row in found.rows:
        source = row["source_partition"], row["source_offset"]
        scores = found.scores.get(source, [])
        if not any(_says(row, score, world) for score in scores):
            different.append(source)
    yield from _some("rows that say something else than their scores", different)


def _says(row: Mapping[str, Any], score: Mapping[str, Any], world: World) -> bool:
    """Whether a row is of a score; a device that it names goes with who was forgotten, if the row was there then."""
    said, score_said = _said(row), _said(score)
    named, found = score_said.pop("anonymous_id"), said.pop("anonymous_id")
    was_there = (row["source_partition"], row["source_offset"]) in world.gone_rows.get(named, ())
    same = said == score_said and found in ({named, ""} if named in world.gone else {named})
    same &= not (was_there and found)
    stored = np.array([row[name] for name in PROPENSITIES])
    return same and np.allclose(stored, *published_numbers([score]), atol=1e-6, equal_nan=True)


def _letters(world: World, found: Found) -> Iterator[str]:
    """Letters are about exactly what is bad, and stored."""
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
    yield from _some("letters that are not stored", wanted.keys() - found.letter_rows)


def _commits(world: World, found: Found) -> Iterator[str]:
    """What a group had committed was there: results of the workers' records, rows of the sinks' results."""
    topics, forgotten = world.topics, _events(world, _of_forgotten(world, found))
    bad = {(topics.events, record.partition, record.offset) for record in found.read if record.reason}
    bad |= {each for each, reason in world.forged.items() if reason}
    early = early_commits(
        world.snapshots,
        (
            Results(
                topics.scores,
                found.about[topics.scores],
                _events(world, found.accepted.new),
                _events(world, found.deleted) | forgotten,
            ),
            Results(topics.dead_letters, found.about[topics.dead_letters], bad, frozenset()),
            Results(
                topics.recommendations,
                found.about[topics.recommendations],
                _events(world, _triggers(found)),
                forgotten,
            ),
        ),
    )
    yield from _some("records committed before what they became was there", early)


def _events(world: World, places: Iterable[Coordinates]) -> set[Record]:
    return {(world.topics.events, *place) for place in places}


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
