"""Objects of a JSON array, or objects that lie over several lines or side by side on one, in bounded memory."""

import re
from collections.abc import Iterator
from typing import BinaryIO, Final

import orjson

from model.formats.containers import DamageError
from model.formats.rows import MAX_LINE_BYTES, Line

_CHUNK: Final = 1 << 16
_LARGEST: Final = 16 << 20
_TOKEN: Final = re.compile(rb'(?:[^"{}\[\]]++|"(?:[^"\\]++|\\.)*+")*+(["{}\[\]])', re.DOTALL)
"""Up to a bracket, or to the quote of a string that does not end; possessive, so that no input takes many passes."""
_SEPARATES: Final = b" \t\r\n,[]"
_ARRAY: Final = re.compile(rb"\s*\[\s*(?:[{\]]|$)")
_OPEN_OBJECT: Final = re.compile(rb"\s*\{[ \t]*\r?\n")


def holds_no_lines(head: bytes) -> bool:
    """Whether a file that begins so is JSON, but not an object a line."""
    first = head.lstrip().partition(b"\n")[0]
    if _ARRAY.match(head) or _OPEN_OBJECT.match(head):
        return True
    return b"}{" in first and first.startswith(b"{") and not _is_json(first)


def objects_in(file: BinaryIO) -> Iterator[Line]:
    """Yield each object outside every other, with the number of the line on which it begins.

    Of one that is larger than MAX_LINE_BYTES the first bytes are yielded, one more than that. What lies between objects
    and is neither an array nor a comma is yielded, too. Raises DamageError if an array or an object does not end.
    """
    objects = _Objects()
    while chunk := file.read(_CHUNK):
        yield from objects.in_more(chunk)
    yield from objects.at_the_end()


class _Objects:
    """What has been read and not yet been yielded."""

    def __init__(self) -> None:
        self._held = b""
        self._begin = 0
        """Where in it an object begins that has not ended, or what lies before the next one."""
        self._line = 1
        """The line on which that lies."""
        self._scanned = 0
        self._depth = self._arrays = 0

    def in_more(self, chunk: bytes) -> Iterator[Line]:
        """Yield what ends in a further chunk of the file."""
        self._held, self._scanned, self._begin = self._held[self._begin :] + chunk, self._scanned - self._begin, 0
        while found := _TOKEN.match(self._held, self._scanned):
            token = found[1]
            if token == b'"' and len(self._held) - self._begin < _LARGEST:
                self._scanned = found.end() - 1  # the string may end in the next chunk
                break
            self._scanned = found.end()
            yield from self._after(token)
        else:
            self._scanned = len(self._held)
        if len(self._held) - self._begin > _LARGEST:
            raise DamageError(f"an object that begins on line {self._line} has more than {_LARGEST >> 20} MiB")

    def at_the_end(self) -> Iterator[Line]:
        """Yield what is left; raises DamageError if something does not end."""
        if self._depth or self._arrays > 0:
            raise DamageError("the array does not end" if self._arrays > 0 else "the object does not end")
        yield from self._between(len(self._held))

    def _after(self, token: bytes) -> Iterator[Line]:
        if token in b"[]" and not self._depth:
            self._arrays += 1 if token == b"[" else -1
        elif token == b"{":
            if not self._depth:
                yield from self._between(self._scanned - 1)
            self._depth += 1
        elif token == b"}" and self._depth:
            self._depth -= 1
            if not self._depth:
                yield self._line, self._held[self._begin : min(self._scanned, self._begin + MAX_LINE_BYTES + 1)]
                self._go_on(self._scanned)

    def _between(self, end: int) -> Iterator[Line]:
        """Yield what lies before an object, and is no separator."""
        text = self._held[self._begin : end]
        if found := text.lstrip(_SEPARATES):
            line = self._line + text.count(b"\n", 0, len(text) - len(found))
            yield line, found.rstrip(_SEPARATES)[: MAX_LINE_BYTES + 1]
        self._go_on(end)

    def _go_on(self, begin: int) -> None:
        self._line += self._held.count(b"\n", self._begin, begin)
        self._begin = begin


def _is_json(text: bytes) -> bool:
    try:
        orjson.loads(text)
    except orjson.JSONDecodeError:
        return False
    return True
