"""Leadership among any number of relays: exactly one sends."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import asyncpg

from service_runtime.testing import eventually

_HOLDERS = """
    SELECT pid FROM pg_locks
    WHERE locktype = 'advisory' AND granted
      AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
"""


async def terminate(owner_url: str, pid: int) -> None:
    connection = await asyncpg.connect(owner_url)
    try:
        await connection.execute("SELECT pg_terminate_backend($1)", pid)
    finally:
        await connection.close()


async def test_of_two_relays_one_leads_and_the_other_follows_when_it_dies(
    outbox: Any,
    reader: Any,
    new_topic: str,
    start_process: Callable[[], Awaitable[Any]],
) -> None:
    relays = [await start_process(), await start_process()]

    async def values() -> list[float]:
        return [await relay.metric("repair_relay_leader") for relay in relays]

    async def leaders() -> list[Any]:
        return [relay for relay, value in zip(relays, await values(), strict=True) if value == 1]

    async def one_leads() -> bool:
        return sorted(await values()) == [0, 1]

    await eventually(one_leads, "both are there and one leads")
    await outbox.accept_many(range(1, 101))
    await eventually(outbox.is_empty, "the outbox is empty")
    (leader,) = await leaders()
    (waiting,) = [relay for relay in relays if relay is not leader]
    assert await waiting.metric("repair_relay_sent_records_total") == 0

    async def is_ready() -> bool:
        return bool((await waiting.get("/readyz"))[0] == 200)

    await eventually(is_ready, "a relay that waits is ready: nothing is wrong with it")

    leader.kill()
    await leader.running.wait()
    await outbox.accept_many(range(1, 101))
    await eventually(outbox.is_empty, "the other relay has taken over")
    assert await leaders() == [waiting]
    assert len(await reader.records(new_topic)) == 200


async def test_a_relay_that_loses_its_connection_loses_the_lead_and_another_sends(
    outbox: Any,
    new_topic: str,
    database: Any,
    start_process: Callable[[], Awaitable[Any]],
) -> None:
    await start_process()
    await outbox.accept_many(range(1, 51))
    await eventually(outbox.is_empty, "the outbox is empty")
    (holder,) = [row["pid"] for row in await outbox.pool.fetch(_HOLDERS)]
    await start_process()

    await terminate(database.owner_url, holder)
    await outbox.accept_many(range(1, 51))
    await eventually(outbox.is_empty, "a relay leads again")

    async def one_holder() -> bool:
        pids = [row["pid"] for row in await outbox.pool.fetch(_HOLDERS)]
        return len(pids) == 1 and pids != [holder]

    await eventually(one_holder, "one connection holds the lock")


async def test_nobody_sends_while_somebody_else_holds_the_lock(
    outbox: Any,
    reader: Any,
    new_topic: str,
    database: Any,
    start_process: Callable[[], Awaitable[Any]],
) -> None:
    first = await start_process()

    async def leads() -> bool:
        return bool(await first.metric("repair_relay_leader") == 1)

    await eventually(leads, "the relay leads")
    key = await outbox.pool.fetchrow(
        "SELECT classid::bigint AS a, objid::bigint AS b FROM pg_locks"
        " WHERE locktype = 'advisory' AND granted"
        " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
    )
    other = await asyncpg.connect(database.writer_url)
    try:
        (holder,) = [row["pid"] for row in await outbox.pool.fetch(_HOLDERS)]
        waiting = asyncio.create_task(
            other.execute("SELECT pg_advisory_lock($1::int, $2::int)", key["a"], key["b"])
        )
        await terminate(database.owner_url, holder)
        await asyncio.wait_for(waiting, 10)
        await outbox.accept_many(range(1, 11))

        async def follows() -> bool:
            return bool(await first.metric("repair_relay_leader") == 0)

        await eventually(follows, "the relay knows that it leads no more")
        assert await outbox.pending() == 10
        assert await reader.count(new_topic) == 0
    finally:
        await other.close()
    await eventually(outbox.is_empty, "it leads again when the lock is free")
