import dataclasses

import numpy as np
import pytest
import torch

from model.arrays import Runs
from model.events import TYPE_CODES, Event
from model.heads import UNKNOWN
from model.lstm import LSTMConfig, Packing
from model.simulator import SimulationSettings, simulate
from model.training import auxiliary
from model.training.auxiliary import TASKS, AuxiliaryHeads, auxiliary_targets
from model.training.fitting import TrainingSettings
from model.training.history import read_history
from model.training.train import train

START_MS = 1_700_000_000_000
SECOND, HOUR = 1000, 3_600_000
END_MS = START_MS + 1000 * HOUR


def event(number: int, type_: str, after_ms: int, item: str | None = None, user: str = "u") -> Event:
    return Event(f"e{number}", user, type_, START_MS + after_ms, item_id=item)


STORY = [
    event(0, "view", 0, "shoe"),
    event(1, "search", 4 * SECOND),
    event(2, "view", 64 * SECOND, "shoe"),
    event(3, "view", 65 * SECOND, "hat"),
    event(4, "purchase", 3 * HOUR, "hat"),
]


def targets(events: list[Event], until_ms: int = END_MS):
    return auxiliary_targets(read_history(events), until_ms)


def test_what_comes_next_is_a_type_a_view_of_the_item_at_hand_or_the_end_of_the_session():
    following = targets(STORY)[:, 0].tolist()
    again, leaves = auxiliary._VIEWS_AGAIN, auxiliary._LEAVES
    assert following == [TYPE_CODES["search"], again, TYPE_CODES["view"], leaves, leaves]


def test_pauses_are_told_apart_within_the_session():
    assert targets(STORY)[:, 1].tolist() == [0, 4, 0, 7, 7]


def test_returns_and_purchases_are_answered_for_several_horizons():
    found = targets(STORY)
    assert found[0, 2:7].tolist() == [1, 1, 1, 1, 1]  # another session within 6 hours
    assert found[4, 2:7].tolist() == [0, 0, 0, 0, 0]
    assert found[0, 7:].tolist() == [0, 1, 1, 1, 1]  # a purchase within 5 minutes, 4 hours ...
    assert found[4, 7:].tolist() == [0, 0, 0, 0, 0]


def test_another_user_answers_nothing():
    alone = targets(STORY[:1])
    beside = targets([STORY[0], event(9, "purchase", SECOND, "shoe", user="v")])
    np.testing.assert_array_equal(beside[0], alone[0])


@pytest.mark.parametrize("hours", [0.2, 1, 5, 30])
def test_what_happens_later_is_not_known(hours):
    until_ms = START_MS + round(hours * HOUR)
    whole = targets(STORY, until_ms)
    cut = targets([one for one in STORY if one.ts < until_ms], until_ms)
    np.testing.assert_array_equal(whole[: len(cut)], cut)
    assert (whole[len(cut) :] == UNKNOWN).all()


def test_an_answer_is_known_only_when_it_would_be_in_any_case():
    known = targets(STORY, START_MS + HOUR) != UNKNOWN
    assert known[:4, :2].all()
    assert known[:4, 2:].sum(axis=0).tolist() == [0, 0, 0, 0, 0, 4, 0, 0, 0, 0]  # only a purchase within 5 minutes


@torch.inference_mode()
def test_the_loss_counts_known_answers_only():
    config = LSTMConfig(hidden_size=4)
    heads, history = AuxiliaryHeads(config), read_history(STORY)
    packing = Packing.of(Runs.of(history.users))
    inputs = packing.pack(history.features(np.arange(len(history))), torch.device("cpu"))
    output, right = torch.zeros(len(history), 4), targets(STORY)
    nothing = np.full((len(history), TASKS), UNKNOWN, np.int8)
    assert float(heads.loss(output, inputs, nothing)) == 0
    first = nothing.copy()
    first[0] = right[0]
    rest = right.copy()
    rest[0] = UNKNOWN
    parts = float(heads.loss(output, inputs, first)) + float(heads.loss(output, inputs, rest))
    assert float(heads.loss(output, inputs, right)) == pytest.approx(parts, rel=1e-5)


@pytest.fixture(scope="module")
def weights_after():
    """Train on a few simulated shoppers with other settings, and return the network's weights by name."""
    history = read_history(simulate(SimulationSettings(events=15_000, users=300, seed=4)))
    config, threads = LSTMConfig(hidden_size=8, category_buckets=16), torch.get_num_threads()
    once = TrainingSettings(epochs=1, batch_events=1024)

    def weights_after(**settings):
        return train(history, dataclasses.replace(once, **settings), config, lambda *_: None).model.state_dict()

    yield weights_after
    torch.set_num_threads(threads)


def test_they_change_what_is_learnt_and_leave_nothing_in_the_network(weights_after):
    plain, taught = weights_after(auxiliary_weight=0.0), weights_after(auxiliary_from_events=0)
    assert plain.keys() == taught.keys()
    assert not torch.allclose(plain["lstm.weight_hh_l0"], taught["lstm.weight_hh_l0"], atol=1e-4)


def test_of_little_data_they_are_not_asked(weights_after):
    plain, little = weights_after(auxiliary_weight=0.0), weights_after()
    assert all(torch.equal(weight, little[name]) for name, weight in plain.items())
