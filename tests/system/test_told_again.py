"""Redelivery of the same history: offsets reset, every customer rebuilt, Redis emptied, a read
model emptied.
"""

from __future__ import annotations

import asyncio
import secrets
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from aiokafka import AIOKafkaConsumer, TopicPartition
from redis.asyncio import Redis
from tests.oracle import hops
from tests.oracle.settle import eventually
from tests.system.commands import World

if TYPE_CHECKING:
    from tests.system.conftest import Portal

PROJECTORS = ("projector-1", "projector-2")
GROUP = "projector"


async def some_history(portal: Portal) -> list[int]:
    """Record a short history for a few customers, and return them."""
    customers = await portal.customers(6)
    await World(portal.writer, customers, 5, secrets.token_hex(4)).run(300, 4)
    await portal.agreed(customers)
    return customers


async def offsets(portal: Portal, *, back: bool) -> dict[TopicPartition, int]:
    """Return the offsets that the projectors' group has committed; `back` first resets all to the
    beginning.
    """
    consumer = AIOKafkaConsumer(
        bootstrap_servers=portal.places.kafka, group_id=GROUP, enable_auto_commit=False
    )
    await consumer.start()
    try:
        partitions = [TopicPartition(portal.places.topic, number) for number in range(12)]
        consumer.assign(partitions)
        if back:
            await consumer.commit(dict.fromkeys(partitions, 0))
        return {partition: await consumer.committed(partition) or 0 for partition in partitions}
    finally:
        await consumer.stop()


async def test_a_topic_that_is_read_again_from_its_beginning_changes_nothing(
    portal: Portal,
) -> None:
    customers = await some_history(portal)
    await asyncio.to_thread(portal.stack.hold, *PROJECTORS)
    before = await offsets(portal, back=False)
    assert set((await offsets(portal, back=True)).values()) == {0}
    await asyncio.to_thread(portal.stack.release)

    async def committed() -> bool:
        now = await offsets(portal, back=False)
        return all(now[partition] >= offset for partition, offset in before.items())

    await eventually(committed, "the projectors have read the topic again", 60)
    await portal.agreed(customers)


async def test_events_accepted_while_no_projector_runs_are_counted_later(portal: Portal) -> None:
    customers = await some_history(portal)
    await asyncio.to_thread(portal.stack.hold, *PROJECTORS)
    await World(portal.writer, customers, 6, secrets.token_hex(4)).run(200, 4)
    await asyncio.to_thread(portal.stack.release)

    await portal.agreed(customers)


async def test_a_refold_of_all_customers_changes_no_number(portal: Portal) -> None:
    customers = await some_history(portal)
    before = await hops.portal_tables(portal.databases["portal"], customers)

    await refold(portal, "--all")

    after = await portal.agreed(customers)
    assert {n: folded.revision for n, folded in after.items()} == {
        n: table.revision for n, table in before.items()
    }


async def test_a_customer_that_the_read_model_has_lost_is_folded_again(portal: Portal) -> None:
    customers = await some_history(portal)
    async with hops.connected(portal.databases["portal"]) as connection, connection.transaction():
        for table in ("repair", "repair_count", "repair_history", "customer"):
            await connection.execute(
                f"DELETE FROM portal.{table} WHERE customer_id = $1", customers[0]
            )

    await refold(portal, "--customer", str(customers[0]))

    await portal.agreed(customers)


async def test_an_emptied_redis_costs_only_time(portal: Portal) -> None:
    customers = await some_history(portal)
    redis = Redis.from_url(portal.places.redis)
    await redis.flushdb()
    await redis.aclose()

    await portal.agreed(customers)


async def refold(portal: Portal, *options: str) -> None:
    """Run `portal-query refold` as an operator does."""
    found = portal.stack.description
    settings = {
        "PORTAL_DATABASE_URL": found["postgres"]["portal"],
        "KAFKA_BOOTSTRAP_SERVERS": found["kafka"],
        "KAFKA_TOPIC": found["topic"],
        "REDIS_URL": found["redis"],
        "WRITER_URL": found["urls"]["writer"],
        "WRITER_HISTORY_KEY": found["internal_key"],
        "PORTAL_TIME_ZONE": found["time_zone"],
    }
    done = await asyncio.to_thread(
        subprocess.run,
        [str(Path(sys.executable).with_name("portal-query")), "refold", *options],
        env=settings,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
