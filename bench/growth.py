"""Cost in relation to history: the same figures for a customer with a short and a long one."""

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
ROUNDS = 3


async def run(system: System, *, seconds: float, long: int) -> list[Figure]:
    """Compare a customer of 1 000 repairs with one of `long`: the same units, the same months.

    They take turns, and the best of each counts: other work on the machine affects both alike.
    """
    customers = {repairs: FIRST_CUSTOMER + repairs for repairs in (SHORT, long)}
    cookies = {
        repairs: await _prepare(system, customers[repairs], repairs) for repairs in customers
    }
    best: dict[tuple[str, int], float] = {}
    for _ in range(ROUNDS):
        for repairs, customer_id in customers.items():
            load = Load(
                url=system.portal,
                path=VIEWS["unit list"],
                headers=cookies[repairs],
                seconds=seconds / 2,
            )
            reads = await measure(load, warm_up=1)
            writes = await record(system, seconds=seconds / 2, first=customer_id, customers=1)
            for name, found in (("unit list", reads), ("commands to one customer", writes)):
                best[name, repairs] = max(best.get((name, repairs), 0.0), found.per_second)
    return [
        Figure(
            name=f"{name}, {long} repairs", value=best[name, long], unit=unit, target=0.8 * best[name, SHORT],
            floor=best[name, SHORT], floor_is=f"the same with {SHORT} repairs",
        )
        for name, unit in (("unit list", "requests/s"), ("commands to one customer", "commands/s"))
    ]  # fmt: skip


async def _prepare(system: System, customer_id: int, repairs: int) -> list[dict[str, str]]:
    """Record repairs for a customer, wait until they are counted, and return session cookies."""
    await make_customers(system, customer_id, 1)
    await send(system, customer_id, f"growth-{customer_id}", repairs)
    await counted(system, customer_id)
    sessions = await open_sessions(system.databases["gateway"], [customer_id] * SESSIONS)
    return [{"Cookie": f"sessionid={one}"} for one in sessions]


async def counted(system: System, customer_id: int, patience: float = 300) -> None:
    """Wait until the projector has applied all of the writer's events of a customer.

    Raises TimeoutError.
    """
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
