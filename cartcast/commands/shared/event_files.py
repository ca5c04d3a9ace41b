"""Several event files read one after the other, with one measure of progress."""

import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from cartcast.commands.shared.options import MAPPING_SUFFIXES
from model.events import Event
from model.formats import Reading, guess_format, read_events
from model.shop import NO_SHOP, Shop
from model.validate import BadRow
from service.errors import FormatError, UsageError

if TYPE_CHECKING:
    from model.formats.json_rows import JsonFormat

Rows = Iterator[Event | BadRow]


class EventFiles:
    """Files of one format; a missing one raises FormatError before any is read, and so does an unclear format."""

    def __init__(self, files: Sequence[Path], format_name: str | None, *, strict: bool, shop: Shop = NO_SHOP) -> None:
        self._sizes = {file: _size_bytes(file) for file in files}
        self._files = files
        self.format_name = format_name or _guessed(files)
        self.mapping = read_mapping(Path(self.format_name)) if self.format_name.endswith(MAPPING_SUFFIXES) else None
        """The format that a mapping file defines."""
        self._strict = strict
        self.shop = shop
        """What events are read with."""
        self.reading = Reading()
        """What reading the files says beside their rows."""

    @property
    def total_bytes(self) -> int:
        return sum(self._sizes[file] for file in self._files)

    def each(self, on_bytes: Callable[[int], None]) -> Iterator[tuple[str, Rows]]:
        """Yield each file's name and rows; `on_bytes` is told how many bytes of all files have been read."""
        done_bytes = 0
        for file in self._files:
            self.reading.on_bytes = lambda read_bytes, before=done_bytes: on_bytes(before + read_bytes)
            yield (
                file.name,
                read_events(
                    file,
                    self.format_name,
                    strict=self._strict,
                    shop=self.shop,
                    reading=self.reading,
                    read=self.mapping.read_rows if self.mapping else None,
                ),
            )
            done_bytes += self._sizes[file]
            on_bytes(done_bytes)

    def rows(self, on_bytes: Callable[[int], None]) -> Rows:
        """Yield the rows of all files."""
        for _, rows in self.each(on_bytes):
            yield from rows


def read_mapping(path: Path) -> "JsonFormat":
    """Return the format that a mapping file defines; raises UsageError with the place of a fault."""
    from cartcast.settings.sources import read_yaml
    from model.formats.mapping import definition_of, format_of

    tree = read_yaml(path, "mapping", "--format")
    try:
        return format_of(definition_of(tree))
    except UsageError as failure:
        raise UsageError(f"{path}: {failure}") from None


def _size_bytes(file: Path) -> int:
    try:
        return file.stat().st_size
    except OSError as failure:
        raise FormatError(f"{file} cannot be read: {(failure.strerror or '').lower()}") from None


def _guessed(files: Sequence[Path]) -> str:
    """Return the format that the first lines of all files are of, and say so on stderr; raises FormatError."""
    found = dict[str, str]()
    for file in files:
        if file.is_dir():
            raise FormatError(f"{file} is a directory: name the files in it")
        if not file.is_file():
            raise FormatError(f"{file} is no file that can be read twice: give --format")
        name, why = guess_format(file)
        found.setdefault(name, f"{file.name}: {why}")
    if len(found) > 1:
        raise FormatError(f"the files look like formats {' and '.join(found)}: read those of one at a time")
    ((name, why),) = found.items()
    print(f"read as --format {name} ({why})", file=sys.stderr)
    return name
