"""The level by which a worker shifts its model's logits, from a file in the checkpoint's directory (`model.level`)."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np

from model.checkpoint import Checkpoint
from model.level import LEVEL_FILE, Levels, read_levels
from service.errors import CheckpointError
from streams.watched_file import WatchedFile


class LevelWatch(WatchedFile[Levels]):
    """The levels in force: those of the file in a checkpoint's directory, as it was last in order."""

    def __init__(self, directory: Path | None, checkpoint: Checkpoint, clock_ms: Callable[[], int]) -> None:
        """Read the file, if there is one; raises CheckpointError.

        Nothing is looked for without a directory: the model that ships has no level.
        """
        self._checkpoint = checkpoint
        self._clock_ms = clock_ms
        path = None if directory is None else directory / LEVEL_FILE
        begin = (lambda: checkpoint.levels) if path is None else partial(self._levels, path)
        super().__init__(path, self._changed, begin, what="levels")

    def now(self) -> dict[str, float]:
        """Return the shifts of an event of this moment, by horizon; none without a level."""
        fields = self.content.fields(np.array([self._clock_ms()]))
        return {name.removeprefix("shift_"): shifts[0] for name, shifts in fields.items()}

    def described(self) -> dict[str, object]:
        """Say how many there are, and by how much the last shifts, in force or soon."""
        if not (levels := self.content):
            return {}
        last = dict(zip(levels.horizons, levels.shifts[-1].tolist(), strict=True))
        return {"count": len(levels.starts_ms), "from_ms": int(levels.starts_ms[-1]), "shifts": last}

    def _levels(self, path: Path) -> Levels:
        config = self._checkpoint.model.config
        return read_levels(path.parent, self._checkpoint.version, config.horizons, config.shop)

    def _changed(self, path: Path) -> Levels:
        """Return what the file holds now; raises CheckpointError, also if it is gone: with it a checkpoint may be."""
        if not path.exists():
            raise CheckpointError(f"level file {path} is gone: what it said holds until the worker is restarted")
        return self._levels(path)
