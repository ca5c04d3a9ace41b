"""How fast training is: events a second of reading, labelling, one epoch of learning, scoring.

`.venv/bin/python -m benchmarks.training` runs on the CPU with one thread, as `cartcast train` runs, and on the GPU
where there is one. Compare figures of one run only: the machine's speed is part of them.
"""

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from model.horizons import HORIZONS, longest_horizon_ms
from model.lstm import LSTMConfig, PropensityLSTM
from model.simulator import SimulationSettings, simulate
from model.training.examples import Examples, hidden_users
from model.training.fitting import Fitting, TrainingSettings
from model.training.history import read_history
from model.training.predict import predict_logits
from model.training.split import TimeSplit

EVENTS, USERS = 150_000, 1500


def timed(work: Callable[[], Any]) -> tuple[Any, float]:
    began = time.perf_counter()
    result = work()
    return result, time.perf_counter() - began


def measure(examples: Examples, device: torch.device) -> str:
    """Return what one epoch costs, the second one: the first warms up."""
    torch.manual_seed(1)
    model = PropensityLSTM(LSTMConfig())
    training_set, history = examples.everything(), examples.history
    fitting = Fitting(model, training_set, TrainingSettings(), device)
    for _ in range(2):
        _, learning_seconds = timed(lambda: list(fitting.epoch()))
    _, scoring_seconds = timed(lambda: predict_logits(model, history, np.arange(len(history))))
    learning, scoring = training_set.spans.events / learning_seconds, len(history) / scoring_seconds
    return f"an epoch {learning:,.0f} events/s  scoring {scoring:,.0f} events/s"


def main() -> None:
    torch.set_num_threads(1)
    events = list(simulate(SimulationSettings(events=EVENTS, users=USERS, seed=1)))
    history, reading_seconds = timed(lambda: read_history(events))
    split = TimeSplit.of(history.applied_ms, longest_horizon_ms(HORIZONS))
    examples, labelling_seconds = timed(lambda: Examples.of(history, split, hidden_users(history), HORIZONS))
    print(f"training, {EVENTS:,} events of {USERS:,} users")
    reading, labelling = EVENTS / reading_seconds, EVENTS / labelling_seconds
    print(f"append and features {reading:,.0f} events/s  labels {labelling:,.0f} events/s")
    print(f"cpu, 1 thread: {measure(examples, torch.device('cpu'))}")
    if torch.cuda.is_available():
        print(f"{torch.cuda.get_device_name()}: {measure(examples, torch.device('cuda'))}")


if __name__ == "__main__":
    main()
