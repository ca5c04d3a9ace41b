from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.core.append import Source, append_events
from model.core.decode import decode_events
from model.core.features import NUMERIC_FEATURES
from model.core.shop_tables import ShopTables
from model.items.codes import item_codes
from model.layouts import SEQUENCES, as_now
from model.scoring import prepare_batch
from model.sequence import LAYOUT, RING_EVENTS, SEQUENCE, new_sequences, stored_events
from model.states import StateCodec, StateLayoutError, replay_rings
from service.errors import CartcastError
from tests.model.own_shop import as_json, large_shop, own_events
from tests.model.shop import USERS, columns, shoppers_events

CODEC = StateCodec(carried_floats=16, model_code=7)


def some_states(codec: StateCodec = CODEC):
    states = codec.gather([None] * USERS)
    append_events(states["sequence"], *columns(shoppers_events(80)))
    states["carried"] = np.random.default_rng(1).normal(size=states["carried"].shape)
    return states


def test_a_user_without_a_value_has_a_fresh_state_of_this_model():
    states = CODEC.gather([None, b""])
    assert states["sequence"].tobytes() != new_sequences(2).tobytes()
    states["sequence"]["model"] = 0
    assert states["sequence"].tobytes() == new_sequences(2).tobytes()
    assert not states["carried"].any()


def test_gather_gives_back_what_scatter_wrote():
    states = some_states()
    values = CODEC.scatter(states)
    assert {len(value) for value in values} == {CODEC.dtype.itemsize}
    assert CODEC.gather(values).tobytes() == states.tobytes()
    mixed = CODEC.gather([values[3], None, values[0]])
    assert [mixed[0].tobytes(), mixed[2].tobytes()] == [values[3], values[0]]


def test_gathered_states_can_be_written_without_touching_the_values():
    values = CODEC.scatter(some_states())
    kept = [bytes(bytearray(value)) for value in values]
    CODEC.gather(values)["sequence"]["events"] += 1
    assert values == kept


def test_gathering_and_scattering_nothing_gives_nothing():
    assert len(CODEC.gather([])) == 0
    assert CODEC.scatter(CODEC.gather([])) == []


def test_a_state_of_64_units_is_at_most_a_kilobyte():
    assert StateCodec(2 * 64, 1).dtype.itemsize <= 1000


@pytest.mark.parametrize("carried_floats", [8, 16, 24])
def test_a_state_of_another_model_keeps_its_sequence_and_is_stale(carried_floats):
    values = CODEC.scatter(some_states())
    successor = StateCodec(carried_floats, model_code=8)
    states = successor.gather([*values[:2], None])
    assert successor.stale(states).tolist() == [0, 1]
    assert states["sequence"]["ring_events"][:2].tobytes() == some_states()["sequence"]["ring_events"][:2].tobytes()
    assert states["sequence"]["events"][:2].tolist() == some_states()["sequence"]["events"][:2].tolist()
    assert states["carried"].shape == (3, carried_floats)


def test_states_of_this_model_are_not_stale():
    assert CODEC.stale(CODEC.gather(CODEC.scatter(some_states()))).tolist() == []


@pytest.mark.parametrize("horizons", [1, 5])
def test_a_state_of_a_model_with_other_horizons_is_stale_and_its_latest_propensities_are_unknown(horizons):
    successor = StateCodec(16, 8, horizons)
    states = successor.gather(CODEC.scatter(some_states())[:2])
    assert successor.stale(states).tolist() == [0, 1]
    assert states["latest"].shape == (2, horizons)
    assert np.isnan(states["latest"]).all()


def test_states_of_two_models_in_one_batch_are_told_apart():
    old, new = StateCodec(8, model_code=1), StateCodec(8, model_code=2)
    values = [old.scatter(some_states(old))[0], new.scatter(some_states(new))[1]]
    assert new.stale(new.gather(values)).tolist() == [0]


@pytest.mark.parametrize("layout", sorted(set(SEQUENCES) - {LAYOUT}))
def test_states_that_an_earlier_version_wrote_go_on_as_if_this_one_had_written_them(layout):
    """`states/layout-N.bin` is what that version's `some_states` made; it is never written again."""
    stored = (Path(__file__).parent / "states" / f"layout-{layout}.bin").read_bytes()
    size = len(stored) // USERS
    earlier = CODEC.gather([*(stored[start : start + size] for start in range(0, len(stored), size)), None])
    mixed = [stored[:size], None, CODEC.scatter(some_states())[2]]  # as a changelog after the upgrade holds them
    assert CODEC.scatter(CODEC.gather(mixed))[1:] == [CODEC.scatter(CODEC.blank(1))[0], mixed[2]]
    now = some_states()
    np.testing.assert_array_equal(earlier["carried"][:USERS], now["carried"])
    assert CODEC.stale(earlier).tolist() == []
    more = columns(shoppers_events(160)[80:], first_offset=80)
    first, second = (append_events(states["sequence"], *more) for states in (earlier[:USERS], now))
    np.testing.assert_array_equal(first.features.numeric, second.features.numeric)
    assert first.rows.tolist() == second.rows.tolist()
    again = append_events(earlier["sequence"][:USERS], *columns(shoppers_events(160), first_offset=160))
    assert (len(again), again.duplicates + len(again.late)) == (0, 160)


def test_what_an_earlier_layout_remembers_is_late_once_it_is_forgotten():
    events = shoppers_events(900)
    sequences = new_sequences(USERS)
    append_events(sequences, *columns(events[:600]))
    earlier = np.zeros(USERS, SEQUENCES[4])
    for name in set(SEQUENCE.names) & set(earlier.dtype.names) - {"recent"}:
        earlier[name] = sequences[name]
    converted = as_now(earlier)
    append_events(converted, *columns(events[600:], first_offset=600))
    again = append_events(converted, *columns(events[600 - 40 * USERS :], first_offset=900))
    assert len(again) == 0
    assert len(again.late)


OWN_CODEC = StateCodec(16, 7, shop=large_shop())


def some_own_states():
    """States of a shop with types and attributes of its own."""
    batch, _ = decode_events(
        as_json(own_events(OWN_CODEC.shop, 120, users=USERS)), tables=ShopTables.of(OWN_CODEC.shop)
    )
    states, users = OWN_CODEC.gather([None] * USERS), np.unique(batch.user_ids, return_inverse=True)[1]
    prepare_batch(states, users, batch, Source(1, batch.positions))
    states["carried"] = np.random.default_rng(1).normal(size=states["carried"].shape)
    return states


def test_states_of_a_shop_that_an_earlier_version_wrote_go_on_as_if_this_one_had_written_them():
    """`states/layout-5-shop.bin` is what that version's `some_own_states` made; it is never written again."""
    stored = (Path(__file__).parent / "states" / "layout-5-shop.bin").read_bytes()
    size = len(stored) // USERS
    values = [stored[start : start + size] for start in range(0, len(stored), size)]
    earlier, now = OWN_CODEC.gather(values), some_own_states()
    assert OWN_CODEC.stale(earlier).tolist() == []
    assert earlier["carried"].tobytes() == now["carried"].tobytes()
    assert earlier["own"].tobytes() == now["own"].tobytes()
    replayed, expected = (replay_rings(states["sequence"], states["own"], OWN_CODEC.shop) for states in (earlier, now))
    for name in ("numeric", "types", "labels", "categories"):
        np.testing.assert_array_equal(getattr(replayed.features, name), getattr(expected.features, name))


@pytest.mark.parametrize("length", [1, 2, 709, 711])
def test_a_state_of_a_shop_that_is_cut_short_is_refused_in_one_line(length):
    value = OWN_CODEC.scatter(some_own_states())[0][:length]
    with pytest.raises(StateLayoutError, match="another topic prefix"):
        OWN_CODEC.gather([value])


@pytest.mark.parametrize("size", [CODEC.dtype.itemsize, CODEC.dtype.itemsize + 8, 1, SEQUENCE.itemsize - 1])
def test_a_state_of_another_layout_is_refused_in_one_line(size):
    value = bytes([LAYOUT + 1]) + bytes(size - 1)
    with pytest.raises(StateLayoutError, match="another topic prefix") as refusal:
        CODEC.gather([None, value])
    assert isinstance(refusal.value, CartcastError)
    assert "\n" not in str(refusal.value)


def test_a_short_value_is_refused_even_if_it_names_this_layout():
    with pytest.raises(StateLayoutError):
        CODEC.gather([bytes([LAYOUT]) + bytes(20)])


@given(st.integers(0, 120), st.integers(1, 3))
def test_replaying_rings_runs_the_last_32_events_from_scratch(count, users):
    events = shoppers_events(count, seed=count, users=users)
    sequences = new_sequences(users)
    appended = append_events(sequences, *columns(events))
    replayed = replay_rings(sequences)
    kept = [np.flatnonzero(appended.users == user)[-32:] for user in range(users)]
    rows = np.concatenate(kept).astype(np.int64)
    assert replayed.users.tolist() == appended.users[rows].tolist()
    assert replayed.time_ms.tolist() == (appended.time_ms[rows] // 1000 * 1000).tolist()
    for name in ("types", "categories"):
        np.testing.assert_array_equal(getattr(replayed.features, name), getattr(appended.features, name)[rows])
    tokens = appended.features.tokens[rows]
    for user in range(users):
        wordy = np.flatnonzero((appended.users[rows] == user) & tokens.any(axis=1))
        tokens[wordy[:-4]] = 0  # those of the last four are kept
    np.testing.assert_array_equal(replayed.features.tokens, tokens)
    prices, is_first = (NUMERIC_FEATURES.index(name) for name in ("log_price", "is_first_event"))
    numeric = replayed.features.numeric
    np.testing.assert_allclose(numeric[:, prices], appended.features.numeric[rows, prices], atol=0.009)
    assert numeric[:, is_first].tolist() == [place == 0 for part in kept for place in range(len(part))]


@pytest.mark.parametrize("price", [1e308, 1.79e308, 0.0, 5e-324])
def test_the_price_of_a_replayed_event_is_finite(price):
    (event,) = shoppers_events(1)
    sequences = new_sequences(USERS)
    users, batch, source = columns([event])
    batch.prices[0] = price
    append_events(sequences, users, batch, source)
    assert np.isfinite(replay_rings(sequences).features.numeric).all()


def test_a_model_that_recommends_keeps_whole_item_codes_of_the_ring():
    codec, batch_events = StateCodec(2, 7, has_item_ends=True), shoppers_events(80)
    users, batch, source = columns(batch_events)
    states = codec.blank(USERS)
    for part in np.array_split(np.arange(len(batch)), 7):
        prepare_batch(states, users[part], batch.take(part), Source(source.code, source.offsets[part]))
    ring_users, events = stored_events(states["sequence"], item_ends=states["item_ends"])
    for user in range(USERS):
        expected = item_codes([batch_events[row].item_id for row in np.flatnonzero(users == user)]).tolist()[
            -RING_EVENTS:
        ]
        assert events["item"][ring_users == user].tolist() == expected
    without = StateCodec(2, 7)
    there = without.gather(codec.scatter(states))  # and back: the upper halves are lost, the sequence is not
    assert there.dtype == without.dtype
    back = codec.gather(without.scatter(there))
    assert not back["item_ends"].any()
    assert back["sequence"].tobytes() == states["sequence"].tobytes()
    other = codec.gather(
        StateCodec(4, 9, has_item_ends=True).scatter(StateCodec(4, 9, has_item_ends=True).gather(codec.scatter(states)))
    )
    assert np.array_equal(other["item_ends"], states["item_ends"])


def test_a_state_from_before_recommendations_on_a_topic_is_read_as_one_without_any():
    codec, (users, batch, source) = StateCodec(2, 7, has_item_ends=True), columns(shoppers_events(40))
    states = codec.blank(USERS)
    prepare_batch(states, users, batch, source)
    fields = [name for name in states.dtype.names if name != "recommended_ms"]
    earlier = np.empty(USERS, [(name, states.dtype[name]) for name in fields])
    for name in fields:
        earlier[name] = states[name]
    earlier["sequence"]["layout"] &= ~np.uint8(32)
    states["recommended_ms"] = 5
    read = codec.gather([*(each.tobytes() for each in earlier), codec.scatter(states)[0]])
    assert read["recommended_ms"].tolist() == [0] * USERS + [5]
    for name in fields:
        assert read[name][:USERS].tobytes() == states[name].tobytes()
