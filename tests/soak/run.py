"""One seed: a history, a sequence of faults over the pipeline that takes it, a restore, and the checks."""

import faulthandler
import re
import time
import traceback
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from random import Random
from typing import Self

from model.checkpoint import DEFAULT_CHECKPOINT
from model.horizons import HORIZONS
from tests.harness.checkpoints import random_checkpoint, recommending
from tests.harness.databases import Databases
from tests.soak.checks import check
from tests.soak.faults import FAULTS, Fault
from tests.soak.history import CATALOGUE
from tests.soak.oracle import Oracle
from tests.soak.servers import servers
from tests.soak.world import World

TICK_SECONDS = 0.1
RECORDS_PER_TICK = 16
"""At most; half of it on average."""
OVERLAP = 0.4
"""How often a fault begins before the one before it has ended."""

HANGS_SECONDS = 600
"""When a seed that does not end shows where."""


@dataclass
class Outcome:
    """What a seed has shown; `problems` is empty if everything held."""

    seed: int
    faults: list[str]
    seconds: float
    notes: Counter[str]
    problems: list[str]


class Soak:
    """Servers that seeds run on, one after the other."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        self._directory.mkdir(parents=True, exist_ok=True)
        self._servers = self._stack.enter_context(servers(self._directory))
        self._databases = Databases(self._servers.engine.url)
        random = random_checkpoint(self._directory, HORIZONS)
        self._checkpoints = tuple(
            recommending(each, CATALOGUE, self._directory / f"recommending-{each.name}")
            for each in (DEFAULT_CHECKPOINT, random)
        )
        self._oracle = Oracle(*self._checkpoints)
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def run(self, seed: int, faults: int, only: str = "") -> Outcome:
        """Run a seed; what does not come to an end is a problem as well."""
        faulthandler.dump_traceback_later(HANGS_SECONDS)
        began, rng = time.monotonic(), Random(seed)
        plan = draw(rng, faults, only)
        directory = self._directory / f"seed-{seed}-{round(began)}"
        directory.mkdir()
        with self._databases.lend() as database:
            checks = partial(check, oracle=self._oracle)
            world = World(self._servers, database, directory, rng, self._checkpoints, checks)
            try:
                Play(world, seed).play(plan)
                go_on_from_a_restore(world)
                world.check()
            except AssertionError as failure:
                world.problems.append(str(failure))
            except Exception:  # noqa: BLE001 - shown as what this seed has found; the others go on
                world.problems.append(traceback.format_exc())
            finally:
                world.close()
        faulthandler.cancel_dump_traceback_later()
        for slot in world.slots.values():
            for status in slot.ended:
                world.notes[f"{slot.name[:-2]}s that ended with status {status}"] += 1
        return Outcome(seed, [fault.name for fault in plan], time.monotonic() - began, world.notes, world.problems)


def draw(rng: Random, count: int, only: str = "") -> list[Fault]:
    """Return faults in the order in which they happen."""
    among = [fault for fault in FAULTS.values() if re.search(only, fault.name)]
    return rng.choices(among, [fault.weight for fault in among], k=count)


@dataclass
class Play:
    """Lets faults happen while records keep coming."""

    world: World
    seed: int
    _running: list[tuple[float, Iterator[float]]] = field(default_factory=list)
    _free_at: float = 0.0
    """When the next fault may begin."""
    _alone: bool = False
    """Whether the fault that began last needs the pipeline to itself."""

    def play(self, plan: list[Fault]) -> None:
        """Return when all have happened and are over."""
        world, rng = self.world, Random(f"{self.seed} play")
        world.send(world.history.take(100))
        world.wait_until(lambda: world.query("SELECT count() FROM scores") != [(0,)], "the first row")
        left = list(plan)
        while left or self._running:
            world.supervise()
            world.send(world.history.take(rng.randrange(RECORDS_PER_TICK)))
            if rng.random() < 0.05:
                world.take_snapshot()
            self._advance()
            if left and self._may_begin(left[0], rng):
                fault = left.pop(0)
                self._running.append((0.0, fault.happen(world, Random(f"{self.seed} {len(left)} {fault.name}"))))
                self._alone = fault.alone
                self._free_at = time.monotonic() + rng.uniform(0.5, 3)
            time.sleep(TICK_SECONDS)

    def _may_begin(self, fault: Fault, rng: Random) -> bool:
        if time.monotonic() < self._free_at:
            return False
        if self._running and (fault.alone or self._alone):
            return False
        return not self._running or rng.random() < OVERLAP * TICK_SECONDS

    def _advance(self) -> None:
        now = time.monotonic()
        going_on = []
        for due, course in self._running:
            wait: float | None = due - now
            if now >= due:
                wait = next(course, None)
            if wait is not None:
                going_on.append((now + wait if now >= due else due, course))
        self._running = going_on


def go_on_from_a_restore(world: World) -> None:
    """Once all is through, start workers anew, which have only the compacted changelog, and let more events come."""
    world.settle()
    for slot in world.workers:
        slot.wanted = slot.name == "worker-0"
        slot.kill()
    world.notes["states in the changelog"] += len(world.read(world.topics.changelog))
    world.notes["states that were written"] += sum(world.ends(world.topics.changelog).values())
    world.send(world.history.take(400))
    world.wait_until_through()
    world.take_snapshot()
    world.stop(list(world.slots.values()))
