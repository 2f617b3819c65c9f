"""Recovery from the writer's data alone: read model, Kafka and Valkey are deleted and become
correct again.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from redis.asyncio import Redis
from tests.oracle import hops
from tests.oracle.settle import PATHS
from tests.system.test_backup import done, lived, refolds

if TYPE_CHECKING:
    from tests.system.conftest import Portal


async def mark(portal: Portal) -> None:
    """Leave a marker in each copy that no process would recreate."""
    async with hops.connected(portal.databases["portal"]) as connection:
        await connection.execute("CREATE TABLE portal.witness (n int)")
    async with Redis.from_url(portal.places.redis) as redis:
        await redis.set("witness", "1")
    *_, records = await left(portal)
    assert records > 0


async def left(portal: Portal) -> tuple[object, object, int]:
    """Return the remaining markers in Postgres and Valkey, and the number of records ever on the
    topic.
    """
    async with hops.connected(portal.databases["portal"]) as connection:
        table = await connection.fetchval("SELECT to_regclass('portal.witness')::text")
    async with Redis.from_url(portal.places.redis) as redis:
        value = await redis.get("witness")
    consumer = AIOKafkaConsumer(bootstrap_servers=portal.places.kafka)
    await consumer.start()
    try:
        partitions = [TopicPartition(portal.places.topic, n) for n in range(12)]
        ends = await consumer.end_offsets(partitions)
    finally:
        await consumer.stop()
    return table, value, sum(ends.values())


# It starts the system once more, which takes minutes on a busy machine.
@pytest.mark.timeout(900)
async def test_all_copies_are_made_again_from_the_writers_lists(portal: Portal) -> None:
    customers = await portal.customers(6)
    await lived(portal, customers, 200)
    before = await portal.agreed(customers)
    numbers = await refolds(portal, customers)
    (visitor,) = await portal.visitors(customers[0])
    old = await visitor.get(PATHS["units"])
    await mark(portal)

    said = await done(portal, "reset", "--copies", "--yes")

    assert re.search(r"Rebuilt from the writer's lists in \d+ s", said), said
    assert await left(portal) == (None, None, 0)
    assert "Everything agrees" in (said := await done(portal, "run", "portal-query", "verify")), (
        said
    )
    # For other consumers of the topic; our own projector ignores all of it.
    await done(portal, "run", "repair-writer", "republish", "--all")
    assert await portal.agreed(customers) == before
    new = await visitor.get(PATHS["units"])
    assert (new.status, new.body) == (200, old.body), "the session and the figures stay"
    # Open pages have seen the old refold numbers.
    anew = await refolds(portal, customers)
    assert all(anew[customer] > number for customer, number in numbers.items())
    await lived(portal, customers, 60)
    await portal.agreed(customers)
