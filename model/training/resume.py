"""The state from which an interrupted training resumes: one file per stage, replaced atomically after each epoch."""

import hashlib
import pickle
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, Protocol

import torch

from model.training.history import History
from service.errors import TrainingError

_PART: Final = ".part"
_FINGERPRINT: Final = "fingerprint"


class StateStore(Protocol):
    """Stores the state of training: a tree of tensors, numbers, strings, lists and dicts."""

    def load(self, stage: str) -> dict[str, Any] | None:
        """Return the stage's last state, or None."""
        ...

    def save(self, stage: str, state: Mapping[str, Any]) -> None:
        """Replace the stage's state."""
        ...


class NoStateStore:
    """Stores nothing: an interrupted training starts again."""

    def load(self, stage: str) -> dict[str, Any] | None:  # noqa: ARG002 - the protocol's signature
        return None

    def save(self, stage: str, state: Mapping[str, Any]) -> None:
        """Forget the state."""


class DirectoryStateStore:
    """Stores states in a directory, each with the fingerprint of its data and settings."""

    def __init__(self, directory: Path, fingerprint: str) -> None:
        self._directory = directory
        self._fingerprint = fingerprint

    def load(self, stage: str) -> dict[str, Any] | None:
        """Return the stage's last state; raises TrainingError if it belongs to other data or settings."""
        path = self._directory / stage
        if not path.exists():
            return None
        try:
            state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        except OSError as failure:
            raise TrainingError(f"{path} cannot be read ({failure.strerror}): start again without --resume") from None
        except (RuntimeError, EOFError, pickle.UnpicklingError):  # their text advises to load it without a check
            raise TrainingError(f"{path} is damaged: start again without --resume") from None
        if state.pop(_FINGERPRINT, None) != self._fingerprint:
            raise TrainingError(
                f"{self._directory} belongs to a training with other data, settings or versions: give the same ones, "
                "or start again without --resume"
            )
        return state

    def save(self, stage: str, state: Mapping[str, Any]) -> None:
        """Write the state to a new file, then replace the old one; raises TrainingError."""
        try:
            self._directory.mkdir(parents=True, exist_ok=True)
            part = self._directory / (stage + _PART)
            torch.save({**state, _FINGERPRINT: self._fingerprint}, part)
            part.replace(self._directory / stage)
        except OSError as failure:
            raise TrainingError(
                f"the state of training cannot be written to {self._directory} ({failure.strerror}): make room there"
            ) from None

    def exists(self) -> bool:
        """Whether any state is stored."""
        return self._directory.exists()

    def forget(self) -> None:
        """Delete the stored states."""
        shutil.rmtree(self._directory, ignore_errors=True)


def fingerprint(history: History, settings: object, config: object) -> str:
    """Return a hash of the data, the settings and torch's version."""
    parts = (history.digest(), repr(settings), repr(config), torch.__version__)
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()
