"""Progress bars on stderr, so that stdout stays clean for results."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

Advance = Callable[[float, str], None]
"""Takes how much of the total is done, and a few words beside the bar."""


@contextmanager
def progress_bar(title: str, total: float, *, visible: bool = True) -> Iterator[Advance]:
    """Show a bar with the time left; it stays in view when the work is done."""
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        Progress,
        TaskProgressColumn,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TextColumn("{task.fields[words]}"),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        disable=not visible,
    )
    with bar:
        task = bar.add_task(title, total=max(total, 1), words="")
        yield lambda done, words: bar.update(task, completed=done, words=words)
