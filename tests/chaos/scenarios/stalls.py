"""Pauses under load: of a process, a Postgres backend, Valkey, Kafka, and the event loop (rows 55,
56, 57).
"""

from __future__ import annotations

import asyncio
import itertools
import os
import signal
import time
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING

from deploy.local import probe
from tests.chaos import measured, offered, operators
from tests.chaos.measured import Measured
from tests.chaos.scenarios import overload
from tests.chaos.targets import targets
from tests.chaos.trial import Scenario, Trial

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from tests.chaos.targets import Target

SERVING = ("gateway", "query", "writer")
STREAMING = ("relay", "projector-1", "projector-2")
SERVERS = ("valkey-documents", "kafka")
#: As many as the known fault needed; the short form repeats a tenth as often.
REPEATS = 50
SHORT = 0.1
CONNECTIONS = 64
BASE_SECONDS = 2.0
LONGEST_SECONDS = 600.0
SHORTEST, LONGEST = 0.1, 2.0
#: Around each deadline of ours, in steps of 10 ms; in an order in which also a few repeats cover them all evenly.
BACKEND_SHORTEST, BACKEND_STEP, BACKEND_STEPS, BACKEND_STRIDE = 0.3, 0.01, 41, 11
BLOCKED_SHORTEST, BLOCKED_LONGEST = 0.1, 1.0
POOLS = "^(gateway|portal-query|repair-writer|projector|repair-relay)"


async def processes(t: Trial) -> None:
    """Pause each process of ours for 0.1 to 2 s, repeatedly, under 64 connections."""
    async with _loaded(t) as loads:
        for name in SERVING:
            await _paused(t, loads[name], lambda name=name: _pause_process(t, name))  # type: ignore[misc]
        for name in STREAMING:
            await _paused(t, loads["writer"], lambda name=name: _pause_process(t, name))  # type: ignore[misc]


async def servers(t: Trial) -> None:
    """Pause Valkey and Kafka for 0.1 to 2 s, repeatedly."""
    async with _loaded(t) as loads:
        for name in SERVERS:
            await _paused(t, loads["query"], lambda name=name: _pause_process(t, name))  # type: ignore[misc]


async def backends(t: Trial) -> None:
    """Pause single Postgres backends for 0.3 to 0.7 s, around each deadline of ours."""
    steps = itertools.count()

    async def pause() -> str:
        step = next(steps) * BACKEND_STRIDE % BACKEND_STEPS
        await pause_backend(t, BACKEND_SHORTEST + BACKEND_STEP * step)
        return "a backend"

    async with _loaded(t) as loads:
        for name in SERVING:
            await _paused(t, loads[name], pause)


async def pause_backend(t: Trial, seconds: float) -> None:
    """Pause one backend of a process of ours for so long."""
    rows = await t.sql("SELECT pid FROM pg_stat_activity WHERE application_name ~ $1", POOLS)
    await stand(t.rng.choice(rows)["pid"], seconds)


async def event_loop(t: Trial) -> None:
    """Block the event loop of each serving process for 0.1 to 1 s with other work of the process."""
    async with _loaded(t) as loads:
        for name in SERVING:
            await _paused(t, loads[name], lambda name=name: _block_loop(t, name))  # type: ignore[misc]


@asynccontextmanager
async def _loaded(t: Trial) -> AsyncIterator[dict[str, Target]]:
    """Yield a request for each serving process; nothing may leak meanwhile."""
    customers = await t.load.found_more(4)
    await overload.warm(t)
    found = {one.name.partition(",")[0]: one for one in reversed(targets(t, customers))}
    for target in found.values():
        await offered.send(target.closed(1.0))
    before = {name: operators.held(t.stack, name) for name in (*SERVING, *STREAMING)}
    yield found
    await overload.nothing_leaked(t, before)


async def _paused(t: Trial, target: Target, pause: Callable[[], Awaitable[str]]) -> None:
    """Pause repeatedly under load; service is normal within five seconds, at the old throughput."""
    seconds = max(1.0, t.lasting(BASE_SECONDS))
    peak = await offered.send(target.closed(seconds))
    held = operators.held(t.stack, target.process)
    enough = asyncio.Event()
    load = asyncio.create_task(offered.send(target.at(CONNECTIONS, LONGEST_SECONDS), enough))
    repeats, name = max(3, round(t.lasting(REPEATS))), ""
    try:
        for _ in range(repeats):
            name = await pause()
            await asyncio.sleep(t.rng.uniform(0.05, 0.3))
    finally:
        enough.set()
        found = await load
    normal = await overload.until_normal(t, time.monotonic())
    later = await offered.send(target.closed(seconds))
    t.stage(f"pause {name}", f"{repeats} times")
    result = Measured(
        process=name,
        load=f"{repeats} pauses",
        served=later.served,
        share=later.served / peak.served if peak.served else None,
        refused=found.refused,
        reasons=found.reasons,
        longest_served=found.served_in.longest,
        longest_refused=found.refused_in.longest,
        normal=normal,
        growth=operators.held(t.stack, target.process).resident - held.resident,
    )
    t.measured.append(result)
    t.broken += measured.broken_promises(result, t.slack, PAUSED_REASONS, LONGEST)
    t.expect(not found.broken, f"I12: pauses of {name} broke {found.broken} connections")
    t.expect(not found.unanswered, f"I12: pauses of {name}: {found.unanswered} without an answer")


#: During the pause of a server, "unavailable" is the true reason.
PAUSED_REASONS = measured.TRUE_REASONS | {"503 unavailable", "503"}


async def _pause_process(t: Trial, name: str) -> str:
    await stand(t.stack.pids(name)[name], t.rng.uniform(SHORTEST, LONGEST))
    return name


async def stand(pid: int, seconds: float) -> None:
    """Pause a process for so long; one that ends meanwhile has been replaced."""
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGSTOP)
        try:
            await asyncio.sleep(seconds)
        finally:
            os.kill(pid, signal.SIGCONT)


async def _block_loop(t: Trial, name: str) -> str:
    await block_loop(t, name, t.rng.uniform(BLOCKED_SHORTEST, BLOCKED_LONGEST))
    return f"loop of {name}"


async def block_loop(t: Trial, name: str, seconds: float) -> None:
    """Block the event loop of a process: its operators' port passes a failpoint that sleeps."""
    port = t.stack.system.ports[f"{name}_ops"]
    point = t.stack.system.failpoints / f"ops.{port}"
    point.write_text(f"sleep {seconds:.2f}")
    await asyncio.to_thread(probe.http_status, port, "/readyz", 5.0)
    t.expect(not point.exists(), f"the failpoint of {name} did not fire")


SCENARIOS = [
    Scenario("stall of processes", "55", processes, may_break=True, direct=True, short=SHORT),
    Scenario("stall of servers", "55", servers, may_break=True, direct=True, short=SHORT),
    Scenario("stall of backends", "56", backends, may_break=True, direct=True, short=SHORT),
    Scenario("stall of event loops", "57", event_loop, may_break=True, direct=True, short=SHORT),
]
