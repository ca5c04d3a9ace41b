"""What must hold of shoppers who log in: each state of an anonymous id was handed over once, and all of it."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING

from model.events import IMPRESSION, Event
from model.identity import merge, released
from model.states import StateCodec
from service.kafka import headers_of
from service.partitioner import partition_of
from tests.harness.people import difference, joined_by_time
from tests.harness.pipeline import Coordinates
from tests.soak.oracle import Accepted, Change, Life, Oracle, Place, States, published_numbers

if TYPE_CHECKING:
    from tests.soak.world import World

MOST_AGAIN = 20
NEARBY = 200
"""Of records that were sent so close together nobody knows which one Kafka had first."""


@dataclass(frozen=True)
class Handover:
    """A state that went from an anonymous id to a user."""

    user: Place
    state: bytes
    sent_ms: int
    """Kafka's time of the event that claims."""
    is_settled: bool
    device: Place = (-1, "")
    after: int = -1
    """The source offset of the anonymous id's last event in it."""
    claimed_at: int = -1
    """That of the event that claims, -1 if it is in another partition than the user is now."""


@dataclass
class Joining:
    """What the identity topic holds."""

    claims: Counter[tuple[int, str, str, int]] = field(default_factory=Counter)
    """Partition, anonymous id, user, and time of the event that claims."""
    handovers: list[Handover] = field(default_factory=list)
    unknown: list[Place] = field(default_factory=list)
    """Users to whom a state was handed over that is nobody's who they have claimed."""

    @classmethod
    def read(cls, world: "World", accepted: Accepted, codec: StateCodec) -> "Joining":
        found, transfers = cls(), []
        for message in world.read(world.topics.identity):
            headers, key, partition = headers_of(message), message.key().decode(), message.partition()
            if headers["kind"] == b"claim":
                found.claims[partition, key, message.value().decode(), int.from_bytes(headers["time"])] += 1
            else:
                is_settled = message.offset() < world.settled.get(partition, 0)
                sent_ms = int.from_bytes(headers["sent"])
                transfers.append(Handover((partition, key), message.value(), sent_ms, is_settled))
        for transfer in transfers:
            whole = _with_source(transfer, accepted, codec)
            if whole is None:
                found.unknown.append(transfer.user)
            else:
                found.handovers.append(whole)
        return found

    def changes(self, place: Place) -> list[Change]:
        """Return what joining has done to a state, in order."""
        own = [each for each in self.handovers if each.device == place]
        if own:
            return [Change(each.after, each.is_settled, _release) for each in sorted(own, key=lambda each: each.after)]
        given = [each for each in self.handovers if each.user == place]
        return [Change(each.claimed_at, each.is_settled, partial(_merge, each.state)) for each in given]


def _with_source(transfer: Handover, accepted: Accepted, codec: StateCodec) -> Handover | None:
    """Find whose state it is: the anonymous id that its user named in the record of that time."""
    after = int(codec.gather([transfer.state])["sequence"]["offset"][0])
    for (partition, offset), record in accepted.records.items():
        event = record.event
        if event is None or event.anonymous_id is None:
            continue
        if (event.user_id, record.sent_ms) == (transfer.user[1], transfer.sent_ms):
            claimed_at = offset if partition == transfer.user[0] else -1
            for number in range(max(accepted.places)[0] + 1):
                if after in accepted.places.get((number, event.anonymous_id), ()):
                    device = (number, event.anonymous_id)
                    return replace(transfer, device=device, after=after, claimed_at=claimed_at)
    return None


def _release(_: StateCodec, states: States) -> States:
    return released(states)


def _merge(given: bytes, codec: StateCodec, states: States) -> States:
    merge(states, codec.gather([given] * len(states)))
    return states


def lives(
    oracle: Oracle, accepted: Accepted, joining: Joining, scores: Mapping[Coordinates, list[dict[str, object]]]
) -> dict[Place, Life]:
    """Follow every id."""
    models = accepted.models({each: str(found[0]["model"]) for each, found in scores.items()})
    found = {}
    for place, offsets in accepted.places.items():
        at = {offset: (place[0], offset) for offset in offsets}
        records = [(offset, accepted.records[at[offset]], models[at[offset]]) for offset in offsets]
        own = {offset: published_numbers(scores[at[offset]]) for offset in offsets if at[offset] in scores}
        known = [record for record in records if not record[1].begins_anew]
        found[place] = oracle.life(known, joining.changes(place), own) if known else Life()
    return found


def wrong_handovers(world: "World", joining: Joining, found: Mapping[Place, Life], codec: StateCodec) -> Iterator[str]:
    """Yield which states were handed over that are not those of offline scoring."""
    for place in {each.device for each in joining.handovers}:
        own = sorted((each for each in joining.handovers if each.device == place), key=lambda each: each.after)
        for each, state in zip(own, found[place].before, strict=not world.has_moved(place[0], place[1].encode())):
            if why := difference(codec.gather([each.state]), codec.gather([state.tobytes()])):
                yield f"{place} at {each.after}: {why}"


def wrong_claims(world: "World", accepted: Accepted, joining: Joining, found: Mapping[Place, Life]) -> Iterator[str]:
    """Yield claims that are too few, too many, or of nobody."""
    wanted, possible, written = Counter[object](), Counter[object](), Counter[object]()
    for (_, user), life in found.items():
        if user not in world.gone:
            wanted.update({(device, user, time): count for (device, time), count in life.claims.items()})
        possible.update({(device, user, time): count for (device, time), count in life.possible_claims.items()})
    for (partition, _), record in accepted.records.items():  # a state that moved away may claim again
        if (event := record.event) is not None and world.has_moved(partition, event.user_id.encode()):
            possible[event.anonymous_id, event.user_id, event.ts] += len(world.growths) * MOST_AGAIN
    for (_, *claim), count in joining.claims.items():
        written[tuple(claim)] += count
    yield from (f"no claim {claim}" for claim in wanted - written)
    yield from (f"too many claims {claim}" for claim in written - possible)


def left_behind(world: "World", accepted: Accepted, joining: Joining) -> Iterator[Coordinates]:
    """Yield events of anonymous ids that lay on their topic well before a claim of theirs, and that nobody got."""
    order = {id(record): number for number, record in enumerate(world.sent)}
    claimed: dict[Place, int] = {}
    for at in accepted.new:
        record, event = accepted.records[at], accepted.records[at].event
        if event is not None and event.anonymous_id:
            place = partition_of(event.anonymous_id.encode(), world.partitions), event.anonymous_id
            if joining.claims[*place, event.user_id, event.ts]:
                claimed[place] = max(claimed.get(place, 0), order[id(record)])
    for place, number in claimed.items():
        if place[1] in world.gone:
            continue
        taken = max((each.after for each in joining.handovers if each.device == place), default=-1)
        for offset in accepted.places.get(place, []):
            record = accepted.records[place[0], offset]
            is_event = record.event is not None and record.event.type != "impression"
            is_new = is_event and (place[0], offset) not in accepted.repeats
            if is_new and offset > taken and order[id(record)] < number - NEARBY:
                yield place[0], offset


def wrong_states(
    world: "World", joining: Joining, found: Mapping[Place, Life], codec: StateCodec, states: Mapping[Place, bytes]
) -> Iterator[str]:
    """Yield which states in the changelog are not those of offline scoring."""
    for place, life in found.items():
        partition, name = place
        if partition != partition_of(name.encode(), world.partitions) or name in world.gone:
            continue
        if place not in states:
            yield f"{place}: none"
        elif why := _difference(codec, states[place], life.ends):
            yield f"{place}: {why}"
    given = {each.user for each in joining.handovers}  # perhaps before the first event of theirs, in a new partition
    yield from (f"{place}: of nobody" for place in states.keys() - found.keys() - given)


def wrong_pairs(world: "World", stored: Iterable[Event]) -> Iterator[str]:
    """Yield which anonymous ids and users the view `identities` joins otherwise than the events that are stored say.

    Which rows name a device that was forgotten depends on when that was.
    """
    events = [each for each in stored if each.type != IMPRESSION]
    wanted = joined_by_time((each.ts, each.user_id, each.anonymous_id or "") for each in events)
    read = world.query("SELECT anonymous_id, user_id, joined_events, joined_sessions FROM identities")
    found = {(anonymous, user): numbers for anonymous, user, *numbers in map(tuple, read)}
    for pair in wanted.keys() | found.keys():
        given, due = found.get(pair, []), list(wanted.get(pair, ()))
        if pair[0] not in world.gone and given != due:
            yield f"{pair}: {given}, not {due}"


def _difference(codec: StateCodec, state: bytes, ways: Sequence[States]) -> str:
    """Return in what a state differs from all of these; nothing if it is one of them."""
    why = ""
    for way in ways:
        if not (why := difference(codec.gather([state]), codec.gather([way.tobytes()]))):
            break
    return why
