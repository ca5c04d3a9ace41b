"""One process at a time changes a checkpoint directory."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from service.errors import OutputError, UsageError


@contextmanager
def sole_writer(directory: Path) -> Iterator[None]:
    """Keep other writers of a directory out while inside; a process that dies leaves no lock behind.

    Raises UsageError if nothing can be written beside it, OutputError if another process is at it.
    """
    path = directory.with_name(f".{directory.name}.retrain.lock")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = path.open("a")
    except OSError as failure:
        raise UsageError(f"no checkpoint can be written to {directory}: {(failure.strerror or '').lower()}") from None
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise OutputError(f"another retraining of {directory} is under way: let it end, or stop it") from None
        except OSError as failure:  # file systems without locks
            raise OutputError(f"{path} cannot be locked: {(failure.strerror or '').lower()}") from None
        yield
