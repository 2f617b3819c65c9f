"""The topic from outside: its ends, the group's offsets, foreign records, and recreation."""

from __future__ import annotations

import json
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from tests.oracle.settle import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence

    from tests.oracle.compare import Places

PARTITIONS = 12
GROUP = "projector"
LAST_RECORDS = 40


@asynccontextmanager
async def consumer(places: Places, group: str | None) -> AsyncIterator[AIOKafkaConsumer]:
    """Open a consumer outside of every group; with one it may read and set the group's offsets."""
    opened = AIOKafkaConsumer(
        bootstrap_servers=places.kafka, group_id=group, enable_auto_commit=False
    )
    await opened.start()
    try:
        opened.assign(_all(places))
        yield opened
    finally:
        await opened.stop()


def _all(places: Places) -> list[TopicPartition]:
    return [TopicPartition(places.topic, number) for number in range(PARTITIONS)]


async def ends(places: Places) -> dict[int, int]:
    """Return the end of each partition."""
    async with consumer(places, None) as opened:
        found = await opened.end_offsets(_all(places))
    return {tp.partition: end for tp, end in found.items()}


async def committed(places: Places) -> dict[int, int]:
    """Return the offsets that the projectors' group has committed."""
    async with consumer(places, GROUP) as opened:
        return {tp.partition: await opened.committed(tp) or 0 for tp in _all(places)}


async def told(places: Places, customers: Sequence[int]) -> dict[int, int]:
    """Return each customer's highest revision among the last records that the group has committed."""
    keys, found = {str(customer).encode() for customer in customers}, dict[int, int]()
    async with consumer(places, None) as opened:
        for partition, end in (await committed(places)).items():
            tp = TopicPartition(places.topic, partition)
            at = max(0, end - LAST_RECORDS)
            opened.seek(tp, at)
            while at < end:
                for record in await _some(opened, tp):
                    at = record.offset + 1
                    if record.offset < end and record.key in keys:
                        data = json.loads(record.value)["data"]
                        customer = data["customer_id"]
                        found[customer] = max(data["revision"], found.get(customer, 0))
    return found


async def _some(opened: AIOKafkaConsumer, tp: TopicPartition) -> list[Any]:
    """Return the next records of a partition. Raises TimeoutError without any."""
    records = (await opened.getmany(tp, timeout_ms=5_000)).get(tp, [])
    if not records:
        raise TimeoutError(f"{tp} has no records where the group stands")
    return list(records)


async def commit(places: Places, offsets: Mapping[int, int]) -> dict[int, int]:
    """Set the group's offsets while it is empty; return those before."""
    async with consumer(places, GROUP) as opened:
        before = {tp.partition: await opened.committed(tp) or 0 for tp in _all(places)}
        await opened.commit({TopicPartition(places.topic, p): at for p, at in offsets.items()})
    return before


async def all_read(places: Places) -> bool:
    """Return whether the group has committed up to the end of every partition."""
    return await committed(places) == await ends(places)


async def produce(
    places: Places, records: Sequence[tuple[bytes | None, bytes | None, int]]
) -> None:
    """Produce records (key, value, partition) to the topic, as any producer could."""
    producer = AIOKafkaProducer(bootstrap_servers=places.kafka)
    await producer.start()
    try:
        for key, value, partition in records:
            await producer.send_and_wait(places.topic, value, key=key, partition=partition)
    finally:
        await producer.stop()


async def delete(places: Places) -> None:
    """Delete the topic and wait until it is gone."""
    admin = AIOKafkaAdminClient(bootstrap_servers=places.kafka)
    await admin.start()
    try:
        await admin.delete_topics([places.topic])

        async def gone() -> bool:
            return places.topic not in await admin.list_topics()

        await eventually(gone, "the topic is gone")
    finally:
        await admin.close()
