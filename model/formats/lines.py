"""From a file to numbered lines, plain or gzip, in bounded memory."""

import gzip
import io
import zlib
from collections.abc import Callable, Iterator
from itertools import chain
from pathlib import Path
from typing import BinaryIO, Final, cast

from model.formats.rows import MAX_LINE_BYTES, Line
from service.errors import FormatError

_GZIP_MAGIC: Final = b"\x1f\x8b"
_BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"
_LINES_BETWEEN_REPORTS: Final = 1000


def read_lines(
    path: Path, on_bytes: Callable[[int], None] | None = None, on_blank: Callable[[], None] | None = None
) -> Iterator[Line]:
    """Yield a file's lines without their ends; `on_blank` is called for blank ones instead.

    A line longer than MAX_LINE_BYTES is cut one byte above it, so that a file without line ends fits in memory.
    Raises FormatError if the file cannot be read to its end.
    """
    number = 0
    try:
        with path.open("rb") as file:
            report = on_bytes if file.seekable() else None  # a pipe does not know how far it has been read
            for number, content in enumerate(_contents(unpacked(file)), start=1):
                if report is not None and number % _LINES_BETWEEN_REPORTS == 0:
                    report(file.tell())
                if content and not content.isspace():
                    yield number, content
                elif on_blank is not None:
                    on_blank()
    except (EOFError, zlib.error, gzip.BadGzipFile) as failure:
        raise FormatError(f"{path} is damaged after line {number}: {_lower_first(failure)}; fetch it again") from None
    except OSError as failure:
        raise FormatError(f"{path} cannot be read: {_lower_first(failure.strerror or failure)}") from None
    if number == 0:
        raise FormatError(f"{path} is empty: there is nothing to read")


def unpacked(file: io.BufferedReader) -> BinaryIO:
    """Return the file's content, of gzip what it holds."""
    if file.peek(2)[:2] != _GZIP_MAGIC:
        return file
    return cast("BinaryIO", io.BufferedReader(gzip.GzipFile(fileobj=file), buffer_size=1 << 17))


def _contents(file: BinaryIO) -> Iterator[bytes]:
    """Yield each line without its end; of one that is too long, its first MAX_LINE_BYTES + 1 bytes."""
    first = file.readline(MAX_LINE_BYTES + 1).removeprefix(_BYTE_ORDER_MARK)
    for line in chain([first] if first else [], iter(lambda: file.readline(MAX_LINE_BYTES + 1), b"")):
        yield line.rstrip(b"\r\n")
        rest = line
        while len(rest) == MAX_LINE_BYTES + 1 and not rest.endswith(b"\n"):
            rest = file.readline(MAX_LINE_BYTES + 1)


def _lower_first(failure: object) -> str:
    text = str(failure)
    return text[:1].lower() + text[1:]
