import numpy as np
import pytest

from model.training.labels import Labels
from model.training.split import TimeSplit, data_bounds

DAY_MS = 86_400_000


def labels_known_after(time_ms, delay_ms):
    known_at = np.stack([time_ms + delay_ms, time_ms + 2 * delay_ms], axis=1)
    return Labels(bought=np.zeros_like(known_at, np.bool_), known_at_ms=known_at)


def test_parts_follow_each_other_in_time_and_no_label_reaches_into_the_next():
    time_ms = np.arange(0, 30 * DAY_MS, DAY_MS // 4)
    labels = labels_known_after(time_ms, DAY_MS)
    split = TimeSplit.of(time_ms, DAY_MS)
    parts = [split.before_validation(time_ms, labels), split.validation(time_ms, labels), split.test(time_ms, labels)]
    starts = [0, split.validation_from_ms, split.test_from_ms]
    ends = [split.validation_from_ms, split.test_from_ms, split.end_ms]
    for part, start_ms, end_ms in zip(parts, starts, ends, strict=True):
        assert part.any(axis=0).all()
        assert (np.broadcast_to(time_ms[:, None], part.shape)[part] >= start_ms).all()
        assert (labels.known_at_ms[part] <= end_ms).all()
    assert not (parts[0] & parts[1]).any()
    assert not (parts[1] & parts[2]).any()


def test_each_label_is_purged_by_its_own_length_before_either_part():
    time_ms = np.arange(0, 30 * DAY_MS, DAY_MS // 4)
    split, labels = TimeSplit.of(time_ms, DAY_MS), labels_known_after(time_ms, DAY_MS // 2)
    for learnt, until_ms in (
        (split.before_validation(time_ms, labels), split.validation_from_ms),
        (split.before_test(time_ms, labels), split.test_from_ms),
    ):
        for column, length_ms in enumerate((DAY_MS // 2, DAY_MS)):
            latest_ms = time_ms[learnt[:, column]].max()
            assert until_ms - length_ms - DAY_MS // 4 <= latest_ms < until_ms - length_ms


def test_a_label_that_is_settled_late_is_not_learnt_even_if_its_event_was_early():
    """A session may go on for days; what happens just when validation begins is validation's."""
    time_ms = np.arange(0, 30 * DAY_MS, DAY_MS // 4)
    split = TimeSplit.of(time_ms, DAY_MS)
    for late_ms, is_learnt in ((0, False), (-1, True)):
        late = np.full((len(time_ms), 1), split.validation_from_ms + late_ms)
        learnt = split.before_validation(time_ms, Labels(np.zeros_like(late, np.bool_), late))
        assert learnt.any() == is_learnt


def test_validation_and_test_have_a_sixth_each_of_the_time_that_has_labels():
    split = TimeSplit.of(np.array([0, 63 * DAY_MS]), DAY_MS)
    assert split.validation_from_ms == 41 * DAY_MS
    assert split.test_from_ms == 52 * DAY_MS
    assert split.end_ms == 63 * DAY_MS


def test_six_days_and_a_horizon_of_one_are_enough():
    split = TimeSplit.of(np.array([0, 6 * DAY_MS]), DAY_MS)
    assert (split.validation_from_ms, split.test_from_ms) == (3 * DAY_MS, 4.5 * DAY_MS)


def test_a_history_shorter_than_three_horizons_teaches_nothing():
    time_ms = np.arange(0, 3 * DAY_MS, DAY_MS // 4)
    split = TimeSplit.of(time_ms, DAY_MS)
    assert not split.before_validation(time_ms, labels_known_after(time_ms, DAY_MS)).any()


def times(*runs):
    """Return so many times within one day, for each (day, count)."""
    return np.concatenate([day * DAY_MS + np.arange(count) for day, count in runs])


@pytest.mark.parametrize(
    ("runs", "first", "last"),
    [
        ([(100, 3000)], (100, 0), (100, 2999)),
        ([(100, 1500), (107, 1500), (30_000, 3)], (100, 0), (107, 1499)),
        ([(2, 2), (100, 1500), (107, 1500), (30_000, 1)], (100, 0), (107, 1499)),
        ([(100, 1500), (107, 1500), (30_000, 4)], (100, 0), (30_000, 3)),  # too many for a wrong clock
        ([(2, 2), (100, 3000), (30_000, 2)], (100, 0), (30_000, 1)),  # one in a thousand, both ends together
        ([(100, 2999), (130, 1)], (100, 0), (130, 0)),  # not far enough away
        ([(100, 1), (200, 1)], (100, 0), (200, 0)),  # too few events to tell
        ([(100, 3000), (20_000, 1), (30_000, 2)], (100, 0), (100, 2999)),
    ],
)
def test_the_data_ends_where_wrong_clocks_begin(runs, first, last):
    shuffled = np.random.default_rng(1).permutation(times(*runs))
    assert data_bounds(shuffled) == tuple(day * DAY_MS + number for day, number in (first, last))


def test_one_event_of_2099_moves_no_part_of_the_history():
    usual = np.arange(0, 20 * DAY_MS, DAY_MS // 200)
    with_a_wrong_clock = np.append(usual, 47_000 * DAY_MS)
    assert TimeSplit.of(with_a_wrong_clock, DAY_MS) == TimeSplit.of(usual, DAY_MS)
