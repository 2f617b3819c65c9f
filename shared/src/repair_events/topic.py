"""The topic: its name, its partitions, the key of a record and the partition of a key."""

from typing import Final

TOPIC: Final = "repair-events"
PARTITIONS: Final = 12
RETENTION_DAYS: Final = 30
#: Upper bound of an event; the writer's bounds on texts guarantee it.
MAX_EVENT_BYTES: Final = 65_536


def key(customer_id: int) -> bytes:
    """Return the record key of a customer: the decimal digits."""
    return b"%d" % customer_id


def partition(customer_id: int, partitions: int = PARTITIONS) -> int:
    """Return the partition of a customer, as Kafka's default partitioner computes it."""
    return (_murmur2(key(customer_id)) & 0x7FFFFFFF) % partitions


def _murmur2(data: bytes) -> int:
    """Return the 32-bit MurmurHash2 with the seed of Kafka's `Utils.murmur2`."""
    mask = 0xFFFFFFFF
    m = 0x5BD1E995
    length = len(data)
    h = 0x9747B28C ^ length
    whole = length - length % 4
    for i in range(0, whole, 4):
        k = int.from_bytes(data[i : i + 4], "little") * m & mask
        h = (h * m & mask) ^ ((k ^ k >> 24) * m & mask)
    if whole < length:
        h = (h ^ int.from_bytes(data[whole:], "little")) * m & mask
    h = (h ^ h >> 13) * m & mask
    return h ^ h >> 15
