"""Where a key lives: Kafka's default placement, as librdkafka's `murmur2_random` computes it.

The producer leaves the placement to librdkafka; this is for looking records up again.
"""

_MASK = 0xFFFF_FFFF
_M = 0x5BD1_E995


def murmur2(data: bytes) -> int:
    """Return Kafka's 32-bit murmur2 of *data*, unsigned."""
    whole = len(data) & ~3
    value = 0x9747_B28C ^ len(data)
    for start in range(0, whole, 4):
        word = int.from_bytes(data[start : start + 4], "little") * _M & _MASK
        word = (word ^ word >> 24) * _M & _MASK
        value = value * _M & _MASK ^ word
    rest = data[whole:]
    if rest:
        value = (value ^ int.from_bytes(rest, "little")) * _M & _MASK
    value = (value ^ value >> 13) * _M & _MASK
    return value ^ value >> 15


def partition_of(key: bytes, partitions: int) -> int:
    """Return the partition of *key* in a topic of so many *partitions*."""
    return (murmur2(key) & 0x7FFF_FFFF) % partitions
