"""The layout of a record batch in message format 2 (KIP-98; "Record Batch" in Kafka's protocol guide).

A batch is a header and its records, which may be compressed together; a record is a sequence of fields whose lengths
are zigzag variable-length integers.
"""

import struct
from typing import Final

import numpy as np
import numpy.typing as npt

Bytes = npt.NDArray[np.uint8]
Integers = npt.NDArray[np.int64]

MAGIC: Final = 2
BATCH: Final = struct.Struct(">qiibIhiqqqhii")
"""Base offset, length, leader epoch, magic, CRC, attributes, last offset delta, first and highest timestamp, producer
id and epoch, base sequence, number of records."""
AFTER_LENGTH: Final = 12
CRC_AT: Final = 17
CRC_FROM: Final = 21
"""The checksum is over what stands from here on."""
CODEC, LOG_APPEND_TIME, TRANSACTIONAL, CONTROL = 0x07, 0x08, 0x10, 0x20
"""The bits of the attributes."""
