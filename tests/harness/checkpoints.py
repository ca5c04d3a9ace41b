"""Checkpoints that no training made."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from model.checkpoint import Calibration, load_checkpoint, save_checkpoint
from model.heads import HEADS
from model.items.columns import columns_of
from model.items.item import Item
from model.items.network import GOALS, NextItemConfig, NextItemNetwork
from model.items.ranker import ItemModel
from model.items.transitions import KINDS, Neighbours
from model.lstm import LSTMConfig, PropensityLSTM
from model.shop import NO_SHOP, Shop


def random_checkpoint(directory: Path, horizons: tuple[str, str, str], shop: Shop = NO_SHOP) -> Path:
    """Random weights: their scores move with every input, which those of a trained model need not."""
    torch.manual_seed(5)
    model = PropensityLSTM(LSTMConfig(hidden_size=16, horizons=horizons, heads=HEADS, shop=shop))
    for table in model.label_logits.parameters():
        torch.nn.init.normal_(table[1:])
    names = {bucket: f"category {bucket}" for bucket in range(1, model.config.category_buckets)}
    calibration = Calibration((0.5, 1.5, 2.0), (-1.0, 0.0, 1.0))
    parts: dict[str, Any] = {"calibration": calibration, "metrics": {}, "training": {}, "category_names": names}
    save_checkpoint(directory / "checkpoint", model, **parts)
    return directory / "checkpoint"


def recommending(checkpoint: Path, items: Sequence[Item], directory: Path) -> Path:
    """Return a copy of a checkpoint, made in a new directory, that recommends these items at random."""
    torch.manual_seed(5)
    loaded, known = load_checkpoint(checkpoint), len(items)
    network, columns = NextItemNetwork(NextItemConfig(dimension=8), known), columns_of(items)
    neighbours, counts = dict.fromkeys(KINDS, Neighbours.none(known)), np.ones((1 + len(GOALS), known), np.int64)
    ids, exposures = tuple(item.item_id for item in items), np.ones(known + 1)
    of_items = ItemModel(network, neighbours, columns, ids, counts, exposures)
    parts: dict[str, Any] = {"calibration": loaded.calibration, "metrics": {}, "training": {}}
    save_checkpoint(directory, loaded.model, **parts, items=of_items)
    return directory
