import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from model.pieces import pieces, shuffled_batches
from model.runs import Runs

lengths = st.lists(st.integers(1, 30), min_size=1, max_size=20)


def runs_of(lengths):
    return Runs.of(np.repeat(np.arange(len(lengths)), lengths))


@given(lengths, st.integers(1, 7))
def test_every_row_is_in_one_piece_and_a_users_rows_come_in_order(lengths, piece_events):
    runs = runs_of(lengths)
    batch = np.arange(len(lengths))
    seen = {user: [] for user in batch}
    for piece in pieces(runs, batch, piece_events):
        assert np.bincount(piece.sequences).max() <= piece_events
        for row, sequence in zip(piece.rows.tolist(), piece.sequences.tolist(), strict=True):
            seen[piece.users[sequence]].append(row)
    assert seen == {user: list(range(runs.starts[user], runs.ends[user] + 1)) for user in batch}


@given(lengths, st.integers(1, 60), st.integers(1, 9))
def test_every_user_is_in_one_batch(lengths, batch_events, piece_events):
    runs = runs_of(lengths)
    batches = shuffled_batches(runs, batch_events, piece_events, np.random.default_rng(1))
    assert sorted(np.concatenate(batches).tolist()) == list(range(len(lengths)))


def test_batches_hold_about_as_many_rows_as_asked_for():
    runs = runs_of([10] * 1000)
    sizes = [10 * len(batch) for batch in shuffled_batches(runs, 500, 64, np.random.default_rng(1))]
    assert max(sizes) <= 510
