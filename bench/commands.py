"""Rate of durable commands of the writer, with 32 connections.

The floor is the same work in SQL from a bare asyncpg client: lock, insert, insert, insert, update,
commit.
"""

from __future__ import annotations

import asyncio
import json
import time
from typing import TYPE_CHECKING, Any

import asyncpg
from deploy.demo.writer import Writer

from bench.figures import Figure, percentile
from bench.wrk import Load, Result, measure

if TYPE_CHECKING:
    from bench.running import System

CONNECTIONS = 32
CUSTOMERS = 200
FIRST_CUSTOMER = 900_000
REPAIR = {
    "unit_number": "MA24-218",
    "repair_date": "2026-05-04T14:30:00Z",
    "status": "REQUESTED",
    "description": "Star break, 8 mm, driver side, below the wiper line; gravel on the interstate",
    "damage_type": "Star break",
    "cost": "55.00",
    "technician": "Dana Whitfield",
    "source": "bench",
}

_COPIES = ("customer", "repair", "event", "outbox")
_SAVE = """
WITH numbered AS (
  UPDATE writer.bench_customer SET revision = revision + 1, event_id = $2, changed_at = now() WHERE customer_id = $1
), listed AS (
  INSERT INTO writer.bench_event VALUES ($1, $3, $2, $4, 'bench', now(), $5)
), stated AS (
  INSERT INTO writer.bench_repair VALUES ($4, $1, 'MA24-218', now(), 'REQUESTED', $6, 'Star break', 55, 'Dana Whitfield',
    '', '', 'internal', NULL, 'bench', $4::text, false, $3, $2, now(), now())
)
INSERT INTO writer.bench_outbox (id, customer_id, event_id, payload, accepted_at)
OVERRIDING SYSTEM VALUE VALUES (nextval('writer.bench_outbox_id'), $1, $2, $5, now())
"""


async def run(system: System, *, seconds: float) -> list[Figure]:
    """Measure recording of new repairs over many customers."""
    await make_customers(system, FIRST_CUSTOMER, CUSTOMERS)
    result = await record(system, seconds=seconds)
    floor = await floor_of(system.databases["writer"], seconds=min(seconds, 5))
    note = f"p50 {result.p50:.1f} ms, p99 {result.p99:.1f} ms, {result.client}"
    if result.failures:
        note += f", {result.failures} FAILED"
    return [
        Figure(
            name="commands, 32 connections, durable", value=result.per_second, unit="commands/s", target=800,
            floor=floor, floor_is="same SQL, bare asyncpg", note=note,
        )
    ]  # fmt: skip


async def record(
    system: System, *, seconds: float, first: int = FIRST_CUSTOMER, customers: int = CUSTOMERS
) -> Result:
    """Record repairs over HTTP for these customers and return the result."""
    run_id = f"{time.time_ns()}"
    body = json.dumps(REPAIR | {"source_ref": f"{run_id}-%d", "customer_id": "%c"}).replace(
        '"%c"', "%c"
    )
    load = Load(
        url=system.writer, path="/v1/repairs", method="POST", body=body, connections=CONNECTIONS, seconds=seconds,
        first_customer=first, customers=customers,
        headers=[{"Authorization": f"Bearer {system.key}", "Content-Type": "application/json"}],
    )  # fmt: skip
    return await measure(load)


async def make_customers(system: System, first: int, count: int) -> None:
    """Create customers in the writer."""
    async with Writer(system.writer, system.key) as writer:
        for customer_id in range(first, first + count):
            await writer.put_customer(customer_id, {"name": f"Bench fleet {customer_id}"})


async def floor_of(url: str, *, seconds: float) -> float:
    """Do the same work in SQL, on empty copies of the tables; return transactions a second."""
    pool = await asyncpg.create_pool(url, min_size=CONNECTIONS, max_size=CONNECTIONS)
    try:
        await _copies(pool)
        counts = await asyncio.gather(
            *(_transactions(pool, lane, seconds) for lane in range(CONNECTIONS))
        )
        return sum(counts) / seconds
    finally:
        await _drop(pool)
        await pool.close()


async def _copies(pool: Any) -> None:
    await _drop(pool)
    for name in _COPIES:
        await pool.execute(
            f"CREATE TABLE writer.bench_{name} (LIKE writer.{name} INCLUDING INDEXES)"
        )
    await pool.execute("CREATE SEQUENCE writer.bench_outbox_id")
    await pool.execute(
        "INSERT INTO writer.bench_customer (customer_id, name, email, phone, address, city, state, postal_code,"
        " revision, event_id, changed_at) SELECT n, '', '', '', '', '', '', '', 0, NULL, now()"
        " FROM generate_series(1, $1) n",
        CUSTOMERS,
    )


async def _drop(pool: Any) -> None:
    for name in _COPIES:
        await pool.execute(f"DROP TABLE IF EXISTS writer.bench_{name}")
    await pool.execute("DROP SEQUENCE IF EXISTS writer.bench_outbox_id")


async def _transactions(pool: Any, lane: int, seconds: float) -> int:
    end, count, payload = time.perf_counter() + seconds, 0, b"x" * 900
    async with pool.acquire() as connection:
        while time.perf_counter() < end:
            customer = (count * CONNECTIONS + lane) % CUSTOMERS + 1
            async with connection.transaction():
                revision = await connection.fetchval(
                    "SELECT revision FROM writer.bench_customer WHERE customer_id = $1 FOR UPDATE",
                    customer,
                )
                await connection.fetchrow("SELECT clock_timestamp()")
                event, repair = _id(), _id()
                await connection.execute(
                    _SAVE, customer, event, revision + 1, repair, payload, REPAIR["description"]
                )
            count += 1
    return count


def _id() -> str:
    """Return an id ordered by time, like the writer's ids."""
    digits = f"{time.time_ns() // 1_000_000:012x}7{time.perf_counter_ns() % 0xFFF:03x}8{id(object()) % 0xFFF:03x}"
    digits += f"{time.perf_counter_ns() & 0xFFFFFFFFFFFF:012x}"
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:32]}"


__all__ = ["make_customers", "percentile", "record", "run"]
