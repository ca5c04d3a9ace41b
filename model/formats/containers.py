"""From a file to the bytes of its lines: unpacked, UTF-8, lines that end with LF; in bounded memory."""

import bz2
import codecs
import io
import lzma
import re
import zipfile
import zlib
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, BinaryIO, Final, Protocol

from service.errors import FormatError

if TYPE_CHECKING:
    from typing_extensions import Buffer

Say = Callable[[str], None]
"""Is told what is odd about a file that can be read all the same."""

_CHUNK: Final = 1 << 16
_MOST_AT_ONCE: Final = 1 << 20
_LONGEST_TAIL: Final = 4096
"""More bytes behind packed content than a gateway adds are content that is damaged."""
_DEEPEST: Final = 3
"""How often a file may be packed."""
_HEAD: Final = 512
_UTF_16: Final = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_UTF_32: Final = (codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE)
_EXPORTS_OF_SHEETS: Final = "export its sheet as CSV in UTF-8, and ids of more than 15 digits from where they came from"
UNREADABLE: Final[dict[bytes, str]] = {
    b"\xff\x06\x00\x00sNaPpY": "is packed with Snappy: unpack it",
    b"7z\xbc\xaf\x27\x1c": "is a 7z archive: unpack it",
    b"Rar!": "is a RAR archive: unpack it",
    b"\xd0\xcf\x11\xe0": f"is a workbook of old Excel: {_EXPORTS_OF_SHEETS}",
    b"Obj\x01": "is Avro: export it as JSON lines or Parquet",
    b"SQLite format 3\0": "is an SQLite database: export its table as CSV",
    b"PK\x05\x06": "is a zip archive of no file",
    b"<!DOCTYPE": "is a web page, such as one to sign in: fetch the file itself",
    b"<!doctype": "is a web page, such as one to sign in: fetch the file itself",
    b"<html": "is a web page, such as one to sign in: fetch the file itself",
    b"<?xml": "is XML, perhaps a refusal of where it was fetched: fetch it again, or export JSON lines or CSV",
    b"version https://git-lfs": "is a pointer of Git LFS: fetch the file itself with `git lfs pull`",
    b"%PDF": "is a PDF: export the data as CSV or JSON lines",
    b"\x80\x04\x95": "is a pickle of Python: write it with to_parquet",
    b"\x80\x05\x95": "is a pickle of Python: write it with to_parquet",
    b"\x89HDF": "is HDF5: write it with to_parquet",
}
"""What is none of ours by its first bytes, and what to do."""


class DamageError(Exception):
    """The content goes no further: says why."""


class _Decompressor(Protocol):
    """One of bz2's or lzma's."""

    @property
    def eof(self) -> bool: ...
    @property
    def needs_input(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...

    def decompress(self, data: bytes, max_length: int = -1) -> bytes:
        """Return what could be unpacked, at most so much."""


class _Gzip:
    """The same for a member of a gzip; what comes before damage is returned before it raises."""

    def __init__(self) -> None:
        self._inner = zlib.decompressobj(31)
        self._failure: zlib.error | None = None

    @property
    def eof(self) -> bool:
        return self._inner.eof

    @property
    def needs_input(self) -> bool:
        return not self._inner.unconsumed_tail and self._failure is None

    @property
    def unused_data(self) -> bytes:
        return self._inner.unused_data

    def decompress(self, data: bytes, max_length: int = -1) -> bytes:
        if self._failure:
            raise self._failure
        before, data = self._inner.copy(), self._inner.unconsumed_tail + data
        try:
            return self._inner.decompress(data, max_length)
        except zlib.error as failure:
            self._failure = failure
            return b"".join(_until_it_fails(before, data))


_PACKED: Final[dict[bytes, tuple[str, Callable[[], _Decompressor]]]] = {
    b"\x1f\x8b": ("gzip", _Gzip),
    b"BZh": ("bzip2", bz2.BZ2Decompressor),
    b"\xfd7zXZ\0": ("xz", lzma.LZMADecompressor),
}


_OF_ARROW: Final = {b"\x28\xb5\x2f\xfd": ("Zstandard", "zstd"), b"\x04\x22\x4d\x18": ("LZ4", "lz4")}
"""What pyarrow unpacks, by its first bytes: how it is called, and its name for pyarrow and as a program."""
_BYTES_OF_ARROW: Final = 1 << 13
"""Read at once, so that little is lost before damage."""


class _Stream(io.RawIOBase):
    """A file of what an iterator yields."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks, self._left = chunks, memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: "Buffer") -> int:
        while not self._left:
            chunk = next(self._chunks, None)
            if chunk is None:
                return 0
            self._left = memoryview(chunk)
        room = memoryview(buffer)
        size = min(len(room), len(self._left))
        room[:size], self._left = self._left[:size], self._left[size:]
        return size


def buffered(chunks: Iterator[bytes]) -> io.BufferedReader:
    """Return a file of what an iterator yields."""
    return io.BufferedReader(_Stream(chunks), buffer_size=_CHUNK)


def text_of(file: io.BufferedReader, say: Say) -> io.BufferedReader:
    """Return the content of an open file: unpacked, as UTF-8 without its mark, lines ended by LF or CR LF.

    Reading it raises DamageError where it goes no further. Raises FormatError, which lacks the file's name, for what is
    no text.
    """
    for _ in range(_DEEPEST):
        inner = unpacked(file, say)
        if inner is file:
            break
        file = inner
    head = file.peek(_HEAD)
    for magic, what in UNREADABLE.items():
        if head.startswith(magic):
            raise FormatError(what)
    if head[257:262] == b"ustar":
        raise FormatError("is a tar archive: unpack it, and name its files")
    return _with_lf(_as_utf8(file))


def unpacked(file: io.BufferedReader, say: Say = lambda _: None) -> io.BufferedReader:
    """Return what a packed file holds, of any other file itself; raises FormatError, which lacks the file's name."""
    head = file.peek(_HEAD)
    if head.startswith(b"PK\x03\x04"):
        return _only_member(file)
    for magic, (name, new) in _PACKED.items():
        if head.startswith(magic):
            return buffered(_members(file, magic, name, new, say))
    for magic, (name, codec) in _OF_ARROW.items():
        if head.startswith(magic):
            return _unpacked_by_arrow(file, name, codec)
    return file


def _unpacked_by_arrow(file: BinaryIO, name: str, codec: str) -> io.BufferedReader:
    try:
        import pyarrow as pa  # type: ignore[import-untyped]  # noqa: PLC0415 - an optional dependency
    except ModuleNotFoundError:
        raise FormatError(
            f"is packed with {name}: unpack it with `{codec} -d`, or install Cartcast with the extra `train`"
        ) from None

    def content() -> Iterator[bytes]:
        try:
            with pa.CompressedInputStream(pa.PythonFile(file, mode="r"), codec) as stream:
                yield from iter(lambda: stream.read(_BYTES_OF_ARROW), b"")
        except (pa.ArrowException, OSError) as failure:
            raise DamageError(_what_fails(failure)) from None

    return buffered(content())


def _members(file: BinaryIO, magic: bytes, name: str, new: Callable[[], _Decompressor], say: Say) -> Iterator[bytes]:
    """Yield the content of all members of a packed file; what follows the last one is left out, and said."""
    packed = file.read(_CHUNK)
    while packed.startswith(magic):
        decompressor = new()
        yield from _content(file, packed, name, decompressor)
        packed = (decompressor.unused_data + file.read(_CHUNK)).lstrip(b"\0")
    if len(packed) > _LONGEST_TAIL:
        raise DamageError(f"what follows is not {name}")
    if packed:
        say(f"{len(packed)} bytes behind the {name} data are not {name}: left out, the data are whole")


def _content(file: BinaryIO, packed: bytes, name: str, decompressor: _Decompressor) -> Iterator[bytes]:
    """Yield the content of a member that begins with `packed` and goes on in the file."""
    while not decompressor.eof:
        if not packed and decompressor.needs_input and not (packed := file.read(_CHUNK)):
            raise DamageError(f"the {name} file ends in the middle")
        try:
            content = decompressor.decompress(packed, _MOST_AT_ONCE)
        except (zlib.error, OSError, lzma.LZMAError, EOFError, ValueError) as failure:
            raise DamageError(_what_fails(failure)) from None
        packed = b""
        if content:
            yield content


def _until_it_fails(decompressor: "zlib._Decompress", data: bytes) -> Iterator[bytes]:
    try:
        for position in range(len(data)):
            yield decompressor.decompress(data[position : position + 1])
    except zlib.error:
        return


def _what_fails(failure: Exception) -> str:
    if "incorrect data check" in str(failure) or "incorrect length check" in str(failure):
        return "its checksum is wrong, so that any line may be"
    text = str(failure)
    return text[:1].lower() + text[1:]


def _only_member(file: io.BufferedReader) -> io.BufferedReader:
    if not file.seekable():
        raise FormatError("is a zip archive, which cannot be read from a pipe: unpack it with `unzip -p`")
    try:
        archive = zipfile.ZipFile(file)
    except zipfile.BadZipFile as failure:
        raise DamageError(_what_fails(failure)) from None
    names = [name for name in archive.namelist() if not name.endswith("/") and not name.startswith("__MACOSX/")]
    if any(name in {"[Content_Types].xml", "mimetype"} for name in names):
        raise FormatError(f"is a workbook or document of an office program: {_EXPORTS_OF_SHEETS}")
    if len(names) != 1:
        raise FormatError(f"is a zip archive of {len(names)} files, not of one: unpack it, and name those with events")
    return buffered(_member(archive, names[0]))


def _member(archive: zipfile.ZipFile, name: str) -> Iterator[bytes]:
    try:
        with archive.open(name) as member:
            while content := member.read(_CHUNK):
                yield content
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, lzma.LZMAError) as failure:
        raise DamageError(_what_fails(failure)) from None
    except (RuntimeError, NotImplementedError) as failure:  # a password, a method of packing
        raise FormatError(
            f"is a zip archive that cannot be unpacked here ({_what_fails(failure)}): unpack it"
        ) from None


def _as_utf8(file: io.BufferedReader) -> io.BufferedReader:
    head = file.peek(_HEAD)
    if head.startswith(codecs.BOM_UTF8):
        file.read(len(codecs.BOM_UTF8))
        return file
    if head.startswith((*_UTF_32, *_UTF_16)):
        return buffered(_decoded(file, "utf-32" if head.startswith(_UTF_32) else "utf-16"))
    if len(head) > 3 and not (any(head[:40:2]) and any(head[1:40:2])):
        order = "LE" if any(head[:40:2]) else "BE"
        raise FormatError(f"is UTF-16 without its mark: convert it with `iconv -f UTF-16{order} -t UTF-8`")
    return file


def _decoded(file: BinaryIO, encoding: str) -> Iterator[bytes]:
    decoder = codecs.getincrementaldecoder(encoding)("surrogatepass")
    try:
        while content := file.read(_CHUNK):
            yield decoder.decode(content).encode("utf-8", "surrogatepass")
        yield decoder.decode(b"", final=True).encode("utf-8", "surrogatepass")
    except UnicodeDecodeError as failure:
        raise DamageError(f"invalid {encoding.upper()}: {failure.reason}") from None


def _with_lf(file: io.BufferedReader) -> io.BufferedReader:
    head = file.peek(_CHUNK)
    if re.search(rb"\r[^\n]", head) and b"\n" not in head:  # as of old Macs
        return buffered(content.replace(b"\r", b"\n") for content in iter(lambda: file.read(_CHUNK), b""))
    return file
