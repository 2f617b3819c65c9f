"""Rate of a rebuild of every customer under live traffic, and its effect on that traffic.

Once nothing differs, so the rebuild writes nothing; once the rows of the large customers are lost.
The floor is the same streams fetched by one caller that does not parse them.
"""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import aiohttp
import asyncpg
from tests.oracle.settle import eventually

from bench import imports
from bench.commands import make_customers
from bench.figures import Figure, percentile
from bench.latency import Probe, make_watched

if TYPE_CHECKING:
    from bench.running import System

FIRST_CUSTOMER = 930_000
CUSTOMERS = 20
PER_SECOND = 50
QUIET_SECONDS = 10.0
_RATE = re.compile(r"([\d,]+) events in [\d,.]+ s \(([\d,]+) a second\)")


async def run(system: System, *, events: int) -> list[Figure]:
    """Measure a rebuild of all customers, with so many events in the streams of the large ones."""
    customers = range(FIRST_CUSTOMER, FIRST_CUSTOMER + CUSTOMERS)
    await _fill(system, customers, events)
    floor = await _floor(system, customers)
    sessions = await make_watched(system)
    figures = []
    async with Probe(system, sessions, per_second=PER_SECOND) as probe:
        await probe.flow(QUIET_SECONDS)
        quiet = percentile(probe.seen, 0.99)
        for name, lost in (("nothing differs", False), ("all rows lost", True)):
            if lost:
                await _lose_rows(system, customers)
            probe.forget()
            rate, told = await _beside(probe, system)
            live = percentile(probe.seen, 0.99)
            note = f"{told} events; live at {PER_SECOND} commands/s: p99 {live:.0f} ms, {quiet:.0f} ms without"
            if probe.failed:
                note += f", {probe.failed} FAILED"
            figures.append(
                Figure(
                    name=f"refold --all, {name}", value=rate, unit="events/s", target=20_000, floor=floor,
                    floor_is="the lists fetched, one caller", note=note,
                )
            )  # fmt: skip
    return figures


async def _fill(system: System, customers: range, events: int) -> None:
    await make_customers(system, customers.start, len(customers))
    prefix = str(time.time_ns())
    for customer in customers:
        await imports.send(system, customer, prefix, events // len(customers))

    async def counted() -> bool:
        return await _revisions(system, "writer") == await _revisions(system, "portal")

    await eventually(counted, "what was imported is counted", 600)


async def _revisions(system: System, of: str) -> int:
    connection = await asyncpg.connect(system.databases[of])
    try:
        # `of` is a word of this file.
        total = f"SELECT sum(revision)::bigint FROM {of}.customer"  # noqa: S608
        found: int = await connection.fetchval(total)
        return found
    finally:
        await connection.close()


async def _lose_rows(system: System, customers: range) -> None:
    portal = await asyncpg.connect(system.databases["portal"])
    try:
        for table in ("repair", "repair_history", "repair_count"):
            lose = f"DELETE FROM portal.{table} WHERE customer_id BETWEEN $1 AND $2"  # noqa: S608
            await portal.execute(lose, customers.start, customers.stop - 1)
    finally:
        await portal.close()


async def _beside(probe: Probe, system: System) -> tuple[float, str]:
    """Rebuild all customers under load; return events a second, and their number."""
    refolding = asyncio.create_task(asyncio.to_thread(_refold, system))
    while not refolding.done():
        await probe.flow(1)
    found = _RATE.search(said := await refolding)
    if found is None:
        raise RuntimeError(f"the refold said nothing of its rate: {said[-500:]}")
    return float(found[2].replace(",", "")), found[1]


def _refold(system: System) -> str:
    settings = {
        "PORTAL_DATABASE_URL": system.databases["portal"],
        "KAFKA_BOOTSTRAP_SERVERS": system.kafka,
        "KAFKA_TOPIC": system.topic,
        "REDIS_URL": system.redis,
        "WRITER_URL": system.writer,
        "WRITER_HISTORY_KEY": system.key,
        "PORTAL_TIME_ZONE": system.time_zone,
    }
    command = [str(Path(sys.executable).with_name("portal-query")), "refold", "--all"]
    done = subprocess.run(command, env=settings, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"the refold failed: {(done.stdout + done.stderr)[-500:]}")
    return done.stdout


async def _floor(system: System, customers: range) -> float:
    """Return events a second of the bare fetching."""
    headers = {"Authorization": f"Bearer {system.key}"}
    events, begun = 0, time.perf_counter()
    async with aiohttp.ClientSession(headers=headers) as http:
        for customer in customers:
            async with http.get(f"{system.writer}/v1/customers/{customer}/events") as answer:
                async for chunk in answer.content.iter_chunked(256 * 1024):
                    events += chunk.count(b"\n")
    return events / (time.perf_counter() - begun)
