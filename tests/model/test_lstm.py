import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn.utils.rnn import pack_sequence

from model.arrays import Runs
from model.core.features import Features
from model.core.lstm_step import StepWeights, run_steps
from model.horizons import HORIZONS
from model.lstm import PackedFeatures, Packing, PropensityLSTM
from tests.model.reference_lstm import assert_rounded_to_half, network, random_features, rows_of, slow_reference

CPU = torch.device("cpu")


@torch.inference_mode()
def packed_run(model: PropensityLSTM, features: Features, users, h, c):
    """Run the packed step and bring its results back into row order and run order."""
    packing = Packing.of(Runs.of(np.asarray(users, np.int64)))
    order = torch.from_numpy(packing.sequences)
    logits, (h_after, c_after) = model(packing.pack(features, CPU), (h[order], c[order]))
    in_rows, h_runs, c_runs = torch.empty_like(logits), torch.empty_like(h_after), torch.empty_like(c_after)
    in_rows[torch.from_numpy(packing.rows)] = logits
    h_runs[order], c_runs[order] = h_after, c_after
    return in_rows, h_runs, c_runs


def carried(sequences: int, hidden_size: int, seed: int = 9):
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(sequences, hidden_size, generator=generator) * 0.5 for _ in "hc"]


@pytest.mark.parametrize("hidden_size", [1, 5, 64])
@pytest.mark.parametrize("lengths", [[1], [3], [1, 4, 2, 4], [2, 7, 1, 1, 3]])
def test_the_packed_step_equals_the_equations_written_out(hidden_size, lengths):
    model, users = network(hidden_size), np.repeat(np.arange(len(lengths)), lengths)
    features, (h, c) = random_features(len(users)), carried(len(lengths), hidden_size)
    logits, h_after, c_after = packed_run(model, features, users, h, c)
    for user in range(len(lengths)):
        rows = np.flatnonzero(users == user)
        expected = slow_reference(model, features, rows, h[user].double().numpy(), c[user].double().numpy())
        np.testing.assert_allclose(logits[rows], expected[0], atol=2e-5)
        np.testing.assert_allclose(h_after[user], expected[1], atol=1e-5)
        np.testing.assert_allclose(c_after[user], expected[2], atol=1e-5)


SMALL = network(6)


@given(st.lists(st.integers(1, 5), min_size=1, max_size=6), st.integers(0, 4))
def test_carrying_the_state_over_equals_the_full_sequence(lengths, first_part):
    model, users = SMALL, np.repeat(np.arange(len(lengths)), lengths)
    features, zero = random_features(len(users)), torch.zeros(len(lengths), 6)
    full, h_full, c_full = packed_run(model, features, users, zero, zero)
    h, c = zero.clone(), zero.clone()
    ranks = Runs.of(users).rank
    for part in (np.flatnonzero(ranks < first_part), np.flatnonzero(ranks >= first_part)):
        if len(part):
            present = np.unique(users[part])
            pick = rows_of(features, part)
            logits, h[present], c[present] = packed_run(model, pick, users[part], h[present], c[present])
            np.testing.assert_allclose(logits, full[part], atol=1e-5)
    np.testing.assert_allclose(h, h_full, atol=1e-5)
    np.testing.assert_allclose(c, c_full, atol=1e-5)


@torch.inference_mode()
def stepped(model: PropensityLSTM, features: Features, users, before):
    """Run the rounded steps, in place, and bring their outputs back into row order and run order."""
    packing = Packing.of(Runs.of(np.asarray(users, np.int64)))
    in_order = torch.from_numpy(before[packing.sequences])
    outputs = np.empty((len(users), model.config.hidden_size), np.float32)
    outputs[packing.rows] = model.step_outputs(packing.pack(features, CPU), in_order).numpy()
    before[packing.sequences] = in_order.numpy()
    return outputs


@pytest.mark.parametrize("hidden_size", [1, 5, 64])
def test_steps_of_pytorch_are_those_of_the_compiled_core(hidden_size):
    """From the same carried numbers, which a number between two halves may be rounded away from."""
    model, features = network(hidden_size), random_features(8)
    weights = StepWeights.of(model, np.ones(3), np.zeros(3))
    states = (np.random.default_rng(9).normal(size=(4, 2 * hidden_size)) * 0.5).astype(np.float16)
    for first in (0, 4):
        part, compiled = rows_of(features, slice(first, first + 4)), states.copy()
        _, expected = run_steps(weights, part, np.arange(4), compiled)
        np.testing.assert_allclose(stepped(model, part, np.arange(4), states), expected, atol=1e-5)
        assert_rounded_to_half(states[:, :hidden_size], expected)
        np.testing.assert_allclose(states, compiled, rtol=1e-3, atol=1e-6)


@given(st.lists(st.integers(1, 5), min_size=1, max_size=6), st.integers(1, 4))
def test_rounded_steps_do_not_depend_on_how_events_are_cut(lengths, first_part):
    users = np.repeat(np.arange(len(lengths)), lengths)
    features, ranks = random_features(len(users)), Runs.of(users).rank
    whole = np.zeros((len(lengths), 12), np.float16)
    outputs, parts = stepped(SMALL, features, users, whole), np.zeros_like(whole)
    for part in (np.flatnonzero(ranks < first_part), np.flatnonzero(ranks >= first_part)):
        if len(part):
            present = np.unique(users[part])
            carried_on = parts[present]
            found = stepped(SMALL, rows_of(features, part), users[part], carried_on)
            np.testing.assert_allclose(found, outputs[part], atol=1e-3)
            parts[present] = carried_on
    np.testing.assert_allclose(parts, whole, atol=1e-3)


@given(st.lists(st.integers(1, 9), min_size=1, max_size=12))
def test_packing_is_the_order_of_torchs_pack_sequence(lengths):
    rows = np.arange(sum(lengths))
    sequences = [torch.from_numpy(part) for part in np.split(rows, np.cumsum(lengths)[:-1])]
    packing = Packing.of(Runs.of(np.repeat(np.arange(len(lengths)), lengths)))
    expected = pack_sequence([sequences[sequence] for sequence in packing.sequences], enforce_sorted=True)
    assert packing.rows.tolist() == expected.data.tolist()
    assert packing.batch_sizes.tolist() == expected.batch_sizes.tolist()
    assert sorted(packing.sequences.tolist()) == list(range(len(lengths)))


def test_packing_gathers_every_feature_by_the_same_permutation():
    features = random_features(7)
    packing = Packing.of(Runs.of(np.array([0, 0, 1, 2, 2, 2, 3])))
    packed = packing.pack(features, CPU)
    for name in ("numeric", "types", "categories"):
        np.testing.assert_array_equal(getattr(packed, name).numpy(), getattr(features, name)[packing.rows])


def test_codes_are_folded_into_buckets_and_none_stays_none():
    model, features, buckets = network(4), random_features(1), 8
    packing = Packing.of(Runs.of(np.zeros(1, np.int64)))

    def seen(code: int):
        features.categories[0] = code
        return model.embedded(packing.pack(features, CPU))

    none = seen(0)
    different = [seen(code) for code in range(1, buckets)]
    assert all(not torch.equal(none, one) for one in different)
    for code in range(1, buckets):
        assert torch.equal(seen(code + buckets - 1), different[code - 1])
    assert torch.equal(seen(65535), different[(65535 - 1) % (buckets - 1)])


def test_no_category_and_no_words_add_nothing_to_what_the_lstm_sees():
    model, features = network(4), random_features(3)
    features.categories[:] = 0
    features.tokens[:] = 0
    embedded = model.embedded(Packing.of(Runs.of(np.arange(3))).pack(features, CPU))
    config = model.config
    codes = config.category_embedding + config.token_embedding
    assert not embedded[:, -codes:].any()


def test_there_is_one_logit_a_horizon():
    model = network(4)
    logits, _, _ = packed_run(model, random_features(5), [0, 0, 1, 1, 1], *carried(2, 4))
    assert HORIZONS == ("session", "1h", "24h")
    assert logits.shape == (5, len(HORIZONS))


def test_a_batch_is_scored_alike_alone_and_among_others():
    model, features, (h, c) = network(64), random_features(40), carried(40, 64)
    together, _, _ = packed_run(model, features, np.arange(40), h, c)
    for row in (0, 17, 39):
        one = rows_of(features, np.array([row]))
        alone, _, _ = packed_run(model, one, [0], h[row : row + 1], c[row : row + 1])
        np.testing.assert_allclose(alone[0], together[row], atol=1e-6)


def test_packed_features_stay_on_the_device_they_are_put_on():
    packed = Packing.of(Runs.of(np.zeros(2, np.int64))).pack(random_features(2), CPU)
    assert isinstance(packed, PackedFeatures)
    assert packed.batch_sizes.tolist() == [1, 1]
