"""The topic: its name, its partitions, the key of a record and where that key goes."""

from typing import Final

TOPIC: Final = "repair-events"
PARTITIONS: Final = 12
RETENTION_DAYS: Final = 30
#: An event never gets larger; the writer's bounds on texts see to it.
MAX_EVENT_BYTES: Final = 65_536


def key(customer_id: int) -> bytes:
    """Return the record key of a customer: the decimal digits."""
    return b"%d" % customer_id


def partition(customer_id: int, partitions: int = PARTITIONS) -> int:
    """Return the partition of a customer, as Kafka's default partitioner gives it."""
    return (_murmur2(key(customer_id)) & 0x7FFFFFFF) % partitions


def _murmur2(data: bytes) -> int:
    """MurmurHash2, 32 bits, with Kafka's seed (org.apache.kafka.common.utils.Utils.murmur2)."""
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
