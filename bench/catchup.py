"""Rate at which projectors work off a backlog: one process, then two, in a system of its own.

The floor is the bare work in one process: it fetches the same bytes from Kafka without parsing.
It runs the same SQL on batches prepared beforehand.
"""

from __future__ import annotations

import asyncio
import itertools
import random
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import asyncpg
from aiokafka import AIOKafkaConsumer, TopicPartition
from deploy.demo.writer import Writer
from deploy.local.whole import Stack, started
from redis.asyncio import Redis
from tests.oracle.settle import eventually

from bench.commands import REPAIR
from bench.figures import Figure
from portal_query.projector.batch import Batch, prepare
from portal_query.read_model import folding
from repair_events.month import Months
from service_runtime.kafka import ConsumerRecord

if TYPE_CHECKING:
    from collections.abc import Iterator

CUSTOMERS = 2_000
BATCH = 10_000
FLOOR_EVENTS = 200_000
PARTITIONS = 12
STATUSES = ("PENDING", "APPROVED", "IN_PROGRESS", "COMPLETED")
TARGETS = {1: 35_000.0, 2: 55_000.0}
MEMORY_MIB = 250.0


async def run(*, events: int) -> list[Figure]:
    """Start a system, let events accumulate, and measure its projectors."""
    with started() as stack:
        await asyncio.to_thread(stack.hold, "projector-1", "projector-2")
        await fill(stack, events)
        await forget(stack)
        floor = await floor_of(stack, min(events, FLOOR_EVENTS))
        figures: list[Figure] = []
        for processes in (1, 2):
            await forget(stack)
            found = await catch_up(stack, processes)
            figures += _figures(found, processes, floor)
        return figures


@dataclass(frozen=True)
class CatchUp:
    """One run: events a second from the first to the last event, and the peak memory."""

    events: int
    per_second: float
    peak_mib: float


def _figures(found: CatchUp, processes: int, floor: float) -> list[Figure]:
    name = f"projector catch-up, {processes} process{'es' if processes > 1 else ''}"
    return [
        Figure(
            name=name, value=found.per_second, unit="events/s", target=TARGETS[processes], floor=floor,
            floor_is="same bytes, same SQL, one process", note=f"{found.events} events, {CUSTOMERS} customers",
        ),
        Figure(name=f"{name}, memory", value=found.peak_mib, unit="MiB", target=MEMORY_MIB, at_most=True),
    ]  # fmt: skip


async def fill(stack: Stack, events: int) -> None:
    """Import events: new repairs and changes of known ones, over customers of different sizes."""
    found = stack.description
    async with Writer(found["urls"]["writer"], found["internal_key"], connections=8) as writer:
        for start in range(1, CUSTOMERS + 1, 8):
            eight = range(start, min(start + 8, CUSTOMERS + 1))
            await asyncio.gather(*(writer.put_customer(n, {"name": f"Fleet {n}"}) for n in eight))
        lines = _lines(events - CUSTOMERS)
        while part := list(itertools.islice(lines, 20_000)):
            async for result in writer.import_lines(part):
                if result["outcome"] == "refused":
                    raise RuntimeError(f"a line was refused: {result}")

        async def sent() -> bool:
            progress = await writer.call("GET", "/v1/progress")
            return bool(progress.body["outbox_rows"] == 0)

        await eventually(sent, "the relay has sent everything", 600)


def _lines(count: int) -> Iterator[dict[str, Any]]:
    """Yield import lines, the same for the same count: three in five are new repairs."""
    rng = random.Random(7)
    weights = list(itertools.accumulate(1 / n**0.9 for n in range(1, CUSTOMERS + 1)))
    known: list[tuple[str, int]] = []
    customers = rng.choices(range(1, CUSTOMERS + 1), cum_weights=weights, k=count)
    for number, customer in enumerate(customers):
        month, day = rng.randrange(1, 13), rng.randrange(1, 29)
        date = f"{rng.randrange(2024, 2027)}-{month:02d}-{day:02d}T15:00:00Z"
        fields = {
            "unit_number": f"B-{rng.randrange(60):03d}",
            "repair_date": min(date, "2026-11-01T15:00:00Z"),
        }
        if known and rng.random() < 0.4:
            ref, owner = rng.choice(known)
            # A new cost each time makes sure that each line is an event.
            change = {"status": rng.choice(STATUSES), "cost": f"{number % 9_000_000 + 100}.00"}
        else:
            ref, owner, change = f"catchup-{number}", customer, {"status": "REQUESTED"}
            known.append((ref, owner))
        yield REPAIR | fields | change | {"customer_id": owner, "source_ref": ref}


async def forget(stack: Stack) -> None:
    """Empty the read model and Redis, and reset the group's offsets to the beginning."""
    await asyncio.to_thread(stack.hold, "projector-1", "projector-2")
    found = stack.description
    portal = await asyncpg.connect(found["postgres"]["portal"])
    rows = await portal.fetch(
        "SELECT tablename FROM pg_tables WHERE schemaname = 'portal' AND tablename <> 'alembic_version'"
    )
    await portal.execute("TRUNCATE " + ", ".join(f"portal.{row['tablename']}" for row in rows))
    await portal.close()
    redis = Redis.from_url(found["redis"])
    await redis.flushdb()
    await redis.aclose()
    consumer = AIOKafkaConsumer(
        bootstrap_servers=found["kafka"], group_id="projector", enable_auto_commit=False
    )
    await consumer.start()
    partitions = [TopicPartition(found["topic"], number) for number in range(PARTITIONS)]
    consumer.assign(partitions)
    await consumer.commit(dict.fromkeys(partitions, 0))
    await consumer.stop()


async def catch_up(stack: Stack, processes: int) -> CatchUp:
    """Start the projectors and measure until the read model holds all of the writer's events."""
    found = stack.description
    writer = await asyncpg.connect(found["postgres"]["writer"])
    total = await writer.fetchval("SELECT sum(revision)::bigint FROM writer.customer")
    await writer.close()
    names = [f"projector-{number}" for number in range(1, processes + 1)]
    begin = asyncio.create_task(
        asyncio.to_thread(stack.hold, *[f"projector-{n}" for n in (1, 2) if n > processes])
    )
    portal = await asyncpg.connect(found["postgres"]["portal"])
    first: tuple[float, int] | None = None
    peak, done, end = 0.0, 0, time.monotonic() + 900
    while done < total and time.monotonic() < end:
        done = await portal.fetchval(
            "SELECT coalesce(sum(revision), 0)::bigint FROM portal.customer"
        )
        if done and first is None:
            first = (time.perf_counter(), done)
        for name in names:
            peak = max(peak, await asyncio.to_thread(_resident, stack, name))
        await asyncio.sleep(0.1)
    last = time.perf_counter()
    await portal.close()
    await begin
    if done < total or first is None:
        raise RuntimeError(f"only {done} of {total} events were folded within 900 s")
    return CatchUp(total, (total - first[1]) / max(last - first[0], 0.001), peak)


def _resident(stack: Stack, name: str) -> float:
    """Return the resident memory of a process of the stack in MiB; 0 while it does not run."""
    pid = next(
        (found["pid"] for found in stack.status()["processes"] if found["name"] == name), None
    )
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0.0
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith("VmRSS")), 0.0)


async def floor_of(stack: Stack, events: int) -> float:
    """Return events a second of the bare work."""
    found = stack.description
    records = await _fetch(found["kafka"], found["topic"], events)
    months = Months(found["time_zone"])
    batches = [
        prepare(records[start : start + BATCH], {}, months)
        for start in range(0, len(records), BATCH)
    ]
    begun = time.perf_counter()
    await asyncio.gather(
        _fetch(found["kafka"], found["topic"], events), _apply(found["postgres"]["portal"], batches)
    )
    return len(records) / (time.perf_counter() - begun)


async def _fetch(bootstrap: str, topic: str, count: int) -> list[ConsumerRecord]:
    consumer = AIOKafkaConsumer(
        bootstrap_servers=bootstrap, enable_auto_commit=False, fetch_max_wait_ms=20
    )
    await consumer.start()
    try:
        partitions = [TopicPartition(topic, number) for number in range(PARTITIONS)]
        consumer.assign(partitions)
        for partition, first in (await consumer.beginning_offsets(partitions)).items():
            consumer.seek(partition, first)
        ends = sum((await consumer.end_offsets(partitions)).values())
        records: list[ConsumerRecord] = []
        while len(records) < min(count, ends):
            fetched = await consumer.getmany(timeout_ms=200, max_records=BATCH)
            records += [record for batch in fetched.values() for record in batch]
        return records
    finally:
        await consumer.stop()


async def _apply(url: str, batches: list[Batch]) -> None:
    connection: Any = await asyncpg.connect(url)
    try:
        for batch in batches:
            customers = sorted(batch.parts)
            async with connection.transaction():
                await folding.insert_new(connection, customers, "floor")
                await folding.lock(connection, customers)
                await folding.apply(connection, batch.packed)
                await folding.advance(connection, [part.step for part in batch.parts.values()])
    finally:
        await connection.close()
