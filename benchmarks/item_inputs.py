"""Whether propensities get better if the network also sees the vector of an event's item, as next items are told by.

`.venv/bin/python -m benchmarks.item_inputs --events FILE --format F [--items FILE]` trains the recipe of `cartcast
train` twice, beginning with random weights, on what lies before the last part of the time: as it is, and with the
vector of an event's item as further numbers. Vectors are learnt from the same time. It prints how both do on the last
part, without and with, and the paired 95 % interval of the difference over shoppers.
"""

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np
import torch

from model.checkpoint import Calibration
from model.comparison import KnownLabels, Predictions, compare
from model.events import Event
from model.formats import read_events
from model.horizons import HORIZONS, longest_horizon_ms
from model.items.feeds import read_items
from model.items.item import Item
from model.items.journeys import JourneyReader
from model.items.network import NextItemConfig
from model.items.ranker import Vectors
from model.lstm import LSTMConfig, PropensityLSTM
from model.training.examples import Examples, hidden_users
from model.training.fitting import Fitting, TrainingSettings
from model.training.history import History, read_history
from model.training.holdout import MODEL, Holdout
from model.training.next_items import NextItemSettings, describe, learn
from model.training.predict import calibrated
from model.training.ridge import STRENGTHS, Ridges
from model.training.split import TimeSplit

NUMBERS: Final = 16
"""Of an item's vector."""
REPLICAS: Final = 400


def item_vectors(events: Sequence[Event], items: Sequence[Item], history: History, before_ms: int) -> Vectors:
    """Return the vector of each event's item `(events, NUMBERS)`, learnt from what is before a time; of none, zeros."""
    reader = JourneyReader([item.item_id for item in items])
    for event in events:
        reader.append(event)
    journeys = reader.journeys()
    columns = describe(journeys, items)
    config = NextItemConfig(dimension=NUMBERS, vector_size=columns.dimension)
    learnt = learn(journeys.before(before_ms), columns, config, NextItemSettings(), lambda *_: None)
    vectors = learnt.embed(columns)  # (items, NUMBERS)
    by_input_row = np.zeros((len(events), NUMBERS), np.float32)
    by_input_row[journeys.rows] = vectors[journeys.items] / vectors.std()
    return by_input_row[history.rows]


def holdout(history: History, split: TimeSplit, config: LSTMConfig, epochs: int) -> Holdout:
    """Train on what is before the test part of a history and run it there."""
    examples = Examples.of(history, split, hidden_users(history), config.horizons)
    fold = examples.test_fold()
    torch.manual_seed(1)
    model = PropensityLSTM(config)
    fitting = Fitting(model, fold.training_set, TrainingSettings(epochs=epochs), torch.device("cpu"))
    for _ in range(epochs):
        list(fitting.epoch())
    ridge = Ridges.fit(fold.training_set, 1).chosen([len(STRENGTHS) // 2] * len(config.horizons))
    ridge.fold_into(model)
    model.category_rates.copy_(torch.from_numpy(history.category_rates(fold.training_set.spans)))
    return Holdout.of(model, ridge, examples, fold)


def compared(with_vectors: Holdout, without: Holdout) -> dict[str, Any]:
    """Return the metrics of both and their difference."""
    labels = KnownLabels(without.users, without.bought & without.known, without.known, HORIZONS)
    models = [
        Predictions(name, name, "", calibrated(found.logits[MODEL], Calibration.identity(len(HORIZONS))), None)
        for name, found in (("with", with_vectors), ("without", without))
    ]
    return compare(models, labels, REPLICAS, 1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=Path, required=True)
    parser.add_argument("--format", required=True)
    parser.add_argument("--items", type=Path)
    parser.add_argument("--epochs", type=int, default=12)
    given = parser.parse_args()
    torch.set_num_threads(1)
    events = [row for row in read_events(given.events, given.format) if isinstance(row, Event)]
    items = {row.item_id: row for row in (read_items(given.items) if given.items else ()) if isinstance(row, Item)}
    history, config = read_history(events), LSTMConfig()
    split = TimeSplit.of(history.applied_ms, longest_horizon_ms(HORIZONS))
    without = holdout(history, split, config, given.epochs)
    vectors = item_vectors(events, list(items.values()), history, split.test_from_ms)
    names = (*config.numeric_features, *(f"item_{number}" for number in range(NUMBERS)))
    wider = replace(history, numeric=np.concatenate((history.numeric, vectors), axis=1))
    found = compared(
        holdout(wider, split, msgspec.structs.replace(config, numeric_features=names), given.epochs), without
    )
    for horizon in HORIZONS:
        for metric in ("pr_auc", "log_loss"):
            values = (found["models"][name][horizon][metric] for name in ("without", "with"))
            low, high = found["differences"]["without"][horizon][metric]["interval"]
            print(f"{horizon:8} {metric:9}", *(f"{value:.4f}" for value in values), f"{low:+.4f} to {high:+.4f}")


if __name__ == "__main__":
    main()
