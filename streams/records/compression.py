"""The compression of record batches: every codec is read, into a bounded memory, and LZ4 is written."""

import struct
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from typing import Any, Final

import cramjam
import numpy as np

_GZIP, _SNAPPY, LZ4, _ZSTD = 1, 2, 3, 4
"""As the attributes of a batch name them."""
MOST_UNPACKED_BYTES: Final = 16 << 20
"""Of the records of a batch that is read. Producers send 1 MB by default; 534 bytes of zstd can hold this."""
_USUAL_RATIO: Final = 32
"""More than events are compressed by."""
_DECOMPRESS_INTO: Final[Mapping[int, Callable[[Any, Any], int]]] = {
    _GZIP: cramjam.gzip.decompress_into,
    LZ4: cramjam.lz4.decompress_into,
    _ZSTD: cramjam.zstd.decompress_into,
}
CODECS: Final = frozenset({_SNAPPY, *_DECOMPRESS_INTO})
_XERIAL: Final = b"\x82SNAPPY\x00\x00\x00\x00\x01\x00\x00\x00\x01"
"""What snappy-java, and clients that do as it does, begin with; blocks follow, each behind its size."""
_LZ4_LEVEL: Final = 1


def compressed(section: bytes) -> bytes:
    """Return an LZ4 frame of independent blocks: brokers refuse others (KIP-57)."""
    compressor: Any = cramjam.lz4.Compressor(level=_LZ4_LEVEL, content_checksum=False, block_linked=False)
    compressor.compress(section)
    return bytes(compressor.finish())


def decompressed(packed: memoryview, codec: int) -> bytes | None:
    """Return what was compressed; None if it is damaged or larger than MOST_UNPACKED_BYTES.

    Takes no more memory than that, and a copy of what it returns.
    """
    if codec == _SNAPPY:
        return _unsnapped(packed)
    for most in sorted({min(_USUAL_RATIO * len(packed), MOST_UNPACKED_BYTES), MOST_UNPACKED_BYTES}):
        out = np.empty(most, np.uint8)
        with suppress(cramjam.DecompressionError):  # also if it does not fit
            return out[: _DECOMPRESS_INTO[codec](packed, out)].tobytes()
        del out  # before there is a larger one
    return None


def _unsnapped(packed: memoryview) -> bytes | None:
    blocks, left = list[bytes](), MOST_UNPACKED_BYTES
    with suppress(cramjam.DecompressionError, struct.error):
        for block in _snappy_blocks(packed):
            left -= cramjam.snappy.decompress_raw_len(block)
            if left < 0:
                return None
            blocks.append(bytes(cramjam.snappy.decompress_raw(block)))
        return b"".join(blocks)
    return None


def _snappy_blocks(packed: memoryview) -> Iterator[memoryview]:
    if packed[: len(_XERIAL)].tobytes() != _XERIAL:
        yield packed
        return
    at = len(_XERIAL)
    while at < len(packed):
        (size,) = struct.unpack_from(">I", packed, at)
        yield packed[at + 4 : at + 4 + size]
        at += 4 + size
