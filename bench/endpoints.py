"""Rate of documented responses: through the gateway with 64 sessions, and from the query API alone.

The floor is a bare uvicorn process with the same bytes: the same socket without our code.
"""

from __future__ import annotations

import asyncio
import socket
import sys
import tempfile
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import aiohttp
from tests.oracle.sessions import open_sessions

from bench.figures import Figure
from bench.wrk import Load, Result, measure
from portal_access.token import HEADER, Identity, TokenSigner
from service_runtime.clock import SystemClock

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from bench.running import System

VIEWS = {
    "unit list": "/customer/api/unit-repair-data/",
    "month list": "/customer/api/repair-cost-data/",
}
SESSIONS = 64
# Tokens live for 30 s; warm-up and measurement must end before.
LONGEST_SECONDS = 20.0


async def run(system: System, *, seconds: float, customer_id: int) -> list[Figure]:
    """Measure both documented endpoints for a customer, through the gateway and without it."""
    seconds = min(seconds, LONGEST_SECONDS)
    sessions = await open_sessions(system.databases["gateway"], [customer_id] * SESSIONS)
    cookies = [{"Cookie": f"sessionid={one}"} for one in sessions]
    figures: list[Figure] = []
    for name, path in VIEWS.items():
        body = await _answer(system.portal + path, cookies[0])
        async with bare(body) as url:
            floor = await measure(Load(url=url, path="/", seconds=seconds))
        gateway = await measure(
            Load(url=system.portal, path=path, headers=cookies, seconds=seconds)
        )
        figures += _figures(f"{name} through the gateway", gateway, floor, 3000, len(body))
        if name == "unit list":
            figures.append(_p99(f"{name} through the gateway, p99", gateway, floor))
        alone = await measure(
            Load(url=system.query, path=path, headers=_tokens(system, customer_id), seconds=seconds)
        )
        figures += _figures(f"{name}, query api alone", alone, floor, 8000, len(body))
    return figures


def _figures(name: str, result: Result, floor: Result, target: float, size: int) -> list[Figure]:
    note = f"{size} bytes a body, p50 {result.p50:.1f} ms, p99 {result.p99:.1f} ms, {result.client}"
    if result.failures:
        note += f", {result.failures} FAILED"
    return [
        Figure(
            name=name, value=result.per_second, unit="requests/s", target=target, floor=floor.per_second,
            floor_is="bare uvicorn, same bytes", note=note,
        )
    ]  # fmt: skip


def _p99(name: str, result: Result, floor: Result) -> Figure:
    return Figure(
        name=name,
        value=result.p99,
        unit="ms",
        target=50,
        at_most=True,
        floor=floor.p99,
        floor_is="bare uvicorn",
    )


def _tokens(system: System, customer_id: int) -> list[dict[str, str]]:
    """Sign identities as the gateway does; they live for 30 s, longer than one measurement."""
    signer = TokenSigner(system.query_keys(), "query")
    made = SystemClock().now()
    return [
        {HEADER: signer.sign(Identity(user, f"bench-{user}", customer_id, f"bench-{user}"), made)}
        for user in range(1, SESSIONS + 1)
    ]


async def _answer(url: str, headers: dict[str, str]) -> bytes:
    async with (
        aiohttp.ClientSession() as http,
        http.get(url, headers=headers, allow_redirects=False) as answer,
    ):
        if answer.status != 200:
            raise RuntimeError(f"{url} answered {answer.status}: {(await answer.text())[:200]}")
        return await answer.read()


@asynccontextmanager
async def bare(body: bytes) -> AsyncIterator[str]:
    """Run a bare uvicorn process with these bytes, and yield its address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with tempfile.TemporaryDirectory() as folder:
        held = Path(folder) / "body"
        held.write_bytes(body)
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "bench.bare", str(held), str(port)
        )
        try:
            await _listening(port)
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()
            await process.wait()


async def _listening(port: int) -> None:
    for _ in range(200):
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            await asyncio.sleep(0.05)
        else:
            writer.close()
            return
    raise RuntimeError("the bare server does not listen")
