"""Level correction: a small shift of each horizon's logit, found from what came of earlier scores.

The share of events that a purchase follows moves from day to day, while the order of shoppers stays. `level.json`, in a
checkpoint's directory, says by how much logits are shifted, and for events from when on. So a score still follows from
its shopper's events and that directory, whether it is made live, offline or again. Without the file nothing is shifted.

A change of the prior alone is a shift of the log-odds: Saerens, Latinne and Decaestecker, "Adjusting the outputs of a
classifier to new a priori probabilities" (2002).
"""

import os
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final, Self

import msgspec
import numpy as np
import numpy.typing as npt

from model.arrays import Booleans, Floats, Integers
from model.horizons import HORIZONS
from model.shop import NO_SHOP, Shop
from service.errors import CheckpointError

LEVEL_FILE: Final = "level.json"
LARGEST_SHIFT: Final = 0.5
"""No logit is shifted by more: odds change by a factor of 1.65 at most."""
USUAL_SHIFT: Final = 0.2
"""How far levels usually move: the standard deviation of the prior towards which a shift is shrunk."""
CANDIDATE_SHIFTS: Final = np.linspace(-LARGEST_SHIFT, LARGEST_SHIFT, 21)
"""The shifts for which expected purchases are summed; between them they are interpolated."""
_DECIMALS: Final = 2
_NO_SHIFT: Final = len(CANDIDATE_SHIFTS) // 2

Shifts = npt.NDArray[np.float32]
Milliseconds = Annotated[int, msgspec.Meta(ge=0)]


class Level(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The shifts of events that happen from a time on, until the next level begins."""

    from_ms: Milliseconds
    shifts: dict[str, Annotated[float, msgspec.Meta(ge=-LARGEST_SHIFT, le=LARGEST_SHIFT)]]
    """By horizon, of the standard ones; one that is not named is not shifted."""


class LevelFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What `level.json` holds: every level that this model has had, the earliest first."""

    model: str
    levels: tuple[Level, ...]


@dataclass(frozen=True, slots=True)
class Levels:
    """The levels of a model with certain horizons."""

    horizons: tuple[str, ...]
    starts_ms: Integers
    """Where each level begins `(levels,)`, ascending."""
    shifts: Shifts
    """`(1 + levels, horizons)`: nothing before the first level, then each one's."""
    shop: Shop = NO_SHOP

    @classmethod
    def of(cls, levels: Sequence[Level], horizons: tuple[str, ...], shop: Shop = NO_SHOP) -> Self:
        rows = [[level.shifts.get(horizon, 0.0) for horizon in horizons] for level in levels]
        starts_ms = np.array([level.from_ms for level in levels], np.int64)
        return cls(horizons, starts_ms, np.array([[0.0] * len(horizons), *rows], np.float32), shop)

    def __bool__(self) -> bool:
        return len(self.starts_ms) > 0

    def at(self, times_ms: Integers) -> Shifts:
        """Return the shifts of events `(events, horizons)` that happened at these times."""
        return self.shifts[np.searchsorted(self.starts_ms, times_ms, side="right")]

    @property
    def field_names(self) -> list[str]:
        """The fields of a score that say by how much each propensity was shifted; none without a level."""
        return [name for name in map(shift_field, self.horizons) if name in SHIFT_FIELDS] if self else []

    def fields(self, times_ms: Integers) -> dict[str, list[float]]:
        """Return the columns of `field_names`."""
        shifts = self.at(times_ms).astype(np.float64).round(_DECIMALS)
        columns = {shift_field(name): shifts[:, place].tolist() for place, name in enumerate(self.horizons)}
        return {name: columns[name] for name in self.field_names}


def shift_field(horizon: str) -> str:
    """Return the name under which a score says by how much a horizon's logit was shifted."""
    return f"shift_{horizon}"


SHIFT_FIELDS: Final = tuple(map(shift_field, HORIZONS))
"""ClickHouse tells what came of these horizons alone, so no other one is shifted."""
NO_LEVELS: Final = Levels.of((), ())


def shifted_propensities(propensities: npt.NDArray[np.float32], shifts: Shifts) -> npt.NDArray[np.float32]:
    """Return propensities whose log-odds are moved by shifts of the same shape; where they are 0, the same bits."""
    p, factor = propensities.astype(np.float64), np.exp(shifts.astype(np.float64))
    moved: Shifts = (p * factor / (1 + p * (factor - 1))).astype(np.float32)
    return moved


def read_levels(directory: Path, version: str, horizons: tuple[str, ...], shop: Shop = NO_SHOP) -> Levels:
    """Return the levels of the checkpoint of that version in a directory, none without a file.

    Raises CheckpointError with one line if the file is damaged, or another model's.
    """
    levels = read_level_file(directory, version).levels
    return Levels.of(levels, horizons, shop)


def read_level_file(directory: Path, version: str) -> LevelFile:
    """Return what the file holds, no levels if there is none; raises as `read_levels` does."""
    path = directory / LEVEL_FILE
    try:
        found = msgspec.json.decode(path.read_bytes(), type=LevelFile)
    except FileNotFoundError:
        return LevelFile(version, ())
    except OSError as failure:
        raise CheckpointError(f"level file {path} cannot be read: {failure.strerror}") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as failure:
        raise CheckpointError(f"level file {path} is damaged: {failure}; delete it to shift nothing") from None
    if found.model != version:
        raise CheckpointError(f"level file {path} is of model {found.model}, not of {version}: delete it")
    starts = [level.from_ms for level in found.levels]
    if starts != sorted(set(starts)):
        raise CheckpointError(f"level file {path} is damaged: its levels are not in order; delete it to shift nothing")
    return found


def write_level_file(directory: Path, file: LevelFile) -> None:
    """Put the file in place at once; raises CheckpointError."""
    path = directory / LEVEL_FILE
    try:
        with tempfile.NamedTemporaryFile(dir=directory, prefix=f".{LEVEL_FILE}-", delete=False) as new:
            new.write(msgspec.json.format(msgspec.json.encode(file), indent=2) + b"\n")
        os.chmod(new.name, 0o644)  # others than who writes it serve it  # noqa: PTH101
        Path(new.name).replace(path)
    except OSError as failure:
        raise CheckpointError(f"level file {path} cannot be written: {failure.strerror}") from None


@dataclass(frozen=True, slots=True)
class Outcomes:
    """What came of some scores at one horizon."""

    scores: int
    purchases: float
    """How many of them a purchase followed."""
    expected: Floats
    """How many are by the propensities without any shift, moved by each of CANDIDATE_SHIFTS `(shifts,)`."""
    error: float
    """Standard error of purchases less those expected without a shift: events of one shopper count as one draw."""

    @classmethod
    def of(cls, logits: Floats, bought: Booleans, shoppers: Integers) -> Self:
        """Sum up events `(events,)`; `shoppers` are numbers from 0."""
        by_shift = 1 / (1 + np.exp(-(logits[:, None] + CANDIDATE_SHIFTS)))
        missed = np.bincount(shoppers, bought - by_shift[:, _NO_SHIFT])
        return cls(len(logits), float(bought.sum()), by_shift.sum(axis=0), float(np.sqrt((missed**2).sum())))

    @property
    def expected_purchases(self) -> float:
        """How many purchases the model itself expected."""
        return float(self.expected[_NO_SHIFT])

    @property
    def is_enough(self) -> bool:
        """Whether there is anything to judge by: scores, and shoppers who did what was not expected of them."""
        return self.scores > 0 and self.error > 0

    @property
    def standard_error(self) -> float:
        """The standard error of the shift that fits."""
        step = CANDIDATE_SHIFTS[1] - CANDIDATE_SHIFTS[0]
        slope = (self.expected[_NO_SHIFT + 1] - self.expected[_NO_SHIFT - 1]) / (2 * step)
        return float(self.error / slope) if slope > 0 else float("inf")

    @property
    def fitting_shift(self) -> float:
        """The shift with which as many purchases are expected as came, LARGEST_SHIFT at most."""
        return float(np.interp(self.purchases, self.expected, CANDIDATE_SHIFTS)) if self.scores else 0.0

    @property
    def shift(self) -> float:
        """The fitting shift, shrunk by its standard error, two decimals.

        The mean of a normal prior of deviation USUAL_SHIFT and what was seen: a few scores shift nothing.
        """
        if not self.is_enough:
            return 0.0
        trust = USUAL_SHIFT**2 / (USUAL_SHIFT**2 + self.standard_error**2)
        return round(self.fitting_shift * trust, _DECIMALS) + 0.0


def next_level(file: LevelFile, outcomes: Mapping[str, Outcomes], from_ms: int) -> LevelFile:
    """Return the file with the level that the outcomes by horizon ask for from a time on, if it is another one.

    What begins later than that is replaced: no event has been scored with it.
    """
    kept = tuple(level for level in file.levels if level.from_ms < from_ms)
    shifts = {horizon: found.shift for horizon, found in outcomes.items()}
    now = kept[-1].shifts if kept else dict.fromkeys(shifts, 0.0)
    return LevelFile(file.model, kept if shifts == now else (*kept, Level(from_ms, shifts)))
