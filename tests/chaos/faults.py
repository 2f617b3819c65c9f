"""Random faults of the soak: each kind with its targets, and rounds composed of them."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from typing import TYPE_CHECKING, Any

from redis.asyncio import Redis
from tests.chaos import soak_load
from tests.chaos.scenarios import stalls
from tests.chaos.trial import Scenario, Trial

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tests.chaos.plan import Step

OURS = ("writer", "relay", "projector-1", "projector-2", "query", "gateway")
POINTS = (
    "writer.before_commit",
    "writer.after_commit",
    "relay.mid_send",
    "relay.before_mark",
    "projector.before_db_commit",
    "projector.after_db_commit",
    "projector.before_redis",
    "projector.before_commit",
)


async def kill(t: Trial, process: str) -> None:
    """Kill a process; one that is missing at the moment was killed just before."""
    pid = t.stack.pids(process).get(process)
    if pid is not None:
        os.kill(pid, signal.SIGKILL)
        t.stage(f"kill {process}", f"process {pid}")


async def point(t: Trial, name: str) -> None:
    """Kill the next process that passes a failpoint."""
    await t.fire(name)


async def freeze(t: Trial, process: str, seconds: float) -> None:
    """Stop a process for a while."""
    await t.freeze(process)
    await asyncio.sleep(seconds)
    t.thaw()


async def link(t: Trial, how: str, server: str, seconds: float) -> None:
    """Break every link to a server in one way for a while."""
    names = t.links.matching(f">{server}")
    before = t.links.seen(names)
    if how == "reset":
        t.links.reset(names)
    elif how == "refuse":
        t.links.refuse(names)
    elif how == "delay":
        t.links.delay(names, 0.05)
    else:
        t.links.blackhole(names)
    await asyncio.sleep(seconds)
    t.links.flow(names)
    seen = t.links.seen(names) - before
    if seen:
        t.stage(f"{how} {server}", str(dict(seen)))


async def flush(t: Trial) -> None:
    """Empty the cache."""
    async with Redis.from_url(t.places.redis) as redis:
        held = await redis.dbsize()
        await redis.flushall()
    t.stage("FLUSHALL", f"{held} keys gone")


async def pause(t: Trial, process: str, seconds: float) -> None:
    """Pause a process for a moment."""
    pid = t.stack.pids(process).get(process)
    if pid is not None:
        await stalls.stand(pid, seconds)
        t.stage(f"pause {process}", f"process {pid} for {seconds} s")


async def backend(t: Trial, seconds: float) -> None:
    """Pause one Postgres backend of ours for a moment."""
    await stalls.pause_backend(t, seconds)
    t.stage("pause a backend", f"for {seconds} s")


async def block(t: Trial, process: str, seconds: float) -> None:
    """Block the event loop of a process."""
    await stalls.block_loop(t, process, seconds)
    t.stage(f"block {process}", f"for {seconds} s")


async def overloaded(t: Trial, times: float, seconds: float) -> None:
    """Overload gateway and writer while other faults happen; `finish` waits for its end."""
    t.beside.append(asyncio.create_task(soak_load.overloaded(t, times, seconds)))


#: Enough for 42 commands and 84 reads a second on average, despite the faults.
COMMANDS, READS = 75.0, 150.0
KINDS: dict[str, Callable[..., Awaitable[None]]] = {
    "kill": kill,
    "point": point,
    "freeze": freeze,
    "link": link,
    "flush": flush,
    "pause": pause,
    "backend": backend,
    "block": block,
    "overloaded": overloaded,
}
CHOICES: dict[str, list[dict[str, Any]]] = {
    "kill": [{"process": name} for name in (*OURS, "valkey-documents", "postgres")],
    "point": [{"name": name} for name in POINTS],
    "freeze": [{"process": name, "seconds": 3.0} for name in OURS[:5]],
    "link": [
        {"how": how, "server": server, "seconds": 2.0}
        for how in ("reset", "refuse", "delay", "blackhole")
        for server in ("postgres", "kafka", "documents", "writer")
    ],
    "flush": [{}],
}


#: Faults of a soak under overload: they slow a process, where the others kill it.
STALLS: dict[str, list[dict[str, Any]]] = {
    "pause": [
        {"process": name, "seconds": seconds}
        for name in (*OURS, "valkey-documents", "kafka")
        for seconds in (0.2, 0.7, 2.0)
    ],
    "backend": [{"seconds": seconds / 100} for seconds in range(30, 71, 4)],
    "block": [
        {"process": name, "seconds": seconds}
        for name in ("gateway", "query", "writer")
        for seconds in (0.2, 1.0)
    ],
}


def round_of(number: int, steps: list[Step]) -> Scenario:
    """Return a scenario that takes these steps, each at its time."""

    async def run(t: Trial) -> None:
        began = time.monotonic()
        for step in steps:
            await asyncio.sleep(max(0.0, began + step.at - time.monotonic()))
            await KINDS[step.fault](t, **step.args)
        for task in t.beside:
            await task

    under_load = any(step.fault == "overloaded" for step in steps)
    return Scenario(
        f"random round {number}",
        "random",
        run,
        may_break=True,
        # Under overload these are witnesses only: the load comes from processes of its own.
        commands=Scenario.commands if under_load else COMMANDS,
        reads=Scenario.reads if under_load else READS,
        direct=under_load,
    )
