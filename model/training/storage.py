"""Storage of arrays that may not fit into memory: in memory up to a limit, beyond it in a memory-mapped temporary file.

The file is unlinked when it is created, so nothing is left behind however the process ends. Its pages belong to the
system's page cache: those not used lately cost no memory.
"""

import mmap
import os
import tempfile
import weakref
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from service.errors import TrainingError

DEFAULT_LIMIT_BYTES: Final = 2048 * 2**20

_SEGMENT_BYTES: Final = 16 * 2**20  # a multiple of every system's allocation granularity
_ALIGNMENT_BYTES: Final = 64
_MAPPED_AROUND_BYTES: Final = 64 * 2**10  # what Linux maps when one byte is read
_HELD_BYTES: Final = 128 * 2**20
"""Mapped pages that may stay resident after use; more are given back at once, not when the system is short."""


class Storage:
    """Hands out arrays; those beyond `limit_bytes` are mapped from one temporary file in `directory`.

    Raises TrainingError if the directory cannot hold them. The file is gone when the last of its arrays is.
    """

    def __init__(self, limit_bytes: int = DEFAULT_LIMIT_BYTES, directory: Path | None = None) -> None:
        self._room_bytes = limit_bytes
        self._directory = Path(tempfile.gettempdir()) if directory is None else directory
        self._file: int | None = None
        self._segments: list[mmap.mmap] = []
        self._left_in_segment = 0
        self._touched_bytes = 0

    @property
    def on_disk_bytes(self) -> int:
        return sum(len(segment) for segment in self._segments)

    def empty(self, shape: tuple[int, ...], dtype: npt.DTypeLike) -> npt.NDArray[Any]:
        """Return an uninitialised array."""
        size_bytes = int(np.prod(shape, dtype=np.int64)) * np.dtype(dtype).itemsize
        if size_bytes <= self._room_bytes:
            self._room_bytes -= size_bytes
            return np.empty(shape, dtype)
        return self._mapped(size_bytes).view(dtype).reshape(shape)

    def keep(self, array: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Return the array, moved to the file if memory has no room for it."""
        kept = self.empty(array.shape, array.dtype)
        kept[...] = array
        self.used(array.nbytes)
        return kept

    def used(self, size_bytes: int, places: int = 0) -> None:
        """Count bytes read from or written to the arrays, in `places` separate places.

        Now and then their pages are released.
        """
        self._touched_bytes += size_bytes + places * _MAPPED_AROUND_BYTES
        if self._touched_bytes > _HELD_BYTES:
            self._touched_bytes = 0
            for segment in self._segments:
                segment.madvise(mmap.MADV_DONTNEED)

    def _mapped(self, size_bytes: int) -> npt.NDArray[np.uint8]:
        aligned = -(-size_bytes // _ALIGNMENT_BYTES) * _ALIGNMENT_BYTES
        if aligned > self._left_in_segment:
            self._grow(max(aligned, self.on_disk_bytes // 4))  # each is a file descriptor: few, however much there is
        segment = self._segments[-1]
        start = len(segment) - self._left_in_segment
        self._left_in_segment -= aligned
        return np.frombuffer(segment, np.uint8, size_bytes, start)

    def _grow(self, least_bytes: int) -> None:
        before, more_bytes = self.on_disk_bytes, -(-least_bytes // _SEGMENT_BYTES) * _SEGMENT_BYTES
        try:
            if self._file is None:
                self._file = _nameless_file(self._directory)
                weakref.finalize(self, os.close, self._file)
            _reserve(self._file, before, more_bytes)
        except OSError as failure:
            raise TrainingError(
                f"{self._directory} cannot hold another {more_bytes / 2**20:,.0f} MB of history "
                f"({(failure.strerror or str(failure)).lower()}): name another --work-dir or raise --memory-limit-mb"
            ) from None
        self._segments.append(mmap.mmap(self._file, more_bytes, offset=before))
        self._left_in_segment = more_bytes


def _nameless_file(directory: Path) -> int:
    file, name = tempfile.mkstemp(dir=directory)
    Path(name).unlink()
    return file


def _reserve(file: int, start: int, size_bytes: int) -> None:
    """Make the file longer; where the system can, with its blocks: a full disk is an error here, not a signal later."""
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(file, start, size_bytes)
    else:
        os.truncate(file, start + size_bytes)
