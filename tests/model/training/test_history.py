import numpy as np
import pytest

from model.batch import batch_of
from model.core.append import Source, append_events
from model.events import Event
from model.sequence import new_sequences
from model.simulator import SimulationSettings, simulate
from model.training.history import read_history
from model.validate import BadRow
from service.errors import TrainingError


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
    np.testing.assert_allclose(history.numeric, live, atol=1e-5)


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
