"""Cost must not grow with history: the same figures for a customer with a short and with a long one."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import asyncpg
from tests.oracle.sessions import open_sessions

from bench.commands import make_customers, record
from bench.endpoints import VIEWS
from bench.figures import Figure
from bench.imports import send
from bench.wrk import Load, measure

if TYPE_CHECKING:
    from bench.running import System

FIRST_CUSTOMER = 930_000
SHORT = 1_000
SESSIONS = 64


async def run(system: System, *, seconds: float, long: int) -> list[Figure]:
    """Compare a customer of 1 000 repairs with one of `long`: the same units, the same months."""
    figures: list[Figure] = []
    short = await _measure(system, FIRST_CUSTOMER + 1, SHORT, seconds)
    grown = await _measure(system, FIRST_CUSTOMER + long, long, seconds)
    for name, unit in (("unit list", "requests/s"), ("commands", "commands/s")):
        figures.append(
            Figure(
                name=f"{name}, {long} repairs", value=grown[name], unit=unit, target=0.8 * short[name],
                floor=short[name], floor_is=f"the same with {SHORT} repairs",
            )
        )  # fmt: skip
    return figures


async def _measure(
    system: System, customer_id: int, repairs: int, seconds: float
) -> dict[str, float]:
    await make_customers(system, customer_id, 1)
    await send(system, customer_id, f"growth-{customer_id}", repairs)
    await counted(system, customer_id)
    sessions = await open_sessions(system.databases["gateway"], [customer_id] * SESSIONS)
    cookies = [{"Cookie": f"sessionid={one}"} for one in sessions]
    load = Load(url=system.portal, path=VIEWS["unit list"], headers=cookies, seconds=seconds)
    reads = await measure(load)
    writes = await record(system, seconds=seconds, first=customer_id, customers=1)
    return {"unit list": reads.per_second, "commands": writes.per_second}


async def counted(system: System, customer_id: int, patience: float = 300) -> None:
    """Wait until the projector has folded all that the writer holds of a customer. Raises TimeoutError."""
    writer = await asyncpg.connect(system.databases["writer"])
    portal = await asyncpg.connect(system.databases["portal"])
    end = time.monotonic() + patience
    wanted, found = 0, None
    try:
        while time.monotonic() < end:
            wanted = await writer.fetchval(
                "SELECT revision FROM writer.customer WHERE customer_id = $1", customer_id
            )
            found = await portal.fetchval(
                "SELECT revision FROM portal.customer WHERE customer_id = $1", customer_id
            )
            if wanted == found:
                return
            await asyncio.sleep(0.1)
        raise TimeoutError(
            f"customer {customer_id} is at {found}, not {wanted}, after {patience:.0f} s"
        )
    finally:
        await writer.close()
        await portal.close()
