import numpy as np
import pytest

from model.batch import batch_of
from model.core.append import Source
from model.events import Event
from model.identity import (
    CLAIM_AGAIN_MS,
    CLAIMED_TOO_OFTEN,
    IS_USER,
    NOTHING,
    claiming_rows,
    merge,
    refusals,
    released,
)
from model.scoring import prepare_batch
from model.sequence import NO_MODEL
from model.shop import shop_of
from model.states import StateCodec

START_MS = 1_700_000_000_000
CODEC = StateCodec(4, 77, has_item_ends=True)
SHOP = shop_of(
    {
        "types": {"tried on": "cart"},
        "attributes": {"brand": {"kind": "categorical"}, "cart_value": {"kind": "numeric"}},
    }
)


def event(number: int, seconds: float = 0, **fields) -> Event:
    given = {"user_id": "u", "type": "view", "item_id": f"i{number}", **fields}
    return Event(event_id=f"e{number}", ts=START_MS + int(1000 * seconds), **given)


def applied(states, events, codec=CODEC):
    """Append one shopper's events to states `(1,)`; returns the rows that claim."""
    users, batch = np.zeros(len(events), np.int64), batch_of(events, shop=codec.shop)
    before_ms = states["sequence"]["last_time_ms"].copy()
    first = int(states["sequence"]["offset"][0]) + 1
    prepared = prepare_batch(states, users, batch, Source(7, np.arange(first, first + len(events))))
    return claiming_rows(before_ms, states, batch, prepared.appended).tolist()


def test_the_first_event_with_both_ids_claims_and_those_that_follow_it_closely_do_not():
    states = CODEC.blank(1)
    assert applied(states, [event(0), event(1, 9, anonymous_id="a"), event(2, 20, anonymous_id="a")]) == [1]
    assert applied(states, [event(3, 30, anonymous_id="a")]) == []


def test_another_anonymous_id_an_identify_and_a_pause_claim_again():
    states = CODEC.blank(1)
    assert applied(states, [event(0, anonymous_id="a"), event(1, 1, anonymous_id="b")]) == [0, 1]
    assert applied(states, [event(2, 2, anonymous_id="b", type="identify")]) == [0]
    later = 3 + CLAIM_AGAIN_MS / 1000
    assert applied(states, [event(3, 3, anonymous_id="b"), event(4, later, anonymous_id="b")]) == []
    assert applied(states, [event(5, 2 * later, anonymous_id="b")]) == [0]


def test_a_repeat_claims_nothing():
    states = CODEC.blank(1)
    assert applied(states, [event(0, anonymous_id="a")]) == [0]
    assert applied(states, [event(0, anonymous_id="b"), event(0, 1, type="identify", anonymous_id="b")]) == []


def test_claims_do_not_depend_on_how_events_are_cut_into_batches():
    events = [
        event(n, 25 * n, anonymous_id="ab"[n // 5 % 2], type="identify" if n % 7 == 0 else "view") for n in range(40)
    ]
    whole = applied(CODEC.blank(1), events)
    states, one_by_one = CODEC.blank(1), []
    for number, one in enumerate(events):
        one_by_one += [number] * len(applied(states, [one]))
    assert whole == one_by_one
    assert 0 < len(whole) < 40


def test_who_has_claimed_and_who_was_claimed_too_often_is_not_claimed():
    user, anonymous = CODEC.blank(1), CODEC.blank(1)
    applied(user, [event(0, anonymous_id="a")])
    applied(anonymous, [event(0, user_id="a")])
    assert refusals(np.concatenate([user, anonymous, CODEC.blank(1)]), 3) == [IS_USER, "", NOTHING]
    for _ in range(3):
        anonymous = released(anonymous)
    applied(anonymous, [event(1, user_id="a")])
    assert refusals(anonymous, 3) == [CLAIMED_TOO_OFTEN]


def test_a_released_state_begins_afresh_but_knows_what_it_was_sent():
    states = CODEC.blank(1)
    applied(states, [event(n, n) for n in range(20)])
    left = released(states)
    assert refusals(np.concatenate([states, left]), 3) == ["", NOTHING]
    fresh = CODEC.blank(1)
    fresh["sequence"]["claims"] = 1
    for name in ("source", "offset", "last_time_ms"):
        fresh["sequence"][name] = states["sequence"][name]
    for name in ("ids", "id_ends", "block_latest_s"):
        fresh["sequence"][name] = left["sequence"][name]
    assert left.tobytes() == fresh.tobytes()
    users = np.zeros(2, np.int64)
    prepared = prepare_batch(left, users, batch_of([event(3, 99), event(77, 100)]), Source(7, np.array([20, 21])))
    assert (prepared.appended.duplicates, len(prepared.appended)) == (1, 1)


@pytest.mark.parametrize("before", [1, 20, 63, 64, 100])
@pytest.mark.parametrize("after", [1, 16, 33])
def test_what_was_sent_before_a_release_is_new_no_sooner_than_without_it(before, after):
    states, whole = CODEC.blank(1), CODEC.blank(1)
    first, later = ([event(n, n) for n in some] for some in (range(before), range(before, before + after)))
    applied(whole, [*first, *later])
    applied(states, first)
    applied(states := released(states), later[: after // 2])
    applied(states := released(states), later[after // 2 :])
    if before + after <= 48:
        assert not states["sequence"]["forgotten_s"].any()
    for each in [*first, *later]:
        batch, source = batch_of([each]), Source(7, np.array([10_000]))
        one, other = (prepare_batch(some.copy(), np.zeros(1, np.int64), batch, source) for some in (states, whole))
        assert not len(other.appended)
        assert not len(one.appended), each
        if each.event_id in {known.event_id for known in [*first, *later][-48:]}:
            assert one.appended.duplicates


def test_a_merged_state_keeps_its_place_in_the_stream_and_waits_for_its_numbers():
    user, anonymous = CODEC.blank(1), CODEC.blank(1)
    applied(user, [event(n, n, anonymous_id="a") for n in range(3)])
    applied(anonymous, [event(n, n, user_id="a") for n in range(10, 14)])
    user["carried"], user["latest"], anonymous["sequence"]["offset"] = 1, 0.5, 999
    claimed = user["sequence"]["claimed"].copy()
    merge(user, anonymous)
    assert user["sequence"]["offset"][0] == 2
    assert user["sequence"]["claimed"] == claimed
    assert user["sequence"]["model"][0] == NO_MODEL
    assert CODEC.stale(user).tolist() == [0]
    assert np.isnan(user["latest"]).all()


@pytest.mark.parametrize("codec", [CODEC, StateCodec(4, 77, shop=SHOP)], ids=["item codes", "a shop's own ring"])
def test_further_rings_are_joined_like_the_sequence(codec):
    events = [event(n, n, attributes={"brand": f"b{n}", "cart_value": float(n)}) for n in range(45)]
    user, anonymous, whole = codec.blank(1), codec.blank(1), codec.blank(1)
    applied(whole, events, codec)
    applied(user, [one for one in events if int(one.event_id[1:]) % 3], codec)
    applied(anonymous, [one for one in events if int(one.event_id[1:]) % 3 == 0], codec)
    merge(user, anonymous)
    for name in {"item_ends", "own"} & set(codec.dtype.names):
        assert user[name].tobytes() == whole[name].tobytes()


def test_states_of_many_users_are_merged_side_by_side():
    pairs = 5
    users, anonymous = CODEC.blank(pairs), CODEC.blank(pairs)
    for pair in range(pairs):
        one, other = CODEC.blank(1), CODEC.blank(1)
        applied(one, [event(n, n) for n in range(pair)])
        applied(other, [event(n, n) for n in range(10, 10 + 2 * pair)])
        users[pair], anonymous[pair] = one[0], other[0]
    merge(users, anonymous)
    assert users["sequence"]["events"].tolist() == [3 * pair for pair in range(pairs)]
    assert (users["sequence"]["ring_items"] > 0).sum(axis=1).tolist() == [3 * pair for pair in range(pairs)]
