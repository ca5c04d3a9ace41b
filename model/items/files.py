"""A next-item model as a file of a checkpoint."""

from dataclasses import fields
from typing import Any, Final

import msgspec
import numpy as np
import numpy.typing as npt
import safetensors
import safetensors.numpy
import torch

from model.items.columns import ItemColumns
from model.items.network import GOALS, NextItemConfig, NextItemNetwork
from model.items.ranker import ItemModel
from model.items.transitions import KINDS, Neighbours
from service.errors import CheckpointError

_CONFIG: Final = "config"
_DAMAGED: Final = "does not hold a whole next-item model: train it again"


def to_bytes(model: ItemModel) -> bytes:
    """Return the file of a model."""
    ids = [item_id.encode() for item_id in model.item_ids]
    arrays: dict[str, npt.NDArray[Any]] = {
        **{f"network.{name}": weight.detach().cpu().numpy() for name, weight in model.network.state_dict().items()},
        **{
            f"{kind}.{column.name}": getattr(model.neighbours[kind], column.name)
            for kind in KINDS
            for column in fields(Neighbours)
        },
        **{f"columns.{column.name}": getattr(model.columns, column.name) for column in fields(ItemColumns)},
        "counts": model.counts,
        "exposures": model.exposures,
        "ids": np.frombuffer(b"".join(ids), np.uint8),
        "id_ends": np.cumsum([len(item_id) for item_id in ids], dtype=np.int64),
    }
    whole = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    return safetensors.numpy.save(whole, {_CONFIG: msgspec.json.encode(model.config).decode()})


def from_bytes(content: bytes) -> ItemModel:
    """Read a model's file; raises CheckpointError with what is wrong with it, which begins with a verb."""
    try:
        arrays = safetensors.numpy.load(content)
        header = msgspec.json.decode(content[8 : 8 + int.from_bytes(content[:8], "little")])
        config = msgspec.json.decode(header["__metadata__"][_CONFIG], type=NextItemConfig)
        ends = arrays["id_ends"].tolist()
        network = NextItemNetwork(config, len(ends))
        network.load_state_dict(
            {
                name.removeprefix("network."): torch.from_numpy(array.copy())
                for name, array in arrays.items()
                if name.startswith("network.")
            }
        )
        joined = arrays["ids"].tobytes()
        model = ItemModel(
            network=network.eval(),
            neighbours={
                kind: Neighbours(*(arrays[f"{kind}.{column.name}"] for column in fields(Neighbours))) for kind in KINDS
            },
            columns=ItemColumns(*(arrays[f"columns.{column.name}"] for column in fields(ItemColumns))),
            item_ids=tuple(joined[start:end].decode() for start, end in zip([0, *ends], ends, strict=False)),
            counts=arrays["counts"],
            exposures=arrays["exposures"],
        )
    except (safetensors.SafetensorError, KeyError, ValueError, RuntimeError, msgspec.DecodeError):
        raise CheckpointError(_DAMAGED) from None
    if not _is_whole(model):
        raise CheckpointError(_DAMAGED)
    return model


def _is_whole(model: ItemModel) -> bool:
    items = len(model.item_ids)
    return (
        len(model.columns) == items
        and model.counts.shape == (1 + len(GOALS), items)
        and model.exposures.shape == (items + 1,)
        and all(
            len(each) == items and (not len(each.items) or 0 <= each.items.min() <= each.items.max() < items)
            for each in model.neighbours.values()
        )
        and all(bool(torch.isfinite(weight).all()) for weight in model.network.state_dict().values())
    )
