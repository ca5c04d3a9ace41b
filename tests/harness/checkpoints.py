"""Checkpoints that no training made."""

from pathlib import Path
from typing import Any

import torch

from model.checkpoint import Calibration, save_checkpoint
from model.heads import HEADS
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
