"""Completeness: each committed event arrives, in order per customer, whatever the processes do."""

import asyncio
import random
from collections import defaultdict
from collections.abc import Awaitable, Callable
from typing import Any

import asyncpg

from repair_events.topic import key, partition
from service_runtime.testing import eventually

CUSTOMERS = range(1, 41)
WRITERS = 8
TRANSACTIONS = 150


async def write(
    outbox: Any, seed: int, enough: Callable[[int], bool] = lambda done: done >= TRANSACTIONS
) -> list[tuple[int, int, str]]:
    """Run one writer's transactions: some are held open, some roll back.

    Returns (row id, customer, event id) of the committed rows.
    """
    rng, committed, done = random.Random(seed), [], 0
    while not enough(done):
        done += 1
        customer = rng.choice(CUSTOMERS)
        async with outbox.pool.acquire() as connection:
            transaction = connection.transaction()
            await transaction.start()
            # The writer inserts under the customer's lock, on which the order of a customer
            # depends.
            await connection.execute("SELECT pg_advisory_xact_lock($1)", customer)
            rows = [
                (*await outbox.accept(customer, connection=connection), customer)
                for _ in range(rng.randint(1, 3))
            ]
            if rng.random() < 0.3:
                await asyncio.sleep(rng.random() * 0.03)
            if rng.random() < 0.1:
                await transaction.rollback()
                continue
            await transaction.commit()
            committed += [(row_id, owner, event_id) for row_id, event_id, owner in rows]
    return committed


def in_order(records: list[Any]) -> dict[int, list[str]]:
    """Return the event ids of each customer in the order of the topic, without repetitions."""
    found: dict[int, dict[str, None]] = defaultdict(dict)
    for record in records:
        found[int(record.key)][record.value.decode()] = None
    return {customer: list(events) for customer, events in found.items()}


def expected(committed: list[tuple[int, int, str]]) -> dict[int, list[str]]:
    by_customer: dict[int, list[str]] = defaultdict(list)
    for _, customer, event_id in sorted(committed):
        by_customer[customer].append(event_id)
    return dict(by_customer)


async def test_eight_writers_that_hold_and_roll_back_transactions_lose_nothing(
    outbox: Any, reader: Any, settings: Any, new_topic: str, run_relay: Callable[[Any], Any]
) -> None:
    async with run_relay(settings):
        written = await asyncio.gather(*(write(outbox, seed) for seed in range(WRITERS)))
        await eventually(outbox.is_empty, "the outbox is empty")
    records = await reader.records(new_topic)
    assert in_order(records) == expected([row for rows in written for row in rows])
    assert {(record.key, record.partition) for record in records} == {
        (key(customer), partition(customer)) for customer in {int(r.key) for r in records}
    }
    assert len(records) == sum(map(len, written)), "without a failure nothing comes twice"


async def test_a_relay_killed_between_acknowledgement_and_delete_sends_again(
    outbox: Any,
    reader: Any,
    new_topic: str,
    start_process: Callable[[], Awaitable[Any]],
) -> None:
    accepted = await outbox.accept_many([*CUSTOMERS] * 5)
    async with outbox.pool.acquire() as connection, connection.transaction():
        # Locked rows can be read and sent, and not be deleted.
        await connection.execute("SELECT FROM writer.outbox FOR UPDATE")
        process = await start_process()

        async def has_sent() -> bool:
            return bool(await reader.count(new_topic) >= len(accepted))

        await eventually(has_sent, "all rows are on Kafka", every=0.3)
        process.kill()
        await process.running.wait()
        # A statement that waits for a lock outlives its client; here it dies with it.
        await connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE application_name LIKE 'repair-relay%' AND datname = current_database()"
        )
    assert await outbox.pending() == len(accepted)

    await start_process()
    await eventually(outbox.is_empty, "the outbox is empty")
    records = await reader.records(new_topic)
    assert len(records) >= 2 * len(accepted)
    wanted = [
        (row, customer, event)
        for (row, event), customer in zip(accepted, [*CUSTOMERS] * 5, strict=True)
    ]
    assert in_order(records) == expected(wanted)


async def test_a_relay_killed_again_and_again_under_load_loses_nothing(
    outbox: Any,
    reader: Any,
    new_topic: str,
    start_process: Callable[[], Awaitable[Any]],
) -> None:
    enough = asyncio.Event()
    writing = asyncio.gather(
        *(write(outbox, seed, lambda _: enough.is_set()) for seed in range(100, 104))
    )
    for _ in range(3):
        process = await start_process()

        async def leads(process: Any = process) -> bool:
            return bool(await process.metric("repair_relay_sent_records_total") > 20)

        await eventually(leads, "the relay sends")
        process.kill()
        await process.running.wait()
    await start_process()
    enough.set()
    committed = [row for rows in await writing for row in rows]
    await eventually(outbox.is_empty, "the outbox is empty")
    assert in_order(await reader.records(new_topic)) == expected(committed)


async def test_a_relay_told_to_stop_finishes_what_is_under_way(
    outbox: Any,
    reader: Any,
    new_topic: str,
    start_process: Callable[[], Awaitable[Any]],
) -> None:
    total = 0
    for _ in range(5):
        total += len(await outbox.accept_many([*CUSTOMERS] * 50))
    process = await start_process()

    async def has_begun() -> bool:
        return bool(await process.metric("repair_relay_sent_records_total") > 0)

    await eventually(has_begun, "the relay sends")
    assert await process.stop() == 0
    assert await reader.count(new_topic) + await outbox.pending() == total


async def test_a_delete_that_failed_is_noticed_without_another_event(
    outbox: Any, settings: Any, new_topic: str, run_relay: Callable[[Any], Any], database: Any
) -> None:
    connection = await asyncpg.connect(database.owner_url)
    # A taken number stays taken when its transaction fails, so only the first attempt fails.
    await connection.execute("""
        CREATE SEQUENCE writer.deletes; GRANT USAGE ON SEQUENCE writer.deletes TO PUBLIC;
        CREATE FUNCTION writer.fail_once() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            IF nextval('writer.deletes') = 1 THEN RAISE EXCEPTION 'the first one fails'; END IF;
            RETURN OLD;
        END $$;
        CREATE TRIGGER fail_once BEFORE DELETE ON writer.outbox
            FOR EACH ROW EXECUTE FUNCTION writer.fail_once();
    """)
    await outbox.accept(7)
    async with run_relay(settings):
        await eventually(outbox.is_empty, "what was sent is deleted")
    assert await connection.fetchval("SELECT last_value FROM writer.deletes") > 1
    await connection.close()
