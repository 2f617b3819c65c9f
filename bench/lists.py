"""Response time of the query API for pages of a long list: filters, orders, depths; and its file.

One caller sends one request at a time: the figure is the time of a response, not of a queue.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import aiohttp

from bench.commands import REPAIR, make_customers
from bench.figures import Figure, percentile
from bench.growth import counted
from bench.imports import post
from bench.running import resident
from portal_access.token import HEADER, Identity, TokenSigner
from service_runtime.clock import SystemClock

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from bench.running import System

CUSTOMER = 940_000
PATH = "/customer/api/repairs/"
PAGES = 4
ROUNDS = 2
FILTERS = (
    *("", "status=COMPLETED", "status=PENDING", "status=DENIED", "status=COMPLETED&status=DENIED"),
    *(
        "unit=L-0001",
        "unit=L-0001&status=COMPLETED",
        "month=2025-03",
        "month=2025-03&status=COMPLETED",
    ),
    *(
        "from=2025-01-01&to=2025-12-31",
        "from=2024-02-10&to=2026-05-20",
        "from=2025-06-01&status=DENIED",
    ),
    *("q=crack", "q=crack%2099999", "q=nothing%20like%20this", "q=crack&status=PENDING"),
)
SORTS = (
    "",
    *(f"sort={sign}{by}" for by in ("cost", "unit_number", "changed_at") for sign in ("", "-")),
)


async def run(system: System, *, repairs: int) -> list[Figure]:
    """Measure the list of a customer with so many repairs."""
    await _prepare(system, repairs)
    timeout = aiohttp.ClientTimeout(total=120)
    async with aiohttp.ClientSession(timeout=timeout) as http:
        asking = Asking(system, http)
        times = [
            taken
            for _ in range(ROUNDS)
            for narrowed, sort in itertools.product(FILTERS, SORTS)
            for taken in await asking.pages(narrowed, sort)
        ]
        seconds, grown = await asking.file()
    note = f"{len(times)} pages of {len(FILTERS)} filters in {len(SORTS)} orders, p50 {percentile(times, 0.5):.1f} ms, max {max(times):.0f} ms"
    return [
        Figure(
            name=f"page of {repairs} repairs, p99", value=percentile(times, 0.99), unit="ms", target=30, at_most=True,
            note=note,
        ),
        Figure(name=f"file of {repairs} repairs", value=repairs / seconds, unit="lines/s"),
        Figure(name="memory that a file adds to the query api", value=grown, unit="MiB", target=20, at_most=True),
    ]  # fmt: skip


class Asking:
    """Sends requests to the query API as the gateway does."""

    def __init__(self, system: System, http: aiohttp.ClientSession) -> None:
        self._url = system.query + PATH
        self._http = http
        self._signer = TokenSigner(system.query_keys(), "query")

    def headers(self) -> dict[str, str]:
        """Return a fresh identity; one lives for 30 s."""
        identity = Identity(1, "bench-1", CUSTOMER, "bench-1")
        return {HEADER: self._signer.sign(identity, SystemClock().now())}

    async def pages(self, narrowed: str, sort: str) -> list[float]:
        """Return the milliseconds of each of the first pages of a list."""
        times: list[float] = []
        cursor = ""
        for _ in range(PAGES):
            query = "&".join(part for part in (narrowed, sort, cursor) if part)
            begun = time.perf_counter()
            async with self._http.get(f"{self._url}?{query}", headers=self.headers()) as answer:
                body = await answer.read()
            times.append((time.perf_counter() - begun) * 1000)
            if answer.status != 200:
                raise RuntimeError(f"{query} answered {answer.status}: {body[:200]!r}")
            following = json.loads(body)["next"]
            if following is None:
                break
            cursor = f"cursor={following}"
        return times

    async def file(self) -> tuple[float, float]:
        """Return the seconds for the whole list as a file, and the MiB that it added."""
        before, begun = await asyncio.to_thread(_query_mebibytes), time.perf_counter()
        async with self._http.get(f"{self._url}export.csv", headers=self.headers()) as answer:
            if answer.status != 200:
                raise RuntimeError(f"the file answered {answer.status}")
            async for _ in answer.content.iter_any():
                pass
        seconds = time.perf_counter() - begun
        return seconds, await asyncio.to_thread(_query_mebibytes) - before


def _query_mebibytes() -> float:
    return sum(value for name, value in resident().items() if name.startswith("query"))


async def _prepare(system: System, repairs: int) -> None:
    await make_customers(system, CUSTOMER, 1)
    await post(system, _lines(repairs), repairs)
    await counted(system, CUSTOMER)


async def _lines(repairs: int) -> AsyncIterator[bytes]:
    """Yield a long history: 2 000 units, five years, all statuses, various descriptions."""
    start = datetime(2022, 1, 1, 8, tzinfo=UTC)
    rare = {0: "REQUESTED", 1: "PENDING", 2: "APPROVED", 3: "IN_PROGRESS"}
    for number in range(repairs):
        line: dict[str, Any] = REPAIR | {
            "customer_id": CUSTOMER,
            "unit_number": f"L-{number * number % 2000:04d}",
            "repair_date": f"{start + timedelta(minutes=number * 997 % (5 * 365 * 1440)):%Y-%m-%dT%H:%M:%SZ}",
            "status": rare.get(number % 500, "DENIED" if number % 20 == 0 else "COMPLETED"),
            "description": f"{'Crack' if number % 3 == 0 else 'Stone chip'} {number}",
            "cost": f"{50 + number * 7 % 400}.00",
            "source_ref": f"lists-{number}",
        }
        yield json.dumps(line).encode() + b"\n"
