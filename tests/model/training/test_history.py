import numpy as np
import pytest
from msgspec.structs import replace

from model.batch import batch_of, id_code
from model.core.append import Source, append_events
from model.core.features import CATEGORY_RATES
from model.events import Event
from model.sequence import new_sequences
from model.shop import shop_of
from model.simulator import SimulationSettings, simulate
from model.training import history as history_module
from model.training.chunks import Spans
from model.training.history import read_history
from model.validate import BadRow
from service.errors import TrainingError
from tests.model.reference_sequence import category_rates
from tests.model.shop import shoppers_events


@pytest.fixture(scope="module")
def events():
    return list(simulate(SimulationSettings(events=30_000, users=300, seed=2)))


def test_features_are_those_that_the_worker_computes_whatever_its_batches(events):
    history = read_history(events)
    states, numbers, numeric = new_sequences(300), {}, {}
    for start in range(0, len(events), 777):
        some = events[start : start + 777]
        users = np.array([numbers.setdefault(event.user_id, len(numbers)) for event in some])
        appended = append_events(states, users, batch_of(some), Source(7, start + np.arange(len(some))))
        numeric |= zip((start + appended.rows).tolist(), appended.features.numeric, strict=True)
    assert sorted(history.rows) == sorted(numeric)
    live = np.stack([numeric[row] for row in history.rows.tolist()])
    np.testing.assert_allclose(history.numeric[:, :CATEGORY_RATES], live[:, :CATEGORY_RATES], atol=1e-5)


def test_what_is_known_of_a_category_comes_from_the_events_that_arrived_before(monkeypatch):
    events = shoppers_events(120, seed=3)
    expected = category_rates(events)
    history = read_history(events)
    np.testing.assert_allclose(history.numeric[:, CATEGORY_RATES:], [expected[row] for row in history.rows], rtol=1e-5)
    monkeypatch.setattr(history_module, "_EVENTS_AT_ONCE", 7)
    in_parts = read_history(events)
    np.testing.assert_array_equal(in_parts.numeric, history.numeric)


def test_what_is_frozen_of_a_category_is_what_the_next_event_would_be_told():
    events = shoppers_events(120, seed=3)
    history = read_history(events)
    rates = history.category_rates(Spans(history.starts[:-1], np.diff(history.starts)))
    for category in ("c1", "c2", "never seen", None):
        told = category_rates([*events, Event("next", "0", "view", events[-1].ts, category=category)])[-1]
        np.testing.assert_allclose(rates[id_code(category)], told, rtol=1e-5)


def test_a_users_rows_stand_together_in_order_of_arrival(events):
    history = read_history(events)
    assert (np.diff(history.users) >= 0).all()
    assert (np.diff(history.rows)[np.diff(history.users) == 0] > 0).all()
    assert [history.user_ids[user] for user in history.users[:50]] == [events[row].user_id for row in history.rows[:50]]


def test_times_are_the_events_own_even_if_they_arrive_late(events):
    history = read_history(events)
    assert history.time_ms.tolist() == [events[row].ts for row in history.rows]


def test_repeated_events_and_bad_rows_are_counted_and_left_out(events):
    distinct = len({event.event_id for event in events})
    history = read_history([BadRow(1, "columns", "", b""), *events, BadRow(2, "columns", "", b"")])
    assert (len(history), history.duplicates, history.bad_rows) == (distinct, len(events) - distinct, 2)


def test_no_event_at_all_is_refused():
    with pytest.raises(TrainingError, match="not one event"):
        read_history([BadRow(1, "columns", "", b"")])


def test_purchases_are_marked():
    history = read_history([Event("a", "u", "view", 1_500_000_000_000), Event("b", "u", "purchase", 1_500_000_001_000)])
    assert history.is_purchase.tolist() == [False, True]


def login(number: int, user: str, **fields) -> Event:
    return Event(event_id=f"e{number}", user_id=user, ts=1_700_000_000_000 + 1000 * number, **{"type": "view"} | fields)


def histories(events: list[Event]) -> list[tuple[str, list[int]]]:
    """The id and the input rows of each history."""
    history = read_history(events)
    return sorted(
        (user_id, history.rows[start:end].tolist())
        for user_id, start, end in zip(history.user_ids, history.starts, history.starts[1:], strict=False)
    )


def test_what_a_new_user_did_before_the_login_begins_the_users_history():
    events = [login(0, "a"), login(1, "a", type="cart"), login(2, "u", type="identify", anonymous_id="a")]
    events += [login(3, "u", type="purchase", anonymous_id="a"), login(4, "a"), login(5, "u")]
    assert histories(events) == [("a", [4]), ("u", [0, 1, 2, 3, 5])]


def test_what_a_known_user_did_before_another_login_stays_a_history_by_itself():
    events = [login(0, "u"), login(1, "a"), login(2, "a"), login(3, "u", anonymous_id="a"), login(4, "a")]
    assert histories(events) == [("a", [1, 2]), ("a", [4]), ("u", [0, 3])]


def test_features_know_what_was_merged(monkeypatch):
    """The event after a login is as if one shopper had done it all."""
    anonymous = [login(n, "a", type="cart", item_id="i") for n in range(3)]
    after = [login(4, "u", item_id="i"), login(5, "u", item_id="i")]
    split = read_history([*anonymous, login(3, "u", type="identify", anonymous_id="a"), *after])
    whole = read_history([*(replace(one, user_id="u") for one in anonymous), login(3, "u", type="identify"), *after])
    np.testing.assert_allclose(split.numeric[4:], whole.numeric[4:], rtol=1e-5)
    assert not np.allclose(split.numeric[3], whole.numeric[3])
    monkeypatch.setattr("model.training.history._EVENTS_AT_ONCE", 2)
    again = read_history([*anonymous, login(3, "u", type="identify", anonymous_id="a"), *after])
    np.testing.assert_array_equal(again.numeric, split.numeric)
    assert again.user_ids == split.user_ids


def test_a_kiosks_spells_are_histories_of_their_own():
    events = []
    for user in range(3):
        known = login(10 * user + 1, f"u{user}")
        events += [login(10 * user, "kiosk"), known, login(10 * user + 2, f"u{user}", anonymous_id="kiosk")]
    assert [rows for user_id, rows in histories(events) if user_id == "kiosk"] == [[0], [3], [6]]


def test_the_events_after_a_login_are_known():
    events = [login(0, "a"), login(1, "u", type="identify", anonymous_id="a"), login(2, "b")]
    events += [login(n, "u") for n in range(3, 9)]
    history = read_history(events)
    after = {int(row) for row in history.rows[history.after_login(3)]}
    assert after == {3, 4, 5}
    assert history.logins.tolist() == [1]
    assert not read_history([login(n, "u") for n in range(5)]).after_login(3).any()


def test_what_a_shop_defines_and_no_event_has_is_named():
    kinds = {"plan": "categorical", "colour": "categorical", "depth": "numeric", "rank": "numeric"}
    shop = shop_of(
        {
            "types": {"gift": "none", "Gift": "none"},
            "attributes": {name: {"kind": kind} for name, kind in kinds.items()},
        }
    )
    known = {"plan": "free", "depth": 2.0}
    events = [Event(f"e{n}", "u", "gift", 1_500_000_000_000 + n, attributes=known) for n in range(2)]
    assert read_history(events, shop=shop).unused_definitions() == [
        "types.Gift",
        "attributes.colour",
        "attributes.rank",
    ]
    assert read_history(events).unused_definitions() == []
