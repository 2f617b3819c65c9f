"""Longest time for which one request blocks a service's event loop, endpoint by endpoint.

Each endpoint gets the worst input of its allowed size.
The three services run in this process, each in a thread with a loop of its own, built as in
production.
The measure is the processor time of a single step: other work on the machine does not change it.
Of several runs the shortest counts. The scenario starts its own servers.
"""

from __future__ import annotations

import asyncio
import threading
import time
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import aiohttp
from pydantic import SecretStr

from bench import worst_inputs
from bench.figures import Figure
from bench.worst_inputs import KEYS_QUERY, KEYS_WRITER, Place, Worst
from gateway.main import build
from gateway.settings import GatewaySettings
from portal_access.token import WRITER, TokenVerifier
from portal_query.api import main as query_main
from portal_query.api.app import create_app as create_query
from portal_query.api.settings import Settings as QuerySettings
from repair_writer.api.app import create_app as create_writer
from repair_writer.api.reading import Dependencies
from repair_writer.callers import KeyRing
from service_runtime import logs
from service_runtime.clock import SystemClock
from service_runtime.lifecycle import background, listen, serve_http
from service_runtime.ops import Health
from service_runtime.postgres import create_pool
from service_runtime.testing import LoopSteps

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

RUNS = 3
TARGET_MS = 20.0
SERVICES = ("gateway", "query", "writer")
ZONE = "America/Chicago"


@dataclass
class Served:
    """A service in a thread of its own."""

    url: str
    steps: LoopSteps
    loop: asyncio.AbstractEventLoop

    async def settle(self) -> None:
        """Wait for the end of the step that sent the last response: it is measured only then."""
        await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(asyncio.sleep(0), self.loop))


@dataclass
class Blocked:
    """Milliseconds of the longest step by service, the shortest over all runs; and its name."""

    ms: dict[str, float] = field(default_factory=dict)
    steps: dict[str, str] = field(default_factory=dict)
    status: int = 0

    def note(self, service: str, steps: LoopSteps) -> None:
        """Include the longest step of one run."""
        took = steps.longest * 1000
        if took < self.ms.get(service, float("inf")):
            self.ms[service], self.steps[service] = took, steps.longest_step


async def run() -> list[Figure]:
    """Measure every endpoint of the three services."""
    logs.configure(level="error", log_format="json", service="bench")
    figures: list[Figure] = []
    with worst_inputs.place() as place, services(place) as served:
        urls = {name: one.url for name, one in served.items()}
        async with aiohttp.ClientSession(auto_decompress=False) as http:
            for worst in await worst_inputs.every(place, urls, http):
                blocked = await _measure(worst, served, http)
                print("  " + _line(worst, blocked), flush=True)
                figures.append(_figure(worst, blocked))
    return figures


async def _measure(worst: Worst, served: dict[str, Served], http: aiohttp.ClientSession) -> Blocked:
    blocked = Blocked()
    for number in range(RUNS):
        for one in served.values():
            await one.settle()
            one.steps.forget()
        blocked.status = await worst.send(http, number)
        for name, one in served.items():
            await one.settle()
            blocked.note(name, one.steps)
    return blocked


def _line(worst: Worst, blocked: Blocked) -> str:
    said = "  ".join(f"{name} {blocked.ms[name]:6.1f}" for name in SERVICES)
    return f"{worst.name:<60} {blocked.status}  {said} ms"


def _figure(worst: Worst, blocked: Blocked) -> Figure:
    name, took = max(blocked.ms.items(), key=lambda one: one[1])
    note = f"{name}: {blocked.steps[name][:150]}" if took > TARGET_MS else ""
    return Figure(name=worst.name, value=took, unit="ms", target=TARGET_MS, at_most=True, note=note)


@contextmanager
def services(place: Place) -> Iterator[dict[str, Served]]:
    """Run the three services on these stores."""
    with ExitStack() as stack:
        query = stack.enter_context(_in_a_thread(lambda stop, told: _query(place, stop, told)))
        writer = stack.enter_context(_in_a_thread(lambda stop, told: _writer(place, stop, told)))
        gateway = stack.enter_context(
            _in_a_thread(lambda stop, told: _gateway(place, query.url, writer.url, stop, told))
        )
        yield {"gateway": gateway, "query": query, "writer": writer}


@contextmanager
def _in_a_thread(
    serve: Callable[[asyncio.Event, Callable[[str], None]], Awaitable[None]],
) -> Iterator[Served]:
    told: list[Any] = []
    ready = threading.Event()

    async def main() -> None:
        stop, loop = asyncio.Event(), asyncio.get_running_loop()

        def at(url: str) -> None:
            told.extend([url, loop, stop])
            ready.set()

        await serve(stop, at)

    thread = threading.Thread(target=asyncio.run, args=(main(),), daemon=True)
    thread.start()
    if not ready.wait(60):
        raise RuntimeError("a service does not start")
    url, loop, stop = told
    with LoopSteps(loop, time.thread_time) as steps:
        try:
            yield Served(url, steps, loop)
        finally:
            loop.call_soon_threadsafe(stop.set)
            thread.join(60)


async def _serving(app: Any, stop: asyncio.Event, told: Callable[[str], None], **more: Any) -> None:
    listener = listen("127.0.0.1", 0, None)
    told(f"http://127.0.0.1:{listener.getsockname()[1]}")
    await serve_http(app, listener, stop=stop, health=Health(), **more)


async def _query(place: Place, stop: asyncio.Event, told: Callable[[str], None]) -> None:
    settings = QuerySettings(
        ops_port=0,
        query_database_url=SecretStr(place.urls["query"]),
        redis_url=SecretStr(place.redis),
        identity_keys_query=SecretStr(KEYS_QUERY),
        portal_time_zone=ZONE,
        query_port=0,
    )
    async with query_main.open_parts(settings) as parts:
        revisions = parts.revisions
        async with background(revisions.listen(), revisions.ask()):
            await _serving(create_query(parts), stop, told, before_stop=revisions.close)


@asynccontextmanager
async def _writer_app(place: Place) -> AsyncIterator[Any]:
    async with AsyncExitStack() as stack:
        pools = []
        for size in (8, 1):
            pool = await create_pool(place.urls["writer"], name="bench-writer", size=size)
            stack.push_async_callback(pool.close)
            pools.append(pool)
        yield create_writer(
            Dependencies(
                pool=pools[0],
                keys=KeyRing(pools[1]),
                tokens=TokenVerifier(KEYS_WRITER, WRITER),
                clock=SystemClock(),
            )
        )


async def _writer(place: Place, stop: asyncio.Event, told: Callable[[str], None]) -> None:
    async with _writer_app(place) as app:
        await _serving(app, stop, told)


async def _gateway(
    place: Place, query: str, writer: str, stop: asyncio.Event, told: Callable[[str], None]
) -> None:
    settings = GatewaySettings.model_validate(
        {
            "ops_port": 0,
            "gateway_database_url": place.urls["gateway"],
            "query_url": query,
            "writer_url": writer,
            "identity_keys_query": KEYS_QUERY,
            "identity_keys_writer": KEYS_WRITER,
            "gateway_allowed_hosts": "127.0.0.1",
            "gateway_cookie_secure": False,
            "gateway_login_rate": 100_000,
            "log_level": "error",
        }
    )
    async with build(settings, SystemClock(), failed_seconds=0.0) as gateway:
        await _serving(gateway.app, stop, told, before_stop=gateway.streams.close)
