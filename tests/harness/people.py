"""Histories of people who log in, and what one process that reads them in order makes of every state."""

from collections.abc import Iterable, Sequence

import msgspec
import numpy as np
import torch

from model.checkpoint import DEFAULT_CHECKPOINT, load_checkpoint
from model.core.append import Source
from model.core.decode import decode_events
from model.events import IDENTIFY, Event
from model.identity import claiming_rows, merge, refusals, released
from model.inference import Scorer
from model.scoring import finish, finish_rebuild, prepare_batch, rebuild_request
from model.sequence import stored_events
from model.states import StateCodec
from tests.harness.pipeline import Pipeline

SESSION_GAP_MS = 30 * 60_000
COUNTERS = ("events", "carts", "purchases", "first_time_s", "last_time_ms")


def people(events: Sequence[Event], seed: int) -> list[Event]:
    """Return events in which each shopper is somebody else, `device-...`, before a random one of theirs: a login.

    Nobody logs in between an event and its repeat, which would be one event of two shoppers.
    """
    rng, of_users = np.random.default_rng(seed), dict[str, list[int]]()
    for place, event in enumerate(events):
        if event in events[max(place - 1, 0) : place]:
            continue
        of_users.setdefault(event.user_id, []).append(place)
    logins = {user: places[rng.integers(len(places))] for user, places in of_users.items()}
    made = []
    for place, event in enumerate(events):
        device = f"device-{event.user_id}"
        if place < logins[event.user_id]:
            made.append(msgspec.structs.replace(event, user_id=device))
            continue
        if place == logins[event.user_id]:
            login = Event(f"login-{event.user_id}", event.user_id, IDENTIFY, event.ts, anonymous_id=device)
            made.append(login)
        names = device if rng.random() < 0.5 else None
        made.append(msgspec.structs.replace(event, anonymous_id=names))
    return made


class OneProcess:
    """Applies events one after the other, in the order given, and follows claims at once."""

    def __init__(self) -> None:
        checkpoint = load_checkpoint(DEFAULT_CHECKPOINT)
        self.codec = StateCodec(checkpoint.model.config.carried_floats, checkpoint.code)
        self.states: dict[str, np.ndarray] = {}
        self.propensities: dict[str, np.ndarray] = {}
        """By event id."""
        self.merges = 0
        self._scorer = Scorer(checkpoint, torch.device("cpu"))

    def apply(self, events: Sequence[Event]) -> None:
        for offset, event in enumerate(events):
            self._apply(event, offset)

    def _apply(self, event: Event, offset: int) -> None:
        state = self.states.setdefault(event.user_id, self.codec.blank(1))
        if (rebuild := rebuild_request(self.codec, state)) is not None:
            finish_rebuild(state, rebuild, self._scorer.score(rebuild))
        batch, _ = decode_events([msgspec.json.encode(event)], [event.user_id.encode()])
        before_ms = state["sequence"]["last_time_ms"].copy()
        prepared = prepare_batch(state, np.zeros(1, np.int64), batch, Source(1, np.array([offset])))
        propensities = finish(state, prepared, self._scorer.score(prepared.request))
        if len(propensities):
            self.propensities[event.event_id] = propensities[0]
        if len(claiming_rows(before_ms, state, batch, prepared.appended)):
            self._claim(state, event.anonymous_id or "")

    def _claim(self, state: np.ndarray, anonymous_id: str) -> None:
        theirs = self.states.get(anonymous_id)
        if theirs is not None and refusals(theirs, 100) == [""]:
            merge(state, theirs)
            self.states[anonymous_id] = released(theirs)
            self.merges += 1


def joined_by_time(events: Iterable[tuple[int, str, str]]) -> dict[tuple[str, str], tuple[int, int]]:
    """Return how many events and sessions of an anonymous id became a user's, as the view `identities` counts them.

    `events` are time, user id and the anonymous id that is named, "" if none; what was done under an id is the next
    one's who names it.
    """
    pairs, open_spells = dict[tuple[str, str], tuple[int, int]](), dict[str, list[int]]()
    for time_ms, user, anonymous in sorted(events, key=lambda each: (each[0], bool(each[2]))):
        if anonymous:
            joined, sessions = pairs.get((anonymous, user), (0, 0))
            spell = open_spells.pop(anonymous, [])
            touches = bool(spell) and time_ms - spell[-1] <= SESSION_GAP_MS
            pairs[anonymous, user] = joined + len(spell), sessions + touches
        open_spells.setdefault(user, []).append(time_ms)
    return pairs


def latest_states(pipeline: Pipeline, codec: StateCodec) -> dict[str, np.ndarray]:
    """The states that a pipeline's changelog holds."""
    latest: dict[bytes, bytes | None] = {}
    for message in pipeline.read(pipeline.topics.changelog):
        latest[message.key()] = message.value()
    return {key.decode(): codec.gather([value]) for key, value in latest.items() if value and key[0] != 0xFF}


def difference(state: np.ndarray, wanted: np.ndarray) -> str:
    """In what a state differs from another: counters, the ring and the remembered ids; nothing if in none of them."""
    for name in COUNTERS:
        if state["sequence"][name][0] != wanted["sequence"][name][0]:
            return f"{name}: {state['sequence'][name][0]}, not {wanted['sequence'][name][0]}"
    if not np.allclose(state["sequence"]["recent"], wanted["sequence"]["recent"], rtol=1e-3, atol=1e-4):
        return "recent"
    one, other = (stored_events(each["sequence"])[1] for each in (state, wanted))
    for name in ("type", "item", "category", "id_hash"):
        if one[name].tolist() != other[name].tolist():
            return f"ring: {name}"
    return "ring: time" if np.abs(one["time_s"] - other["time_s"]).max(initial=0) > 60 else ""
