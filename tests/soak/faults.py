"""What can go wrong: one short function each, by name, in the table FAULTS.

A fault is a generator that does harm, yields how many seconds it wants to last (once or several times), and then takes
back what does not pass by itself. What a fault makes a letter of, or loses for good, it tells the world.
"""

import json
import resource
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Final

from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewPartitions  # type: ignore[attr-defined]

from tests.harness.command import run_command
from tests.harness.forked import command_script
from tests.harness.records import recommendation_fields, score_fields
from tests.harness.waiting import DEADLINE_SECONDS
from tests.soak.history import Sent
from tests.soak.network import DOWN, UP, Way
from tests.soak.slots import Growth, Slot
from tests.soak.world import SESSION_SECONDS, World

Course = Iterator[float]


@dataclass(frozen=True)
class Fault:
    """`alone`: it needs the pipeline to itself. `weight`: how often it is drawn."""

    name: str
    happen: Callable[[World, Random], Course]
    weight: float
    alone: bool


FAULTS: Final[dict[str, Fault]] = {}
NOT_MADE: Final = {
    "clocks of Kafka and ClickHouse moved": "the servers run with this machine's clock; a worker's is moved",
    "one broker of several lost": "one broker runs here; see tests/faults/three_brokers.py",
    "a disk that answers slowly or wrongly": "needs a device mapper of the kernel's",
}


def fault(name: str, *, weight: float = 1.0, alone: bool = False) -> Callable[..., Callable[[World, Random], Course]]:
    """Enter a function into the table."""

    def enter(happen: Callable[[World, Random], Course]) -> Callable[[World, Random], Course]:
        FAULTS[name] = Fault(name, happen, weight, alone)
        return happen

    return enter


# Processes.


@fault("worker killed", weight=3)
def kill_worker(world: World, _: Random) -> Course:
    world.one_of(world.workers).kill()
    yield 0.0


@fault("sink killed", weight=3)
def kill_sink(world: World, _: Random) -> Course:
    world.one_of(world.sinks).kill()
    yield 0.0


@fault("every process killed")
def kill_all(world: World, _: Random) -> Course:
    for slot in world.slots.values():
        slot.kill()
    yield 0.0


@fault("worker terminated")
def terminate_worker(world: World, _: Random) -> Course:
    world.one_of(world.workers).stop()
    yield 0.0


@fault("sink terminated")
def terminate_sink(world: World, _: Random) -> Course:
    world.one_of(world.sinks).stop()
    yield 0.0


@fault("worker joins and leaves", weight=2)
def worker_joins(world: World, rng: Random) -> Course:
    yield from _visits(world.slots["worker-2"], rng)


@fault("sink joins and leaves", weight=2)
def sink_joins(world: World, rng: Random) -> Course:
    yield from _visits(world.slots["sink-1"], rng)


def _visits(slot: Slot, rng: Random) -> Course:
    slot.wanted = True
    yield rng.uniform(4, 8)
    slot.wanted = False
    rng.choice([slot.stop, slot.kill])()


def _freeze(slot: Slot, seconds: float) -> Course:
    slot.freeze()
    yield seconds
    slot.thaw()


def _short(rng: Random) -> float:
    return rng.uniform(0.3, SESSION_SECONDS * 0.6)


def _long(rng: Random) -> float:
    return SESSION_SECONDS + rng.uniform(2, 6)


@fault("worker frozen briefly")
def freeze_worker_briefly(world: World, rng: Random) -> Course:
    yield from _freeze(world.one_of(world.workers), _short(rng))


@fault("worker frozen beyond its session", weight=3)
def freeze_worker(world: World, rng: Random) -> Course:
    yield from _freeze(world.one_of(world.workers), _long(rng))


@fault("sink frozen briefly")
def freeze_sink_briefly(world: World, rng: Random) -> Course:
    yield from _freeze(world.one_of(world.sinks), _short(rng))


@fault("sink frozen beyond its session", weight=2)
def freeze_sink(world: World, rng: Random) -> Course:
    slot = world.one_of(world.sinks)
    world.slots["sink-1"].wanted = True  # who takes over
    yield from _freeze(slot, _long(rng))
    world.slots["sink-1"].wanted = False
    world.slots["sink-1"].stop()


def _limited(world: World, slot: Slot, limit: int, value: Callable[[int], int], seconds: float) -> Course:
    """Lower a limit of a process that runs, for some seconds."""
    if slot.running is None or not slot.is_up:
        return
    world.starved = True
    pid = slot.running.process.pid
    before = resource.prlimit(pid, limit)
    resource.prlimit(pid, limit, (value(pid), before[1]))
    yield seconds
    with suppress(ProcessLookupError):  # it has ended for want of it
        resource.prlimit(pid, limit, before)


def _open_files(pid: int) -> int:
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


def _address_bytes(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[0]) * resource.getpagesize()


@fault("worker short of memory")
def limit_worker_memory(world: World, rng: Random) -> Course:
    yield from _limited(world, world.one_of(world.workers), resource.RLIMIT_AS, _address_bytes, rng.uniform(2, 6))


@fault("sink short of memory")
def limit_sink_memory(world: World, rng: Random) -> Course:
    yield from _limited(world, world.one_of(world.sinks), resource.RLIMIT_AS, _address_bytes, rng.uniform(2, 6))


@fault("worker short of files")
def limit_worker_files(world: World, rng: Random) -> Course:
    slot = world.one_of(world.workers)
    world.servers.kafka_ways[slot.name].cut()
    world.servers.kafka_ways[slot.name].heal()
    yield from _limited(world, slot, resource.RLIMIT_NOFILE, _open_files, rng.uniform(2, 6))


@fault("sink short of files")
def limit_sink_files(world: World, rng: Random) -> Course:
    for way in (world.servers.kafka_ways["sink-0"], world.servers.clickhouse_way):
        way.cut()
        way.heal()
    yield from _limited(world, world.slots["sink-0"], resource.RLIMIT_NOFILE, _open_files, rng.uniform(2, 6))


MOVED = """
import time
before = time.time_ns
time.time_ns = lambda: before() + {seconds} * 1_000_000_000
"""


@fault("worker's clock moved")
def move_clock(world: World, rng: Random) -> Course:
    slot = world.one_of(world.workers)
    seconds = rng.choice([-1, 1]) * rng.randrange(60, 40 * 86_400)
    world.worker_script[slot.name] = MOVED.format(seconds=seconds) + command_script(["worker"])
    slot.kill()
    yield 0.0


# The network.


def _impaired(way: Way, rng: Random, harm: Callable[[Way], None]) -> Course:
    harm(way)
    yield rng.choice([rng.uniform(0.5, 3), _long(rng)])
    way.heal()


def _slow_down(way: Way) -> None:
    way.slow_down(0.15)


HARMS: Final[dict[str, Callable[[Way], None]]] = {
    "cut": Way.cut,
    "stalled": Way.stall,
    "delayed": _slow_down,
    "one-way to the server": lambda way: way.stall(DOWN),
    "one-way from the server": lambda way: way.stall(UP),
}


def _enter_network_faults(between: str, way_of: Callable[[World], Way], weight: float) -> None:
    for name, harm in HARMS.items():

        def happen(world: World, rng: Random, harm: Callable[[Way], None] = harm) -> Course:
            yield from _impaired(way_of(world), rng, harm)

        fault(f"network {name}, {between}", weight=weight)(happen)


_enter_network_faults(
    "worker and Kafka", lambda world: world.servers.kafka_ways[world.one_of(world.workers).name], weight=1.0
)
_enter_network_faults(
    "sink and Kafka", lambda world: world.servers.kafka_ways[world.one_of(world.sinks).name], weight=0.6
)
_enter_network_faults("sink and ClickHouse", lambda world: world.servers.clickhouse_way, weight=0.6)


# The servers.


@fault("Kafka killed", weight=2)
def kill_kafka(world: World, rng: Random) -> Course:
    if "kafka" in world.servers.down:
        return
    world.servers.kill_kafka()
    yield rng.uniform(0, 4)
    world.servers.start_kafka()


@fault("ClickHouse killed", weight=2)
def kill_clickhouse(world: World, rng: Random) -> Course:
    if "clickhouse" in world.servers.down:
        return
    world.servers.kill_clickhouse()
    yield rng.uniform(0, 4)
    world.servers.start_clickhouse()


@fault("both servers killed", alone=True)
def kill_both(world: World, rng: Random) -> Course:
    world.servers.kill_kafka()
    world.servers.kill_clickhouse()
    yield rng.uniform(0, 3)
    world.servers.start_clickhouse()
    world.servers.start_kafka()


@fault("ClickHouse's disk full")
def fill_clickhouse(world: World, rng: Random) -> Course:
    disk = world.servers.disks["clickhouse"]
    if not disk.small:
        world.notes["disks that could not be filled"] += 1
        return
    disk.fill()
    yield rng.uniform(2, 5)
    disk.free()


@fault("Kafka's disk full", alone=True)
def fill_kafka(world: World, rng: Random) -> Course:
    """The broker takes its directory out of use, and ends; with room it is started again."""
    disk = world.servers.disks["kafka"]
    if not disk.small:
        world.notes["disks that could not be filled"] += 1
        return
    disk.fill()
    yield rng.uniform(3, 6)
    disk.free()
    world.servers.kill_kafka()
    world.servers.start_kafka()


# What others write.


@fault("forged events")
def forge_events(world: World, rng: Random) -> Course:
    world.send([world.history.bad() for _ in range(rng.randrange(1, 30))])
    yield 0.0


@fault("forged scores and recommendations", weight=2)
def forge_results(world: World, rng: Random) -> Course:
    """Of each kind that is not what a worker writes; a letter is made of each, and nothing else."""
    topics, partition = world.topics, rng.randrange(world.partitions)
    for topic, fields in ((topics.scores, score_fields), (topics.recommendations, recommendation_fields)):
        for offset in (2**62, 2**63, 10**30, -1, 5):
            for names in (["topic", "partition", "offset"], ["topic"], []):
                value = json.dumps(fields(partition, offset, source_topic=topics.events)).encode()
                source = {"topic": topics.events, "partition": str(partition), "offset": str(offset)}
                headers = [(name, source[name].encode()) for name in names]
                if offset == 5:  # an event that may exist: of another shopper than the key says
                    headers[:] = [(name, text.encode()) for name, text in source.items()]
                world.forge(topic, value, "stranger", key=b"stranger", partition=partition, headers=headers)
        for value in (b"", b"no result", None, b"[" * 3000, b'{"user_id": 3}'):
            world.forge(topic, value, "stranger", key=b"u", partition=partition)
    yield 0.0


@fault("forged dead letters", weight=2)
def forge_letters(world: World, rng: Random) -> Course:
    topics, partition = world.topics, rng.randrange(world.partitions)
    for offset in (b"2", b"%d" % 2**62, b"%d" % 2**63, b"9" * 40, b"-1", b"\xff", None):
        source = [("topic", topics.events.encode()), ("partition", b"%d" % partition)]
        headers = [*source, ("offset", offset), ("reason", b"json"), ("error", b"forged")]
        world.forge(topics.dead_letters, b"forged", key=b"stranger", partition=partition, headers=headers)
    world.forge(topics.dead_letters, None, partition=partition)
    yield 0.0


@fault("oversized and compressed input", weight=2)
def send_large(world: World, rng: Random) -> Course:
    """No event among it: a megabyte of noise, and zeros that unpack to more than a worker takes."""
    world.pipeline.configure(world.topics.events, {"max.message.bytes": 8_000_000})
    noise = bytes(byte | 0x80 for byte in rng.randbytes(rng.randrange(850_000, 990_000)))
    world.send([Sent(b"large", noise, reason="encoding")])
    packing = Producer(
        {**world.client_config, "compression.type": "zstd", "message.max.bytes": 100_000_000, "linger.ms": 0}
    )
    for megabytes, reason in ((5, "json"), (rng.randrange(17, 60), "unpacked")):
        world.send([Sent(b"large", bytes(megabytes << 20), reason=reason)], packing)
        assert packing.flush(DEADLINE_SECONDS) == 0, "the soak's own large records were not taken"
    yield 0.0


@fault("aborted transactions", weight=2)
def abort(world: World, rng: Random) -> Course:
    """What is aborted is no event: it is neither scored nor a letter. What is committed between, is."""
    own = {"transactional.id": f"{world.topics.prefix}-{rng.random()}", "transaction.timeout.ms": 900_000}
    producer = Producer({**world.client_config, **own, "partitioner": "murmur2_random"})
    try:
        producer.init_transactions(DEADLINE_SECONDS)
        for end in (producer.abort_transaction, producer.commit_transaction, producer.abort_transaction):
            records = world.history.events(rng.randrange(1, 20))
            for record in records:
                record.aborted = end == producer.abort_transaction
            producer.begin_transaction()
            world.send(records, producer)
            producer.flush(DEADLINE_SECONDS)
            yield rng.uniform(0, 1)
            end(DEADLINE_SECONDS)
    except KafkaException as failure:  # a Kafka that is away: whether the last one was committed, nobody can say
        raise AssertionError(f"the soak's own transaction did not end: {failure}") from failure


# Strangers in the groups.


def _stranger(world: World, group: str, topic: str, rng: Random) -> Course:
    """A plain consumer joins, and commits what it likes."""
    stranger = Consumer({**world.client_config, "group.id": group, "session.timeout.ms": 6000})
    stranger.subscribe([topic])
    for _ in range(30):
        stranger.poll(0)
        yield 0.2
        if assigned := stranger.assignment():
            ends = world.ends(topic)
            for each in assigned:
                each.offset = rng.randrange(max(ends[each.partition], 1))
            try:
                stranger.commit(offsets=assigned, asynchronous=False)
                world.notes[
                    f"strangers' commits in {'the sinks' if group == world.sink_group else 'the workers'}' group"
                ] += 1
            except KafkaException:
                pass  # it has been rebalanced
    stranger.close()


@fault("stranger in the sinks' group", weight=2)
def join_sinks(world: World, rng: Random) -> Course:
    yield from _stranger(world, world.sink_group, world.topics.scores, rng)


@fault("stranger in the workers' group")
def join_workers(world: World, rng: Random) -> Course:
    """While workers are members: where none is, brokers take everybody's commits, and workers follow them."""
    admin, group = AdminClient(world.client_config), world.worker_group
    for _ in range(200):
        with suppress(KafkaException):  # it is away
            if admin.describe_consumer_groups([group])[group].result().members:
                break
        yield 0.2
    yield from _stranger(world, world.worker_group, world.topics.events, rng)


@fault("sinks' group deleted or moved", alone=True)
def move_sinks(world: World, rng: Random) -> Course:
    yield from _moved(
        world, world.sinks, world.sink_group, world.topics.scores, rng, most=world.ends(world.topics.scores)
    )


@fault("workers' group deleted or moved back", alone=True)
def move_workers(world: World, rng: Random) -> Course:
    """Back, because a worker believes a commit that is ahead: what it passes over is not scored."""
    if world.stop(world.workers):
        committed = world.committed(world.worker_group, world.topics.events)
        yield from _moved(world, world.workers, world.worker_group, world.topics.events, rng, most=committed)
    world.slots["worker-0"].wanted = world.slots["worker-1"].wanted = True


def _moved(world: World, members: list[Slot], group: str, topic: str, rng: Random, *, most: dict[int, int]) -> Course:
    """Somebody deletes a group that has no members for a while, or commits offsets in it, up to `most`."""
    world.stop(members)
    yield SESSION_SECONDS
    if rng.random() < 0.5:
        _delete_groups(world, group)
    else:
        mover = Consumer({**world.client_config, "group.id": group})
        offsets = [TopicPartition(topic, number, rng.randrange(end + 1)) for number, end in most.items()]

        def taken() -> bool:
            try:
                mover.commit(offsets=offsets, asynchronous=False)
            except KafkaException:
                return False  # members that did not say good-bye are still in the group
            return True

        world.wait_until(taken, "the moved commits to be taken")
        mover.close()
    members[0].wanted = True


def _delete_groups(world: World, *groups: str) -> None:
    """Delete groups as soon as Kafka has forgotten those members of theirs that did not say good-bye."""
    admin = AdminClient(world.client_config)  # must outlive its answers

    def deleted() -> bool:
        futures = admin.delete_consumer_groups(list(groups)).values()
        refusals = [failure.args[0].code() for future in futures if (failure := future.exception())]
        return KafkaError.NON_EMPTY_GROUP not in refusals

    world.wait_until(deleted, "the groups' deletion")


# Topics.


@fault("events deleted unread", alone=True)
def delete_events(world: World, rng: Random) -> Course:
    yield from _deleted(world, world.workers, world.worker_group, world.topics.events, rng)


@fault("scores deleted unread", alone=True)
def delete_scores(world: World, rng: Random) -> Course:
    yield from _deleted(world, world.sinks, world.sink_group, world.topics.scores, rng)


def _deleted(world: World, readers: list[Slot], group: str, topic: str, rng: Random) -> Course:
    """Retention passes readers that are away: what they have not read is lost, and must be named."""
    wanted = [slot for slot in readers if slot.wanted]
    if not world.stop(readers):
        world.notes["deletions left out, as a reader may have read beyond its commit"] += 1
        _want(wanted)
        return
    before = world.committed(group, topic)
    yield 4.0  # the pipeline goes on
    world.flush()
    kept = {number: rng.randint(before[number], end) for number, end in world.ends(topic).items()}
    world.lose(topic, kept, before)
    first = [TopicPartition(topic, number, offset) for number, offset in kept.items()]
    admin = AdminClient(world.client_config)  # must outlive its answer
    for future in admin.delete_records(first).values():
        future.result()
    for _ in range(2):  # one may have begun before
        written = world.servers.deletions_kept_ns
        world.wait_until(lambda since=written: world.servers.deletions_kept_ns > since, "Kafka to keep the deletion")
    _want(wanted)


def _want(slots: list[Slot]) -> None:
    for slot in slots:
        slot.wanted = True


@fault("partitions added", alone=True, weight=0.7)
def add_partitions(world: World, rng: Random) -> Course:
    """Somebody adds some to the events topic; workers notice, and end until the other topics have as many."""
    before, committed = world.partitions, world.committed(world.worker_group, world.topics.events)
    world.partitions += rng.randrange(1, 4)
    world.growths.append(Growth(before, world.partitions, committed))
    grown = NewPartitions(world.topics.events, world.partitions)
    admin = AdminClient(world.client_config)  # must outlive its answer
    for future in admin.create_partitions([grown]).values():
        future.result()
    yield rng.uniform(1, 25)
    done = run_command("topics", "create", "--partitions", world.partitions, environment=world.reach)
    assert done.status == 0, done.stderr
    world.pipeline.partitions = world.partitions
    for slot in world.slots.values():
        slot.kill()  # within five minutes sinks would find them by themselves
    yield 1.0


@fault("another checkpoint", alone=True)
def change_checkpoint(world: World, _: Random) -> Course:
    """What one checkpoint has scored and not committed, the other would apply again: no offline run is like that."""
    wanted = [slot for slot in world.workers if slot.wanted]
    if not world.stop(world.workers):
        world.notes["checkpoints that stayed, as a worker may have scored beyond its commit"] += 1
    else:
        world.checkpoints = world.checkpoints[::-1]
    _want(wanted)
    yield 3.0


@fault("topics made again", alone=True, weight=0.7)
def make_topics_again(world: World, rng: Random) -> Course:
    """As docs/operations.md says: all but that of who is forgotten, while nothing runs, without the groups' offsets."""
    world.wait_until_through()
    wanted = [slot for slot in world.slots.values() if slot.wanted]
    world.stop(list(world.slots.values()))
    world.check()
    world.note_earlier_events()
    admin = AdminClient(world.client_config)  # must outlive its answer
    for future in admin.delete_topics(world.every_topic).values():
        future.result()
    _delete_groups(world, *world.every_group)
    world.wait_until(lambda: not set(world.every_topic) & set(admin.list_topics().topics), "the deletion")
    world.begin()
    world.history.forget()
    _want(wanted)
    yield rng.uniform(2, 6)
