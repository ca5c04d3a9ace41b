"""What an uninterrupted process that reads files makes of the records that lie on the events topic.

When exactly a state is joined to a user's is not determined: workers exchange it beside the events. So the life of an
id has *ways*, one for each order of its events and of what joining does to it, and every score must be that of one.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from model.batch import batch_of
from model.checkpoint import Checkpoint, load_checkpoint
from model.core.append import Source
from model.events import Event
from model.identity import claiming_rows
from model.inference import Scorer
from model.propensities import published
from model.scoring import finish, finish_rebuild, prepare_batch, rebuild_request
from model.states import StateCodec
from tests.harness.pipeline import PROPENSITIES, Coordinates
from tests.soak.history import Sent

TOLERANCE = 1e-4
MOST_WAYS = 200
States = np.ndarray
Ways = dict[int, States]
"""States `(ways,)` by how many changes are made."""
Place = tuple[int, str]
"""A partition and an id: where one state is."""


@dataclass
class Accepted:
    """Events and repeats of events by source partition and offset, in this order."""

    records: dict[Coordinates, Sent] = field(default_factory=dict)
    repeats: set[Coordinates] = field(default_factory=set)
    known: dict[int, set[tuple[str, str]]] = field(default_factory=dict)

    @classmethod
    def of(cls, sent: Iterable[Sent]) -> "Accepted":
        """Return the events among records of all partitions that are new: the first of each shopper and id there."""
        accepted = cls()
        for record in sorted(sent, key=lambda each: (each.partition, each.offset)):
            if record.event is None:
                continue
            known = accepted.known.setdefault(record.partition, set())
            identity = (record.event.user_id, record.event.event_id)
            accepted.records[record.partition, record.offset] = record
            if identity in known:
                accepted.repeats.add((record.partition, record.offset))
            known.add(identity)
        return accepted

    @property
    def new(self) -> set[Coordinates]:
        """The events that have one row each."""
        return self.records.keys() - self.repeats

    @cached_property
    def places(self) -> dict[Place, list[int]]:
        """The offsets of each state's events."""
        found: dict[Place, list[int]] = {}
        for (partition, offset), record in self.records.items():
            assert record.event is not None
            found.setdefault((partition, record.event.user_id), []).append(offset)
        return found

    def models(self, named: Mapping[Coordinates, str]) -> dict[Coordinates, str]:
        """Return the model that scored each event; of a repeat, the one that scored the event before."""
        found, model = {}, next(iter(named.values()), "")
        for each in self.records:
            found[each] = model = named.get(each, model)
        return found


@dataclass(frozen=True)
class Change:
    """What joining does to a state: a merge to a user's, a release to that of an anonymous id."""

    after: int
    """The source offset behind which it happens at the earliest."""
    is_settled: bool
    """Whether it had been done when the events came that are `Sent.is_settled`."""
    apply: Callable[[StateCodec, States], States]


@dataclass
class Life:
    """What may have become of one id."""

    wrong: dict[int, float] = field(default_factory=dict)
    """By how much a score is not that of any way, by source offset."""
    unscored: list[int] = field(default_factory=list)
    claims: Counter[tuple[str, int]] = field(default_factory=Counter)
    """Ids and times of events, on every way."""
    possible_claims: Counter[tuple[str, int]] = field(default_factory=Counter)
    before: list[States] = field(default_factory=list)
    """Before each change, if all are made as early as can be."""
    ends: list[States] = field(default_factory=list)
    """The last state of each way."""


class Model:
    """A checkpoint that workers run."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        self.scorer = Scorer(checkpoint, torch.device("cpu"))
        self.codec = checkpoint.codec

    def step(self, states: States, event: Event, offset: int) -> tuple[States, States]:
        """Apply an event to states; return their propensities, NaN of those that refuse it, and which claim by it."""
        if (rebuild := rebuild_request(self.codec, states)) is not None:
            finish_rebuild(states, rebuild, self.scorer.score(rebuild))
        before_ms, places = states["sequence"]["last_time_ms"].copy(), np.arange(len(states))
        batch = batch_of([event] * len(states), places, with_texts=False)
        prepared = prepare_batch(states, places, batch, Source(1, np.full(len(states), offset)))
        found = np.full((len(states), len(PROPENSITIES)), np.nan)
        scored = finish(states, prepared, self.scorer.score(prepared.request))
        found[prepared.appended.rows] = published(scored)
        return found, claiming_rows(before_ms, states, batch, prepared.appended)


class Oracle:
    """Follows ids through the checkpoints that workers run."""

    def __init__(self, *checkpoints: Path) -> None:
        self._models = {each.version: Model(each) for each in map(load_checkpoint, checkpoints)}

    def codec(self) -> StateCodec:
        """Return one that reads what any of them has written."""
        return next(iter(self._models.values())).codec

    def life(
        self,
        records: Sequence[tuple[int, Sent, str]],
        changes: Sequence[Change],
        scores: Mapping[int, list[States]],
    ) -> Life:
        """Return what may have become of an id.

        `records` are source offset, record and model; `scores` what was published, by source offset.
        """
        life, model = Life(), self._models[records[0][2]]
        ways: Ways = {0: model.codec.blank(1)}
        for offset, record, version in records:
            assert record.event is not None
            least = sum(change.is_settled for change in changes) if record.is_settled else 0
            ways = _changed(ways, _Until(changes, offset, least), model.codec, life.before)
            model = self._models[version]
            states = model.codec.gather([state.tobytes() for some in ways.values() for state in some])
            found, claiming = model.step(states, record.event, offset)
            made = np.repeat(list(ways), [len(some) for some in ways.values()])
            _note_claims(life, record.event, len(claiming), len(states))
            if offset in scores and record.event.type != "impression":
                kept = _judge(life, offset, found, scores[offset])
                states, made = states[kept], made[kept]
            ways = {number: states[made == number] for number in dict.fromkeys(made.tolist())}
        until = _Until(changes, records[-1][0] + 1, len(changes))
        life.ends = [state for some in _changed(ways, until, model.codec, life.before).values() for state in some]
        return life


class _Until(NamedTuple):
    """Changes that may have been made before an event."""

    changes: Sequence[Change]
    offset: int
    """The event's."""
    least: int = 0
    """How many must have been."""


def _changed(ways: Ways, until: _Until, codec: StateCodec, before: list[States]) -> Ways:
    """Return all ways with the changes that can have been made; the first state is that with all of them."""
    found, most = dict(ways), max(ways)
    for number, change in enumerate(until.changes):
        if change.after >= until.offset:
            break
        if number not in found:
            continue
        if number >= most:
            before.append(found[number][0])
        further = [*found.get(number + 1, []), *change.apply(codec, found[number].copy())]
        different = {state.tobytes(): state for state in further}
        found[number + 1] = np.array(list(different.values()), codec.dtype)
    enough = min(until.least, max(found))
    return {number: found[number] for number in sorted(found, reverse=True) if number >= enough}


def _note_claims(life: Life, event: Event, claiming: int, ways: int) -> None:
    claim = event.anonymous_id or "", event.ts
    if claiming == ways:
        life.claims[claim] += 1
    if claiming:
        life.possible_claims[claim] += 1


def _judge(life: Life, offset: int, found: States, scores: Sequence[States]) -> States:
    """Note whether each score is that of a way; return which ways to go on with, as they have to be limited."""
    if np.isnan(found).all():
        life.unscored.append(offset)
        return np.arange(len(found))
    far = np.array([np.abs(found - score).max(axis=1) for score in scores])  # (scores, ways)
    far = np.nan_to_num(far, nan=np.inf)
    if (worst := float(far.min(axis=1).max())) > TOLERANCE:
        life.wrong[offset] = worst
    if len(found) <= MOST_WAYS:
        return np.arange(len(found))
    matching = far.min(axis=0) <= TOLERANCE
    matching[0] = True
    return np.flatnonzero(matching)[:MOST_WAYS]


def published_numbers(scores: Iterable[Mapping[str, float]]) -> list[States]:
    """Return the propensities of scores."""
    return [np.array([score[name] for name in PROPENSITIES], float) for score in scores]
