"""A small real model."""

import pytest
import torch

from model.checkpoint import Calibration, Checkpoint
from model.horizons import HORIZONS
from model.lstm import LSTMConfig, PropensityLSTM


def random_checkpoint(version: str, hidden_size: int = 8, seed: int = 7) -> Checkpoint:
    """A model with random weights, the same in every run."""
    torch.manual_seed(seed)
    model = PropensityLSTM(LSTMConfig(hidden_size=hidden_size)).eval()
    torch.nn.init.normal_(model.type_logits)
    torch.nn.init.normal_(model.category_rates)
    return Checkpoint(version, model, Calibration.identity(len(HORIZONS)), metrics={}, training={})


@pytest.fixture(scope="session")
def checkpoint() -> Checkpoint:
    return random_checkpoint("lstm8-test")


@pytest.fixture(scope="session")
def other_checkpoint() -> Checkpoint:
    """Another size and other weights than `checkpoint`."""
    return random_checkpoint("lstm12-other", hidden_size=12, seed=8)
