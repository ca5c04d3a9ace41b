"""Shoppers who are forgotten, and what must hold of them: nothing is left but what topics keep, and all is refused."""

from collections.abc import Iterator
from random import Random

from model.events import Event
from service.kafka import headers_of
from streams.partition_states import NOTE
from tests.harness.pipeline import Coordinates
from tests.soak.faults import Course, fault
from tests.soak.oracle import Accepted
from tests.soak.world import World

FORGOTTEN = "forgotten"
TABLES = ("scores", "recommendations")
MOST_COMMANDS = 5
"""At most two are killed; each of the others waits for minutes."""


@fault("shoppers forgotten", weight=8)
def forget(world: World, rng: Random) -> Course:
    """The command, or who it waits for, may be killed in the middle; it is asked again until it ends well."""
    shoppers, kills = rng.sample(world.history.user_ids, rng.randrange(1, 4)), rng.randrange(3)
    world.asked |= set(shoppers)
    for _ in range(MOST_COMMANDS):
        command = world.start_command("forget", *shoppers, "--wait", "--timeout", "200")
        if kills:
            yield rng.uniform(0, 1.5)
            slot = rng.choice([None, world.one_of(world.workers), world.one_of(world.sinks)])
            (slot or command).kill()
            kills -= 1
        while command.poll() is None:
            yield 0.2
        if command.poll() == 0:
            world.note_gone()
            return
        world.notes["commands to forget that were given again"] += 1
        yield 1.0
    told = world.commands[-1].read_text().splitlines()[-1:]
    raise AssertionError(f"nobody is forgotten after {MOST_COMMANDS} commands: {told}, {world.state()}")


def wrong_ids(world: World, accepted: Accepted, stored: set[Coordinates]) -> Iterator[str]:
    """Yield who was forgotten without reason, or not with those who were; `stored` are events that had a row."""
    events = {at: record.event for at, record in accepted.records.items() if at in stored}
    with_them = {event.anonymous_id for event in events.values() if _names(event, world.asked)}
    yield from (f"{each}: not forgotten" for each in (world.asked | with_them) - world.gone)
    possible = set().union(*(world.named.get(each, set()) for each in world.asked))
    yield from (f"{each}: nobody asked for it" for each in world.gone - world.asked - possible)


def _names(event: Event | None, users: set[str]) -> bool:
    return event is not None and event.user_id in users and event.anonymous_id is not None


def left_over(world: World) -> Iterator[str]:
    """Yield where something of them is left."""
    gone = ", ".join(f"'{each}'" for each in sorted(world.gone)) or "''"
    for table in TABLES:
        named = f"SELECT DISTINCT user_id FROM {table} WHERE user_id IN ({gone})"  # noqa: S608
        yield from (f"{table} of {each}" for (each,) in world.query(named))
    for (partition, key), value in world.changelog().items():
        held = key + b" " + value if key.startswith(NOTE) else key
        yield from (f"changelog {partition} of {each}" for each in world.gone if _holds(held, each.encode()))
    for message in world.read(world.topics.dead_letters):
        if headers_of(message).get("reason") == FORGOTTEN.encode() and (message.key() or message.value()):
            yield f"dead letter {message.partition()} {message.offset()} with content"


def _holds(written: bytes, name: bytes) -> bool:
    """Whether an id stands there, and not only the beginning of another."""
    return any(not part[:1].isdigit() for part in written.split(name)[1:])
