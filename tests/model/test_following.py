"""What a history of log-ins becomes, beside a reference that takes one event at a time."""

from random import Random

import numpy as np
import pytest
import torch

from model.batch import batch_of
from model.core.append import Source
from model.events import Event
from model.identity import claiming_rows, merge, refusals, released
from model.inference import Scorer
from model.offline import OfflineScoring
from model.scoring import finish, finish_rebuild, prepare_batch, rebuild_request
from model.states import StateCodec

START_MS = 1_700_000_000_000
PEOPLE = 12


def logins(count: int, seed: int = 1) -> list[Event]:
    """People who browse under an anonymous id, log in, log out, share devices, and repeat events."""
    draw, time_ms = Random(seed), START_MS
    events, is_known = list[Event](), [False] * PEOPLE
    for number in range(count):
        time_ms += draw.choice([200, 4000, 30_000, 70_000, 2_000_000])
        person = draw.randrange(PEOPLE)
        device = f"a{person // 2 if draw.random() < 0.2 else person}"  # some share a device
        fields = {"type": draw.choice(["view", "cart", "purchase", "search"]), "item_id": f"i{draw.randrange(9)}"}
        if is_known[person]:
            fields |= {"user_id": f"u{person}", "anonymous_id": device if draw.random() < 0.7 else None}
            is_known[person] = draw.random() < 0.9
        elif draw.random() < 0.3:
            fields = {"type": "identify", "user_id": f"u{person}", "anonymous_id": device}
            is_known[person] = True
        else:
            fields |= {"user_id": device}
        event = Event(event_id=f"e{number}", ts=time_ms, **fields)
        events += [event] * (2 if draw.random() < 0.05 else 1)
    return events


class Reference:
    """One event at a time, every state by itself."""

    def __init__(self, checkpoint, most_claims: int = 100) -> None:
        self.codec = StateCodec(checkpoint.model.config.carried_floats, checkpoint.code)
        self.scorer = Scorer(checkpoint, torch.device("cpu"))
        self.states: dict[str, np.ndarray] = {}
        self.most_claims = most_claims
        self.joined = 0

    def score(self, offset: int, event: Event) -> list[float] | None:
        state = self.states.setdefault(event.user_id, self.codec.blank(1))
        if (rebuild := rebuild_request(self.codec, state)) is not None:
            finish_rebuild(state, rebuild, self.scorer.score(rebuild))
        batch, before_ms = batch_of([event]), state["sequence"]["last_time_ms"].copy()
        prepared = prepare_batch(state, np.zeros(1, np.int64), batch, Source(0, np.array([offset])))
        scores = finish(state, prepared, self.scorer.score(prepared.request))
        other = self.states.get(event.anonymous_id or "")
        if (
            len(claiming_rows(before_ms, state, batch, prepared.appended))
            and other is not None
            and refusals(other, self.most_claims) == [""]
        ):
            merge(state, other)
            self.states[event.anonymous_id or ""] = released(other)
            self.joined += 1
        return scores[0].tolist() if len(scores) else None


@pytest.mark.parametrize("rows_at_once", [1, 13, 1000])
@pytest.mark.parametrize("seed", range(3))
def test_a_history_is_followed_as_if_events_came_one_by_one(checkpoint, rows_at_once, seed):
    events, reference = logins(500, seed), Reference(checkpoint)
    expected = {n: scores for n, event in enumerate(events) if (scores := reference.score(n, event)) is not None}
    scoring = OfflineScoring(Scorer(checkpoint, torch.device("cpu")), reference.codec, rows_at_once=rows_at_once)
    found = {
        int(row): one for part in scoring.score(events) for row, one in zip(part.rows, part.propensities, strict=True)
    }
    assert list(found) == list(expected)
    np.testing.assert_allclose(list(found.values()), list(expected.values()), atol=2e-6)
    assert scoring.joined == reference.joined > 30
    assert scoring._states.keys() == reference.states.keys()
    for user, state in reference.states.items():
        states = np.concatenate((reference.codec.gather([scoring._states[user]]), state))
        if (rebuild := rebuild_request(reference.codec, states)) is not None:  # one of both may have been by now
            finish_rebuild(states, rebuild, reference.scorer.score(rebuild))
        np.testing.assert_allclose(*states["carried"].astype(np.float32), atol=1e-3)
        assert states["sequence"][:1].tobytes() == states["sequence"][1:].tobytes()


def test_a_history_without_anonymous_ids_needs_no_waves(checkpoint):
    plain = [Event(event_id=f"e{n}", user_id=f"u{n % 3}", type="view", ts=START_MS + n) for n in range(50)]
    codec = StateCodec(checkpoint.model.config.carried_floats, checkpoint.code)
    scoring = OfflineScoring(Scorer(checkpoint, torch.device("cpu")), codec)
    assert sum(len(part) for part in scoring.score(plain)) == 50
    assert (scoring.joined, scoring.users) == (0, 3)


def test_a_login_gives_the_user_what_the_anonymous_shopper_did(checkpoint):
    before = [Event(event_id=f"e{n}", user_id="a", type="cart", ts=START_MS + n, item_id="i") for n in range(3)]
    login = Event(event_id="l", user_id="u", type="identify", ts=START_MS + 10, anonymous_id="a")
    after = Event(event_id="p", user_id="u", type="view", ts=START_MS + 20, item_id="i")
    codec = StateCodec(checkpoint.model.config.carried_floats, checkpoint.code)
    scoring = OfflineScoring(Scorer(checkpoint, torch.device("cpu")), codec)
    list(scoring.score([*before, login, after]))
    user, anonymous = codec.gather([scoring._states["u"], scoring._states["a"]])["sequence"]
    assert (user["events"], user["carts"], user["sessions"]) == (5, 3, 1)
    assert (anonymous["events"], anonymous["claims"]) == (0, 1)
