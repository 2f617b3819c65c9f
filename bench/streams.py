"""Cost of open streams: 500 idle pages through the gateway.

Processor time and memory are the kernel's, of all gateway and query processes, compared with the
same processes without streams.
"""

from __future__ import annotations

import asyncio
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import aiohttp
from tests.oracle.sessions import open_sessions

from bench.commands import make_customers
from bench.figures import Figure
from bench.running import read_status

if TYPE_CHECKING:
    from bench.running import System

STREAMS = 500
#: The gateway limits streams by session, the query API by customer.
CUSTOMERS = 50
FIRST_CUSTOMER = 950_000
PATH = "/customer/api/events/"
MEASURED = ("query", "gateway")
LEAST_SECONDS = 20.0
_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True)
class Used:
    """Resources used by processes so far."""

    seconds: float
    mebibytes: float


async def run(system: System, *, seconds: float) -> list[Figure]:
    """Hold the streams open for so long, at least for a heartbeat."""
    seconds = max(seconds, LEAST_SECONDS)
    await make_customers(system, FIRST_CUSTOMER, CUSTOMERS)
    customers = [FIRST_CUSTOMER + n % CUSTOMERS for n in range(STREAMS)]
    sessions = await open_sessions(system.databases["gateway"], customers)
    processes = _processes()
    quiet = await _used_in(processes, seconds / 2)
    before = _used(processes)
    connector = aiohttp.TCPConnector(limit=0)
    async with (
        aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=None),
        ) as http,
        asyncio.TaskGroup() as group,
    ):
        readers = []
        for session in sessions:  # one after the other: the cost of opening is not measured
            opened = asyncio.Event()
            readers.append(group.create_task(_read(http, system.portal, session, opened)))
            await opened.wait()
        await asyncio.sleep(2)  # opening is not holding
        held = await _used_in(processes, seconds)
        after = _used(processes)
        for reader in readers:
            reader.cancel()
    share = held / seconds - quiet / (seconds / 2)
    return [
        Figure(
            name=f"{STREAMS} open streams, processor", value=share, unit="cores", target=0.25, at_most=True,
            note=f"query and gateway without them: {quiet / (seconds / 2):.3f} cores",
        ),
        Figure(
            name=f"{STREAMS} open streams, memory", value=after.mebibytes - before.mebibytes, unit="MiB", target=100,
            at_most=True,
        ),
    ]  # fmt: skip


async def _read(
    http: aiohttp.ClientSession, portal: str, session: str, opened: asyncio.Event
) -> None:
    headers = {"Cookie": f"sessionid={session}"}
    async with http.get(portal + PATH, headers=headers, allow_redirects=False) as answer:
        if answer.status != 200:
            raise RuntimeError(f"a stream answered {answer.status}")
        async for line in answer.content:
            if line.startswith(b"id:"):
                opened.set()
                break
        async for _ in answer.content:
            pass
        raise RuntimeError("a stream ended by itself")


async def _used_in(processes: list[int], seconds: float) -> float:
    before = _used(processes)
    await asyncio.sleep(seconds)
    return _used(processes).seconds - before.seconds


def _processes() -> list[int]:
    found = read_status()["processes"]
    return [int(one["pid"]) for one in found if one["name"].startswith(MEASURED)]


def _used(processes: list[int]) -> Used:
    ticks = pages = 0
    for process in processes:
        folder = Path("/proc") / str(process)
        fields = (folder / "stat").read_text().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
        pages += int((folder / "statm").read_text().split()[1])
    return Used(ticks / _TICKS, pages * _PAGE / 2**20)
