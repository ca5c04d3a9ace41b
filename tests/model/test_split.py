import numpy as np

from model.labels import Labels
from model.split import TimeSplit

DAY_MS = 86_400_000


def labels_known_after(time_ms, delay_ms):
    known_at = np.stack([time_ms + delay_ms, time_ms + 2 * delay_ms], axis=1)
    return Labels(bought=np.zeros_like(known_at, np.bool_), known_at_ms=known_at)


def test_parts_follow_each_other_in_time_and_no_label_reaches_into_the_next():
    time_ms = np.arange(0, 30 * DAY_MS, DAY_MS // 4)
    labels = labels_known_after(time_ms, DAY_MS)
    split = TimeSplit.of(time_ms, DAY_MS)
    parts = [split.train(time_ms, labels), split.validation(time_ms, labels), split.test(time_ms, labels)]
    starts = [0, split.validation_from_ms, split.test_from_ms]
    ends = [split.validation_from_ms, split.test_from_ms, split.end_ms]
    for part, start_ms, end_ms in zip(parts, starts, ends, strict=True):
        assert part.any(axis=0).all()
        assert (np.broadcast_to(time_ms[:, None], part.shape)[part] >= start_ms).all()
        assert (labels.known_at_ms[part] <= end_ms).all()
    assert not (parts[0] & parts[1]).any()
    assert not (parts[1] & parts[2]).any()


def test_a_long_history_keeps_back_15_percent_twice():
    split = TimeSplit.of(np.array([0, 100 * DAY_MS]), DAY_MS)
    assert (split.validation_from_ms, split.test_from_ms, split.end_ms) == (70 * DAY_MS, 85 * DAY_MS, 100 * DAY_MS)


def test_a_short_history_keeps_back_one_and_a_half_horizons():
    assert TimeSplit.of(np.array([0, 8 * DAY_MS]), DAY_MS).validation_from_ms == 5 * DAY_MS


def test_a_very_short_history_keeps_half_for_training():
    assert TimeSplit.of(np.array([0, 2 * DAY_MS]), DAY_MS).validation_from_ms == DAY_MS
