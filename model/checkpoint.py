"""A checkpoint directory: weights, configuration, calibration and metrics of one trained model.

checkpoint.json     version, layout of the sequence state, network shape, calibration, how it was trained
weights.safetensors
earlier.safetensors the same recipe before the test part, which it was measured on
categories.json     with the head purchase_category: the names of the buckets
items.safetensors   of a model that recommends items: the next-item model
level.json          by how much its logits are shifted, and since when; `cartcast level` writes it
metrics.json        metrics of validation and test
card.md             the model card
"""

import ctypes
import errno
import hashlib
import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import msgspec
import safetensors
import safetensors.torch
import torch
import xxhash

from model.card import model_card
from model.core.features import NUMERIC_FEATURES
from model.heads import CATEGORY_CODES, PURCHASE_CATEGORY, HeadNames
from model.horizons import check_horizons
from model.items.files import from_bytes, to_bytes
from model.items.ranker import ItemModel
from model.layouts import SEQUENCES
from model.level import NO_LEVELS, Levels, read_levels
from model.lstm import LSTMConfig, PropensityLSTM
from model.sequence import LAYOUT
from model.states import StateCodec
from service.errors import CheckpointError

DEFAULT_CHECKPOINT: Final = Path(__file__).parent / "checkpoints" / "default"
"""The small model that ships with Cartcast, trained on simulated shoppers."""

_DESCRIPTION: Final = "checkpoint.json"
_WEIGHTS: Final = "weights.safetensors"
_EARLIER: Final = "earlier.safetensors"
_METRICS: Final = "metrics.json"
_CATEGORIES: Final = "categories.json"
_ITEMS: Final = "items.safetensors"
_CARD: Final = "card.md"


class Calibration(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Per horizon: calibrated logit = slope * logit + intercept (Platt, 1999)."""

    slopes: tuple[float, ...]
    intercepts: tuple[float, ...]

    @classmethod
    def identity(cls, horizons: int) -> "Calibration":
        return cls((1.0,) * horizons, (0.0,) * horizons)


class _Description(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    version: str
    layout: int
    lstm: LSTMConfig
    calibration: Calibration
    training: dict[str, Any] = {}


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A loaded model and what belongs to it."""

    version: str
    model: PropensityLSTM
    calibration: Calibration
    metrics: dict[str, Any]
    training: dict[str, Any]
    earlier: PropensityLSTM | None = None
    """The same recipe before the test part, which it was measured on; None if there is none."""
    category_names: Mapping[int, str] = field(default_factory=dict)
    """By bucket, for the head that predicts a category; a bucket without a known category is missing."""
    items: ItemModel | None = None
    """What recommends items; None in a model that only scores."""
    levels: Levels = NO_LEVELS
    """By how much logits are shifted; not saved with the checkpoint."""

    @property
    def head_names(self) -> HeadNames:
        """What the extra heads' fields in a score are called, and their classes."""
        config, shop = self.model.config, self.model.config.shop
        return HeadNames(config.heads, self.category_names, shop.money is not None, shop.event_types)

    @property
    def code(self) -> int:
        """The hash that identifies the model in a sequence state; never 0."""
        return xxhash.xxh32_intdigest(self.version.encode()) or 1

    @property
    def codec(self) -> StateCodec:
        """What reads and writes states for this model."""
        config = self.model.config
        return StateCodec(
            config.carried_floats,
            self.code,
            len(config.horizons),
            config.shop,
            has_item_ends=self.items is not None,
        )


def save_checkpoint(  # noqa: PLR0913 - a checkpoint consists of this
    directory: Path,
    model: PropensityLSTM,
    *,
    calibration: Calibration,
    metrics: dict[str, Any],
    training: dict[str, Any],
    earlier: PropensityLSTM | None = None,
    category_names: Mapping[int, str] | None = None,
    items: ItemModel | None = None,
    replaced: Path | None = None,
) -> str:
    """Write a checkpoint atomically and return its version: the network's size and the weights' hash.

    An earlier checkpoint at `directory` is replaced; anything else there is a CheckpointError. The replaced one is kept
    at `replaced`, beside `directory`, in place of what was kept there before; without such a path it is deleted.
    """
    if directory.exists() and not _is_ours_or_empty(directory):
        raise CheckpointError(f"{directory} exists and is no checkpoint: name another directory")
    weights, of_items = _weights_of(model), b"" if items is None else to_bytes(items)
    fingerprint = hashlib.sha256(weights + msgspec.json.encode(calibration) + of_items).hexdigest()[:8]
    version = f"lstm{model.config.hidden_size}-{fingerprint}"
    description = _Description(version, LAYOUT, model.config, calibration, training)
    platt = zip(calibration.slopes, calibration.intercepts, strict=True)
    card = model_card(version, model.config, platt, training, metrics)
    files = {
        _WEIGHTS: weights,
        _DESCRIPTION: _pretty(description),
        _METRICS: _pretty(metrics),
        _CARD: card.encode(),
    }
    if earlier is not None:
        files[_EARLIER] = _weights_of(earlier)
    if PURCHASE_CATEGORY in model.config.heads:
        files[_CATEGORIES] = _pretty(dict(category_names or {}))
    if items is not None:
        files[_ITEMS] = of_items
    try:
        _put_in_place(directory, files, replaced)
    except OSError as failure:
        raise CheckpointError(f"checkpoint {directory} cannot be written: {failure.strerror}") from None
    return version


def _weights_of(model: PropensityLSTM) -> bytes:
    """Return the file of the weights; of the rates of categories, most of which never occurred, those that did."""
    weights = {name: weight.contiguous() for name, weight in model.state_dict().items()}
    rates = weights.pop("category_rates")
    codes = torch.cat((torch.zeros(1, dtype=torch.int64), (rates != rates[0]).any(dim=1).nonzero()[:, 0]))
    return safetensors.torch.save(weights | {"category_codes": codes.int(), "category_rates": rates[codes]})


def _is_ours_or_empty(directory: Path) -> bool:
    return directory.is_dir() and ((directory / _DESCRIPTION).is_file() or not any(directory.iterdir()))


def _put_in_place(directory: Path, files: dict[str, bytes], replaced: Path | None) -> None:
    """Write the files to a directory beside `directory`, then swap the two; a failure leaves `directory` as it was."""
    directory.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{directory.name}-", dir=directory.parent) as workplace:
        replacement = Path(workplace) / "new"
        replacement.mkdir()
        for name, content in files.items():
            (replacement / name).write_bytes(content)
        if _put(replacement, directory) and replaced is not None:
            _put(replacement, replaced)


def _put(directory: Path, place: Path) -> bool:
    """Move a directory to a place; returns whether one was there, which is then at `directory`."""
    is_taken = place.exists()
    if is_taken:
        _exchange(directory, place)
    else:
        directory.rename(place)
    return is_taken


_AT_FDCWD: Final = -100
_RENAME_EXCHANGE: Final = 2


def _exchange(one: Path, other: Path) -> None:
    """Swap two directories: at once where the file system can (renameat2(2)), else within a moment without `other`."""
    rename = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if rename is not None:
        paths = os.fsencode(one), os.fsencode(other)
        if rename(_AT_FDCWD, paths[0], _AT_FDCWD, paths[1], _RENAME_EXCHANGE) == 0:
            return
        if (failure := ctypes.get_errno()) not in {errno.EINVAL, errno.ENOSYS}:  # which NFS, old kernels answer
            raise OSError(failure, os.strerror(failure))
    aside = one.with_name("old")
    other.rename(aside)
    try:
        one.rename(other)
    except OSError:
        aside.rename(other)
        raise
    aside.rename(one)


def load_checkpoint(directory: Path) -> Checkpoint:
    """Read a checkpoint onto the CPU; raises CheckpointError with one line that says what is wrong with it."""
    while True:
        description = _read(directory / _DESCRIPTION, _Description)
        loaded = _load(directory, description)
        if _read(directory / _DESCRIPTION, _Description).version == description.version:
            return loaded
        # Another was put in its place meanwhile: the files may be of both.


def _load(directory: Path, description: _Description) -> Checkpoint:
    if description.layout not in SEQUENCES:
        raise CheckpointError(
            f"checkpoint {directory} is for sequence layout {description.layout}, this version reads {LAYOUT}: "
            "train it again with this version"
        )
    if description.lstm.numeric_features != NUMERIC_FEATURES:
        raise CheckpointError(
            f"checkpoint {directory} was trained on other features than this version computes: train it again"
        )
    try:
        check_horizons(description.lstm.horizons, description.lstm.shop.goals)
    except ValueError as failure:
        raise CheckpointError(f"checkpoint {directory} is damaged: {failure}") from None
    calibration = description.calibration
    if {len(calibration.slopes), len(calibration.intercepts)} != {len(description.lstm.horizons)}:
        raise CheckpointError(f"checkpoint {directory} is not calibrated for each of its horizons: train it again")
    earlier, items = directory / _EARLIER, directory / _ITEMS
    has_categories = PURCHASE_CATEGORY in description.lstm.heads
    return Checkpoint(
        version=description.version,
        model=_load_model(directory / _WEIGHTS, description.lstm),
        calibration=calibration,
        metrics=_read(directory / _METRICS, dict[str, Any]),
        training=description.training,
        earlier=_load_model(earlier, description.lstm) if earlier.exists() else None,
        category_names=_read(directory / _CATEGORIES, dict[int, str]) if has_categories else {},
        items=_load_items(items) if items.exists() else None,
        levels=read_levels(directory, description.version, description.lstm.horizons, description.lstm.shop),
    )


def _load_items(path: Path) -> ItemModel:
    try:
        return from_bytes(path.read_bytes())
    except OSError as failure:
        raise CheckpointError(f"checkpoint file {path} cannot be read: {failure.strerror}") from None
    except CheckpointError as failure:
        raise CheckpointError(f"checkpoint file {path} {failure}") from None


def _load_model(path: Path, config: LSTMConfig) -> PropensityLSTM:
    model = PropensityLSTM(config)
    try:
        weights = safetensors.torch.load(path.read_bytes())
        codes, rates = weights.pop("category_codes").long(), weights["category_rates"]
        weights["category_rates"] = rates[:1].repeat(CATEGORY_CODES, 1).index_put((codes,), rates)
        model.load_state_dict(weights)
    except OSError as failure:
        raise CheckpointError(f"checkpoint file {path} cannot be read: {failure.strerror}") from None
    except safetensors.SafetensorError as failure:
        raise CheckpointError(f"checkpoint file {path} is damaged: {failure}") from None
    except (KeyError, IndexError, RuntimeError):
        raise CheckpointError(
            f"checkpoint file {path} does not fit the network that {_DESCRIPTION} describes"
        ) from None
    if not all(torch.isfinite(weight).all() for weight in model.state_dict().values()):
        raise CheckpointError(f"checkpoint file {path} holds weights that are not finite numbers")
    return model.eval()


def _read(path: Path, kind: type[Any]) -> Any:  # noqa: ANN401 - the caller names the type
    try:
        return msgspec.json.decode(path.read_bytes(), type=kind)
    except OSError as failure:
        raise CheckpointError(
            f"checkpoint file {path} cannot be read: {failure.strerror}; name a directory that `cartcast train` wrote"
        ) from None
    except (msgspec.DecodeError, UnicodeDecodeError) as failure:
        raise CheckpointError(f"checkpoint file {path} is damaged: {failure}") from None


def _pretty(document: object) -> bytes:
    return msgspec.json.format(msgspec.json.encode(document), indent=2) + b"\n"
