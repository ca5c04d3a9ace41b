import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from model.training.chunks import Spans, chunks, shuffled_batches

lengths = st.lists(st.integers(1, 30), min_size=1, max_size=20)


def stretches_of(lengths):
    lengths = np.array(lengths)
    return Spans(np.cumsum(lengths) - lengths, lengths)


@given(lengths, st.integers(1, 7))
def test_every_row_is_in_one_piece_and_a_users_rows_come_in_order(lengths, piece_events):
    spans = stretches_of(lengths)
    batch = np.arange(len(lengths))
    seen = {user: [] for user in batch}
    for chunk in chunks(spans, batch, piece_events):
        assert np.bincount(chunk.sequences).max() <= piece_events
        for row, sequence in zip(chunk.rows.tolist(), chunk.sequences.tolist(), strict=True):
            seen[chunk.users[sequence]].append(row)
    assert seen == {user: [spans.starts[user] + number for number in range(lengths[user])] for user in batch}


@given(lengths, st.integers(1, 60), st.integers(1, 9))
def test_every_user_is_in_one_batch(lengths, batch_events, piece_events):
    batches = shuffled_batches(np.array(lengths), batch_events, piece_events, np.random.default_rng(1))
    assert sorted(np.concatenate(batches).tolist()) == list(range(len(lengths)))


def test_batches_hold_about_as_many_rows_as_asked_for():
    sizes = [10 * len(batch) for batch in shuffled_batches(np.full(1000, 10), 500, 64, np.random.default_rng(1))]
    assert max(sizes) <= 510


@given(lengths, st.integers(1, 60))
def test_groups_hold_every_stretch_whole_and_once(lengths, events):
    spans = stretches_of(lengths)
    groups = list(spans.cut(events))
    assert np.concatenate([group.starts for group in groups]).tolist() == spans.starts.tolist()
    assert all(group.events < events + max(lengths) for group in groups)
    rows, numbers = spans.rows()
    assert rows.tolist() == list(range(sum(lengths)))
    assert np.bincount(numbers).tolist() == lengths
