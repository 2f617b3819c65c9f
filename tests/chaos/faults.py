"""Random faults for the soak: each kind with what it may be done to, and rounds made of them."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from typing import TYPE_CHECKING, Any

from redis.asyncio import Redis
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
    """Kill a process; one that is not there at the moment has been killed just before."""
    pid = t.stack.pids(process).get(process)
    if pid is not None:
        os.kill(pid, signal.SIGKILL)
        t.stage(f"kill {process}", f"process {pid}")


async def point(t: Trial, name: str) -> None:
    """Kill whoever passes a point."""
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


#: Enough for 42 commands and 84 reads a second on average, though faults stop them again and again.
COMMANDS, READS = 75.0, 150.0
KINDS: dict[str, Callable[..., Awaitable[None]]] = {
    "kill": kill,
    "point": point,
    "freeze": freeze,
    "link": link,
    "flush": flush,
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


def round_of(number: int, steps: list[Step]) -> Scenario:
    """Return a scenario that takes these steps, each at its time."""

    async def run(t: Trial) -> None:
        began = time.monotonic()
        for step in steps:
            await asyncio.sleep(max(0.0, began + step.at - time.monotonic()))
            await KINDS[step.fault](t, **step.args)

    return Scenario(
        f"random round {number}",
        "random",
        run,
        may_break=True,
        commands=COMMANDS,
        reads=READS,
    )
