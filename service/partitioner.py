"""Which partition Kafka's clients for Java, and those that partition as they do, send a record to."""

from typing import Final

SEED: Final = 0x9747B28C
MULTIPLIER: Final = 0x5BD1E995
POSITIVE: Final = 0x7FFFFFFF
MASK: Final = 0xFFFFFFFF


def partition_of(key: bytes, partitions: int) -> int:
    """Return the partition of a key."""
    return (_murmur2(key) & POSITIVE) % partitions


def _murmur2(key: bytes) -> int:
    """Return the hash of Kafka's Java client (`org.apache.kafka.common.utils.Utils.murmur2`), without sign."""
    hashed = (SEED ^ len(key)) & MASK
    whole = len(key) & ~3
    for start in range(0, whole, 4):
        word = (int.from_bytes(key[start : start + 4], "little") * MULTIPLIER) & MASK
        word = ((word ^ (word >> 24)) * MULTIPLIER) & MASK
        hashed = ((hashed * MULTIPLIER) ^ word) & MASK
    if rest := key[whole:]:
        hashed = ((hashed ^ int.from_bytes(rest, "little")) * MULTIPLIER) & MASK
    hashed = ((hashed ^ (hashed >> 13)) * MULTIPLIER) & MASK
    return hashed ^ (hashed >> 15)
