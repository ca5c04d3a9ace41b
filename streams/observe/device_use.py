"""How busy the device that scores is: by NVIDIA's own account, or this process's share of the cores."""

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final, NamedTuple

import torch

_PAGE_BYTES: Final = os.sysconf("SC_PAGE_SIZE")


class Use(NamedTuple):
    """What a device does now; None where nobody can say."""

    device: str
    utilisation: float | None
    """0 to 1"""
    memory_bytes: int | None


class CpuUse:
    """This process: its share of the cores that it may use since the last reading, and its resident memory."""

    def __init__(
        self, clock: Callable[[], float] = time.monotonic, busy: Callable[[], float] = time.process_time
    ) -> None:
        self._clock = clock
        self._busy = busy
        self._last = clock(), busy()

    def read(self) -> Use:
        now = self._clock(), self._busy()
        elapsed, busy = now[0] - self._last[0], now[1] - self._last[1]
        self._last = now
        return Use("cpu", busy / elapsed / _cores() if elapsed > 0 else 0.0, _resident_bytes())


class CudaUse:
    """A GPU, whoever uses it; its utilisation needs NVIDIA's management library (the extra `cuda`)."""

    def __init__(self, device: torch.device) -> None:
        self._device = device

    def read(self) -> Use:
        return Use(str(self._device), self._utilisation(), self._memory_bytes())

    def _utilisation(self) -> float | None:
        try:
            return torch.cuda.utilization(self._device) / 100
        except (RuntimeError, ModuleNotFoundError, OSError):
            return None

    def _memory_bytes(self) -> int | None:
        try:
            free, total = torch.cuda.mem_get_info(self._device)
        except RuntimeError:
            return None
        return int(total - free)


def device_use(device: torch.device) -> CpuUse | CudaUse:
    """Return what reads the use of a device."""
    return CudaUse(device) if device.type == "cuda" else CpuUse()


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _resident_bytes() -> int | None:
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * _PAGE_BYTES
    except (OSError, IndexError, ValueError):  # no Linux
        return None
