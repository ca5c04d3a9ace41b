import dataclasses

import pytest
import torch

from model.lstm import LSTMConfig
from model.simulator import SimulationSettings, simulate
from model.training.fitting import TrainingSettings
from model.training.history import read_history
from model.training.resume import DirectoryStateStore, fingerprint
from model.training.train import train
from service.errors import TrainingError

SMALL = LSTMConfig(hidden_size=8, category_buckets=16)
QUICK = TrainingSettings(epochs=3, batch_events=1024, auxiliary_from_events=0)


class PowerFailureError(Exception):
    pass


class InterruptedAfter(DirectoryStateStore):
    """The power fails right after some state is kept."""

    def __init__(self, directory, fingerprint, saves):
        super().__init__(directory, fingerprint)
        self.saves = saves

    def save(self, stage, state):
        super().save(stage, state)
        self.saves -= 1
        if not self.saves:
            raise PowerFailureError


def ignore(_share, _words):
    pass


@pytest.fixture(scope="module")
def history():
    return read_history(simulate(SimulationSettings(events=15_000, users=300, seed=4)))


@pytest.fixture(scope="module")
def uninterrupted(history):
    return train(history, QUICK, SMALL, ignore)


@pytest.mark.parametrize("saves", [1, 2, 3, 4])
def test_an_interrupted_training_ends_with_the_weights_of_an_uninterrupted_one(history, uninterrupted, tmp_path, saves):
    with pytest.raises(PowerFailureError):
        train(history, QUICK, SMALL, ignore, store=InterruptedAfter(tmp_path, "same", saves))
    resumed = train(history, QUICK, SMALL, ignore, store=DirectoryStateStore(tmp_path, "same"))
    expected = uninterrupted.model.state_dict()
    assert all(torch.equal(weight, expected[name]) for name, weight in resumed.model.state_dict().items())
    assert resumed.calibration == uninterrupted.calibration
    assert resumed.metrics == uninterrupted.metrics
    assert resumed.training == uninterrupted.training


def test_epochs_that_are_done_are_not_done_again(history, tmp_path):
    with pytest.raises(PowerFailureError):
        train(history, QUICK, SMALL, ignore, store=InterruptedAfter(tmp_path, "same", 2))
    seen = []
    train(history, QUICK, SMALL, lambda share, _: seen.append(share), store=DirectoryStateStore(tmp_path, "same"))
    assert seen[0] > 2 / 3 / 3


def test_other_data_or_settings_are_refused(tmp_path):
    DirectoryStateStore(tmp_path / "t", "one").save("fit", {})
    with pytest.raises(TrainingError, match="other data, settings or versions"):
        DirectoryStateStore(tmp_path / "t", "two").load("fit")


def test_a_damaged_state_is_one_line(tmp_path):
    (tmp_path / "fit").write_bytes(b"damaged")
    with pytest.raises(TrainingError, match="without --resume"):
        DirectoryStateStore(tmp_path, "one").load("fit")


def test_the_fingerprint_changes_with_any_event_and_any_setting(history):
    before = fingerprint(history, QUICK, SMALL)
    types = history.type_codes.copy()
    types[5] ^= 1
    assert fingerprint(history, QUICK, SMALL) == before
    assert fingerprint(dataclasses.replace(history, type_codes=types), QUICK, SMALL) != before
    assert fingerprint(history, dataclasses.replace(QUICK, seed=2), SMALL) != before
    assert fingerprint(history, QUICK, LSTMConfig(hidden_size=9)) != before


def test_nothing_is_left_when_it_is_forgotten(tmp_path):
    store = DirectoryStateStore(tmp_path / "t", "one")
    store.save("fit", {"a": 1})
    assert store.load("fit") == {"a": 1}
    store.forget()
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_state_is_one_line_that_says_what_to_do(tmp_path):
    store = DirectoryStateStore(tmp_path, "same")
    store.save("fit", {"epoch": 1})
    (tmp_path / "fit").write_bytes(b"garbage")
    with pytest.raises(TrainingError, match=r"fit is damaged: start again without --resume$"):
        store.load("fit")
