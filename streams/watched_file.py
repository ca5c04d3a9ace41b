"""A file that the worker reads at the start and again when it changes; one that is broken then changes nothing."""

from collections.abc import Callable, Sequence
from pathlib import Path
from threading import Event, Thread
from typing import Final, Generic, TypeVar

import structlog

from service.errors import CartcastError

_LOOK_SECONDS: Final = 1.0
Content = TypeVar("Content")

_log: Final = structlog.get_logger()


class WatchedFile(Generic[Content]):
    """What a file said when it was last in order."""

    def __init__(
        self, path: Path | None, read: Callable[[Path], Content], begin: Callable[[], Content], *, what: str
    ) -> None:
        """Take what `begin` returns, or raise what it raises; `read` is called when the file has changed."""
        self._path = path
        self._read = read
        self._what = what
        self._seen = self._stamp()
        self.content = begin()
        self.is_current = True
        """Whether the file, as it is now, is in force."""
        self._stop = Event()
        self._thread = Thread(target=self._follow, name=what.replace(" ", "-"), daemon=True)

    def start(self) -> None:
        """Look for changes of the file until `stop`."""
        if self._path is not None:
            self._thread.start()

    def stop(self) -> None:
        """Look no more."""
        self._stop.set()

    def look(self) -> None:
        """Read the file if it has changed; if it is broken, say so once, and leave what was read before in force."""
        stamp = self._stamp()
        if self._path is None or stamp == self._seen:
            return
        self._seen = stamp
        try:
            self.content = self._read(self._path)
        except CartcastError as broken:
            self.is_current = False
            _log.error(f"the {self._what} of before stay in force", reason=str(broken))
        else:
            self.is_current = True
            _log.info(f"{self._what} are read", file=str(self._path), **self.described())

    def described(self) -> dict[str, object]:
        """Return what the log says of the content."""
        return {}

    def _follow(self) -> None:
        while not self._stop.wait(_LOOK_SECONDS):
            self.look()

    def _stamp(self) -> Sequence[int]:
        """Return what changes with the file; nothing if it cannot be looked at."""
        try:
            found = None if self._path is None else self._path.stat()
        except OSError:
            found = None
        return () if found is None else (found.st_mtime_ns, found.st_size, found.st_ino)
