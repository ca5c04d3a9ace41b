"""Places for the processes of a soak, and partitions that were added to its topics."""

import signal
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from service.partitioner import partition_of
from tests.harness.pipeline import WorkerProcess
from tests.harness.sink_process import SinkProcess

RESTART_SECONDS = 1.0
Running = WorkerProcess | SinkProcess


@dataclass
class Slot:
    """A place for one process, which is filled again when the process ends by itself, as Kubernetes does."""

    name: str
    start: Callable[[str], Running]
    wanted: bool = True
    frozen: bool = False
    running: Running | None = None
    ended: list[int] = field(default_factory=list)
    """Exit statuses of those that ended by themselves."""
    _again_at: float = 0.0

    @property
    def is_up(self) -> bool:
        return self.running is not None and self.running.process.poll() is None

    def supervise(self) -> None:
        if self.running is not None and (status := self.running.process.poll()) is not None:
            self.running, self._again_at = None, time.monotonic() + RESTART_SECONDS
            self.ended.append(status)
        if self.wanted and self.running is None and time.monotonic() > self._again_at:
            self.running = self.start(self.name)

    def kill(self) -> None:
        """SIGKILL; it is started again if it is still wanted."""
        if self.running is not None:
            self.running.kill()
            self.running, self.frozen = None, False
            self._again_at = time.monotonic() + RESTART_SECONDS

    def stop(self) -> bool:
        """SIGTERM, and wait for its end; whether it has drained what it had begun."""
        self.terminate()
        return self.drained()

    def terminate(self) -> None:
        """SIGTERM; another one would kill a process that has drained and is about to end."""
        if self.running is not None:
            self.thaw()
            self.running.process.send_signal(signal.SIGTERM)

    def drained(self) -> bool:
        """Wait for the end after a SIGTERM; whether it has drained what it had begun."""
        if self.running is None:
            return True
        status = self.running.process.wait()
        self.running.kill()  # closes its files
        self.running = None
        return status in {0, -signal.SIGTERM}  # who has no handler yet, or no more, has begun nothing

    def freeze(self) -> None:
        if self.is_up:
            self.running.process.send_signal(signal.SIGSTOP)
            self.frozen = True

    def thaw(self) -> None:
        if self.running is not None and self.frozen:
            self.running.process.send_signal(signal.SIGCONT)
        self.frozen = False


@dataclass(frozen=True)
class Growth:
    """Partitions that were added."""

    before: int
    now: int
    committed: dict[int, int]
    """Of the workers' group, when it happened."""

    def moves(self, partition: int, key: bytes) -> bool:
        """Whether the state of an id was in this partition, and is no more."""
        return partition_of(key, self.before) == partition != partition_of(key, self.now)
