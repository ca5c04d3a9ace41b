"""From a file to numbered lines, whatever it is packed in, in bounded memory."""

import codecs
import io
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, Final

from model.formats.columnar import columnar_format, read_columns
from model.formats.containers import DamageError, text_of
from model.formats.json_objects import holds_no_lines, objects_in
from model.formats.repeated_keys import repeated_key
from model.formats.rows import MAX_LINE_BYTES, Line
from service.errors import FormatError

_LINES_BETWEEN_REPORTS: Final = 1000
_HEAD: Final = 1 << 16


@dataclass
class Reading:
    """What reading files says beside their rows."""

    on_bytes: Callable[[int], None] | None = None
    """Is told now and then how many bytes of the (packed) file have been read."""
    blank_lines: int = 0
    """Lines that hold nothing, which are no rows."""
    looks_at_keys: bool = False
    """Whether to look for keys that stand twice in one object; costs a second reading of each line."""
    repeated_keys: Counter[str] = field(default_factory=Counter)
    """Lines by such a key."""
    notes: list[str] = field(default_factory=list)
    """What is odd about files that were read all the same."""


def read_lines(path: Path, reading: Reading | None = None) -> Iterator[Line]:
    """Yield a file's lines without their ends, except blank ones; objects of a JSON array, rows of a Parquet file.

    A line longer than MAX_LINE_BYTES is cut one byte above it, so that a file without line ends fits in memory.
    Raises FormatError if the file cannot be read to its end.
    """
    reading, number = reading or Reading(), 0
    try:
        with path.open("rb") as file:
            for number, content in _numbered(path, file, reading):
                if content and not content.isspace():
                    if reading.looks_at_keys and (key := repeated_key(content)) is not None:
                        reading.repeated_keys[key] += 1
                    yield number, content
                else:
                    reading.blank_lines += 1
    except DamageError as failure:
        raise FormatError(f"{path} is damaged after line {number}: {failure}; fetch it again") from None
    except OSError as failure:
        raise FormatError(f"{path} cannot be read: {(failure.strerror or str(failure)).lower()}") from None
    if number == 0:
        raise FormatError(f"{path} is empty: there is nothing to read")


def _numbered(path: Path, file: io.BufferedReader, reading: Reading) -> Iterator[Line]:
    report = reading.on_bytes if file.seekable() else None  # a pipe does not know how far it has been read
    try:
        columnar = columnar_format(file.peek(8))
        if columnar is not None:
            size = path.stat().st_size
            yield from read_columns(path, columnar, lambda share: report(int(share * size)) if report else None)
            return
        text = text_of(file, lambda note: reading.notes.append(f"{path.name}: {note}"))
        lines = objects_in(text) if holds_no_lines(text.peek(_HEAD)) else enumerate(_contents(text), start=1)
        for count, line in enumerate(lines, start=1):
            if report is not None and count % _LINES_BETWEEN_REPORTS == 0:
                report(file.tell())
            yield line
    except FormatError as failure:
        raise FormatError(f"{path} {failure}") from None


def _contents(file: BinaryIO) -> Iterator[bytes]:
    """Yield each line without its end; of one that is too long, its first MAX_LINE_BYTES + 1 bytes."""
    for line in iter(lambda: file.readline(MAX_LINE_BYTES + 1), b""):
        yield line.rstrip(b"\r\n").removeprefix(codecs.BOM_UTF8)  # also where files were joined
        rest = line
        while len(rest) == MAX_LINE_BYTES + 1 and not rest.endswith(b"\n"):
            rest = file.readline(MAX_LINE_BYTES + 1)
