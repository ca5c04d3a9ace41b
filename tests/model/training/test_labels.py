import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.horizons import SESSION_GAP_MS, horizon_ms
from model.training.labels import label_events

HORIZONS = ("session", "1h", "24h")
HOUR_MS = 3_600_000

histories = st.lists(
    st.tuples(st.integers(0, 2), st.integers(0, 40).map(lambda step: step * 600_000), st.booleans()),
    min_size=1,
    max_size=40,
)


def columns(rows):
    users, times, purchases = zip(*rows, strict=True)
    return np.array(users), np.array(times, np.int64), np.array(purchases)


def slowly(rows):
    """The definition, word for word."""
    labels = []
    for user, time_ms, _ in rows:
        mine = sorted(time for other, time, _ in rows if other == user)
        purchases = [time for other, time, bought in rows if other == user and bought and time > time_ms]
        session_end = time_ms
        for time in mine:
            if session_end < time <= session_end + SESSION_GAP_MS:
                session_end = time
        labels.append(
            [
                any(time <= session_end for time in purchases),
                any(time <= time_ms + HOUR_MS for time in purchases),
                any(time <= time_ms + 24 * HOUR_MS for time in purchases),
            ]
        )
    return labels


@given(histories)
def test_labels_are_those_of_the_definition(rows):
    assert label_events(*columns(rows), HORIZONS).bought.tolist() == slowly(rows)


@given(histories, st.randoms())
def test_the_order_of_the_rows_does_not_matter(rows, random):
    shuffled = list(range(len(rows)))
    random.shuffle(shuffled)
    expected = label_events(*columns(rows), HORIZONS)
    found = label_events(*columns([rows[position] for position in shuffled]), HORIZONS)
    assert (found.bought == expected.bought[shuffled]).all()
    assert (found.known_at_ms == expected.known_at_ms[shuffled]).all()


def test_a_purchase_at_the_same_time_is_not_later():
    rows = [(0, 1000, False), (0, 1000, True)]
    assert not label_events(*columns(rows), HORIZONS).bought.any()


def test_another_users_purchase_does_not_count():
    rows = [(0, 1000, False), (1, 2000, True)]
    assert not label_events(*columns(rows), HORIZONS).bought.any()


def test_a_session_lasts_over_a_pause_of_half_an_hour_and_no_longer():
    rows = [(0, 0, False), (0, SESSION_GAP_MS, True), (1, 0, False), (1, SESSION_GAP_MS + 1, True)]
    assert label_events(*columns(rows), ["session"]).bought[:, 0].tolist() == [True, False, False, False]


def test_a_label_is_unknown_until_its_horizon_is_over_even_if_a_purchase_was_seen():
    rows = [(0, 0, False), (0, 1000, True)]
    labels = label_events(*columns(rows), HORIZONS)
    assert labels.bought[0].all()
    assert labels.known_by(SESSION_GAP_MS + 999)[0].tolist() == [False, False, False]
    assert labels.known_by(SESSION_GAP_MS + 1000)[0].tolist() == [True, False, False]
    assert labels.known_by(HOUR_MS)[0].tolist() == [True, True, False]


@pytest.mark.parametrize(("horizon", "expected_ms"), [("30m", 1_800_000), ("1h", HOUR_MS), ("7d", 168 * HOUR_MS)])
def test_a_horizon_is_a_number_and_a_unit(horizon, expected_ms):
    assert horizon_ms(horizon) == expected_ms


@pytest.mark.parametrize("horizon", ["", "h", "0h", "-1h", "1.5h", "1 h", "1w"])
def test_another_text_is_no_horizon(horizon):
    with pytest.raises(ValueError, match="neither"):
        horizon_ms(horizon)
