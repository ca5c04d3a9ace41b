"""The sink killed at every step it takes, thousands of times, on a Kafka and a table in memory: each row once."""

import json
import random
from contextlib import suppress
from dataclasses import dataclass
from threading import Event

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.errors import RowsRefusedError, UnavailableError
from service.liveness import Liveness
from sinks.blocks import Origin
from sinks.bookmark import Bookmark
from sinks.consumer import Sink
from sinks.judge import ScoreJudge
from sinks.partition import BlockLimits
from tests.harness.memory_kafka import Crash, MemoryConsumer, MemoryTopic, coordinates, no_trouble
from tests.harness.memory_table import MemoryTable
from tests.harness.records import score_fields

Trouble = (Crash, UnavailableError)
SOURCE_END = 10_000
STEPS = ("read", "commit", "committed", "insert", "token written", "inserted", "dead letters", "dead letters sent")


class TroubledTable(MemoryTable):
    """The table outlives the sinks; trouble may come before or after it has taken a block.

    Trouble at "token written" leaves the token of rows that are not there, as a MergeTree does.
    `refuses_wrongly` says when a block that comes the first time is refused, as one is that was cut off on its way.
    """

    def __init__(self):
        super().__init__()
        self.trouble = no_trouble
        self.refuses_wrongly = lambda: False
        self.seen = set()

    def insert(self, rows, token):
        self.trouble("insert")
        if token not in self.seen and self.refuses_wrongly():
            self.seen.add(token)
            raise RowsRefusedError("cut off")
        self.seen.add(token)
        try:
            self.trouble("token written")
        except Trouble:
            self.tokens.add(token)
            raise
        super().insert(rows, token)
        self.trouble("inserted")


class Letters:
    """The dead-letter topic."""

    def __init__(self, trouble=no_trouble):
        self.offsets = set()
        self.trouble = trouble

    def send(self, rejected, partition):
        if rejected:
            self.trouble("dead letters")
            self.offsets |= {(partition, each.record.offset()) for each in rejected}
            self.trouble("dead letters sent")


class StopWhenThrough(Event):
    """Set once all is committed, or after more looks than any run needs."""

    def __init__(self, topic):
        super().__init__()
        self._topic = topic
        self._looks = 0

    def is_set(self):
        self._looks += 1
        assert self._looks < 10_000, "the sink makes no progress"
        return super().is_set() or all(map(self._topic.read_through, range(self._topic.partitions)))


def score(partition, offset, **changes):
    return json.dumps(score_fields(partition, offset, user_id=f"u{offset % 7}") | changes).encode()


def fill(topic, partition, rng, events):
    """Publish as a worker that crashes does: sometimes some of the last scores again; some are bad, some forged.

    Returns the source offsets of the rows that must be stored, and where the bad records are, with what each is; of
    repeats that are bad, one letter is enough.
    """
    good, dead, next_source = set(), set(), 0
    bad = {n for n in range(events) if rng.random() < 0.05}
    while next_source < events:
        source = next_source
        next_source += 1
        wrong = rng.choice([{"scored_at": 1}, {"price": "x"}, {"channel": "refused"}]) if source in bad else {}
        key, value = f"u{source % 7}".encode(), score(partition, source, **wrong)
        topic.append(partition, value, coordinates("events", partition, source), key, gap=rng.random() < 0.1)
        if source not in bad:
            good.add(source)
        else:
            dead.add((source, topic.records[partition][-1].offset()))
        if rng.random() < 0.03:
            next_source -= rng.randrange(min(next_source, 15) + 1)
        if rng.random() < 0.03:
            forged = rng.choice([2**62, SOURCE_END, source + 1])
            topic.append(partition, score(partition, forged), coordinates("events", partition, forged), b"stranger")
            dead.add((f"stranger {source}", topic.records[partition][-1].offset()))
    return good, {(partition, offset): (partition, source) for source, offset in dead}


def new_sink(topic, table, letters, trouble, rng):
    table.trouble = letters.trouble = trouble
    return Sink(
        MemoryConsumer(topic, trouble),
        "scores",
        table,
        letters,
        liveness=Liveness(),
        topic_id=lambda: "id",
        origin=lambda partition: Origin(("events", partition), ScoreJudge("events", partition), lambda _: SOURCE_END),
        limits=BlockLimits(rng.randrange(1, 40), 0.01),
        clock=ticking(),
    )


def run_until_through(topic, table, letters, trouble, rng, *, between=lambda: None):
    """Start a sink, and another one whenever it dies."""
    for _ in range(1000):
        between()
        try:
            new_sink(topic, table, letters, trouble, rng).run(StopWhenThrough(topic))
            return
        except Crash:
            pass
    pytest.fail("every sink died")


def ticking():
    """A clock that goes on by a tenth of a second whenever somebody looks."""
    now = 0.0

    def look():
        nonlocal now
        now += 0.1
        return now

    return look


@dataclass
class World:
    """A filled topic, an empty table, and what must be where in the end."""

    seed: int
    partitions: int = 2

    def __post_init__(self):
        self.rng = random.Random(self.seed)
        self.topic, self.table, self.letters = MemoryTopic(self.partitions), TroubledTable(), Letters()
        self.wanted_rows, self.bad = set(), {}
        for partition in range(self.partitions):
            good, dead = fill(self.topic, partition, self.rng, events=150)
            self.wanted_rows |= {(partition, offset) for offset in good}
            self.bad |= dead

    def run(self, trouble, between=lambda: None):
        run_until_through(self.topic, self.table, self.letters, trouble, self.rng, between=between)

    def check(self):
        rows = [(row["source_partition"], row["source_offset"]) for row in self.table.rows]
        assert len(rows) == len(set(rows)), "doubled"
        assert set(rows) == self.wanted_rows
        assert {self.bad.get(each) for each in self.letters.offsets} == set(self.bad.values())


def check(seed, trouble_at):
    world = World(seed)
    world.run(trouble_at(world.rng))
    world.check()


def often(probability, failure=Crash, steps=STEPS, at_most=40):
    """Trouble at random steps, but not for ever: a block with many bad rows takes many steps."""

    def trouble_at(rng):
        left = at_most

        def trouble(step):
            nonlocal left
            if left and step in steps and rng.random() < probability:
                left -= 1
                raise failure(step)

        return trouble

    return trouble_at


def once_at(wanted_step, number, failure=Crash):
    """Trouble at the `number`th time that a step is taken."""

    def trouble_at(_rng):
        seen = 0

        def trouble(step):
            nonlocal seen
            seen += step == wanted_step
            if step == wanted_step and seen == number:
                raise failure(step)

        return trouble

    return trouble_at


@given(st.integers(0, 2**32))
@settings(max_examples=15, deadline=None)
def test_without_trouble_every_row_is_stored_once(seed):
    check(seed, often(0))


@given(st.integers(0, 2**32), st.floats(0.05, 0.6))
@settings(max_examples=60, deadline=None)
def test_killed_at_random_steps_every_row_is_stored_once(seed, probability):
    check(seed, often(probability))


@pytest.mark.parametrize("number", [1, 2, 3, 7])
@pytest.mark.parametrize("step", STEPS)
def test_killed_once_at_a_step_every_row_is_stored_once(step, number):
    check(number, once_at(step, number))


@given(st.integers(0, 2**32), st.floats(0.05, 0.5))
@settings(max_examples=30, deadline=None)
def test_with_a_table_that_is_often_away_every_row_is_stored_once(seed, probability):
    check(seed, often(probability, UnavailableError, STEPS[3:]))


@given(st.integers(0, 2**32), st.floats(0.05, 0.3))
@settings(max_examples=30, deadline=None)
def test_with_blocks_that_are_wrongly_refused_and_kills_every_row_is_stored_once(seed, probability):
    world = World(seed)
    world.table.refuses_wrongly = lambda: world.rng.random() < 0.3
    world.run(often(probability)(world.rng))
    world.check()


FORGED = '{"topic_id":"id","stored":%d,"block_last":%d}'


@given(st.integers(0, 2**32), st.floats(0.05, 0.5))
@settings(max_examples=60, deadline=None)
def test_whatever_others_commit_between_two_sinks_every_row_is_stored_once(seed, probability):
    """The group is deleted, moved by hand or by a plain consumer, or its metadata is made up."""
    world = World(seed)

    def tamper():
        for partition, (offset, _) in list(world.topic.commits.items()):
            anywhere = world.rng.randrange(300)
            match world.rng.randrange(6):
                case 0:
                    del world.topic.commits[partition]
                case 1:
                    world.topic.commits[partition] = (anywhere, "")
                case 2:
                    world.topic.commits[partition] = (2**62, Bookmark(2**62, "id", 3).metadata())
                case 3:
                    world.topic.commits[partition] = (offset, FORGED % (3, 2**62))
                case 4:
                    world.topic.commits[partition] = (anywhere, FORGED % (2**62, anywhere + 1))

    world.run(often(probability)(world.rng), tamper)
    world.check()


class StopAfter(Event):
    """Set after so many looks."""

    def __init__(self, looks):
        super().__init__()
        self._looks = looks

    def is_set(self):
        self._looks -= 1
        return self._looks < 0


@given(st.integers(0, 2**32), st.floats(0.02, 0.3))
@settings(max_examples=60, deadline=None)
def test_while_one_sink_hangs_another_works_and_every_row_is_stored_once(seed, probability):
    """At random steps a sink stands still; another gets its partitions, works, leaves or dies; the first goes on."""
    world = World(seed)
    hangs_left = 40

    def trouble(step):
        nonlocal hangs_left
        if step == "read" or not hangs_left or world.rng.random() > probability:
            return
        hangs_left -= 1
        other = new_sink(world.topic, world.table, world.letters, often(0.1)(world.rng), world.rng)
        with suppress(Crash):
            other.run(StopAfter(world.rng.randrange(6)))
        world.table.trouble = world.letters.trouble = trouble

    world.run(trouble)
    world.check()
