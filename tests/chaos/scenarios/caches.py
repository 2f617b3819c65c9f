"""Redis is lost, unavailable, full, read-only or slow (rows 41, 42, 43, 44, 45): reads continue
from Postgres.
"""

from __future__ import annotations

import os
import signal
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from redis.asyncio import Redis
from redis.exceptions import RedisError
from tests.chaos.trial import InconclusiveError, Scenario, Trial
from tests.chaos.visits import visiting

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

SERVER = "valkey-documents"


@asynccontextmanager
async def client(t: Trial) -> AsyncIterator[Redis]:
    """Connect to the server of the cached counts directly."""
    async with Redis.from_url(t.places.redis) as opened:
        yield opened


async def good_reads(t: Trial, count: int, seconds: float = 30.0) -> None:
    """Wait for so many successful reads, the readers' view of the fault; too few violate an
    invariant.
    """
    before = sum(read.status == 200 for read in t.readers.reads)
    try:
        await t.until(
            lambda: sum(read.status == 200 for read in t.readers.reads) >= before + count,
            "reads",
            seconds,
        )
    except InconclusiveError:
        t.expect(False, f"I12: no {count} reads within {seconds:.0f} s of the fault")


async def emptied(t: Trial) -> None:
    """Kill Redis so that it returns empty, then flush it: no read fails, and reads refill it within
    a minute.
    """
    unavailable = sum(read.status != 200 for read in t.readers.reads)
    pid = t.stack.pids(SERVER)[SERVER]
    os.kill(pid, signal.SIGKILL)
    t.struck = time.monotonic()
    await t.until(lambda: t.stack.pids(SERVER).get(SERVER, pid) != pid, "Valkey is back")
    t.stage("kill valkey", f"process {pid} is gone")
    await good_reads(t, 15)
    async with client(t) as redis:
        await _warm(t, redis)
        held = await redis.dbsize()
        await redis.flushall()
        t.struck = time.monotonic()
        t.stage("FLUSHALL", f"{held} keys gone")
        await good_reads(t, 15)
        await _warm(t, redis)
    failed = sum(read.status != 200 for read in t.readers.reads) - unavailable
    t.expect(failed == 0, f"I12: {failed} reads failed without Redis")


async def _warm(t: Trial, redis: Redis) -> None:
    async def holds_all() -> bool:
        return await redis.exists(*(f"portal:{customer}" for customer in t.load.hot)) == len(
            t.load.hot
        )

    await t.until(holds_all, "it holds whoever is read", 90)
    await t.agree_again("redis lost")


async def refuses(t: Trial) -> None:
    """Refuse connections to Redis for a while; afterwards its cached counts are older than served
    ones.
    """
    names = t.links.matching(">documents")
    before = t.links.seen(names)["reset"]
    t.links.refuse(names)
    if t.links.seen(names)["reset"] == before:
        raise InconclusiveError("no connection was open")
    t.stage(
        "refuse redis",
        f"{t.links.seen(names)['reset'] - before} connections reset, new ones refused",
    )
    await good_reads(t, 15)
    await t.acked(15)
    await t.hold(3)
    t.links.flow(names)
    await good_reads(t, 25)


async def full(t: Trial) -> None:
    """Take Redis's memory without eviction: writes fail and reads work; then give room again."""
    async with client(t) as redis:
        before = await redis.config_get("maxmemory*")
        await redis.config_set("maxmemory-policy", "noeviction")
        await redis.config_set("maxmemory", "1")
        try:
            await redis.set("probe", "x")
        except RedisError as refused:
            t.stage("redis is full", str(refused)[:80])
        await good_reads(t, 15)
        await t.acked(15)
        await t.hold(2)
        await redis.config_set("maxmemory", str(before["maxmemory"]))
        await redis.config_set("maxmemory-policy", str(before["maxmemory-policy"]))


async def read_only(t: Trial) -> None:
    """Make Redis the replica of an unavailable master."""
    async with client(t) as redis:
        await redis.replicaof("127.0.0.1", "1")
        try:
            await redis.set("probe", "x")
        except RedisError as refused:
            t.stage("redis is a replica", str(refused)[:80])
        await good_reads(t, 15)
        await t.acked(15)
        await t.hold(2)
        await redis.replicaof("NO", "ONE")


async def slow(t: Trial) -> None:
    """Stop Redis's responses for two seconds, then altogether: a read costs slightly more."""
    async with client(t) as redis:
        await redis.client_pause(2_000)
        t.stage("CLIENT PAUSE", "2 s")
    await good_reads(t, 15)
    await t.freeze(SERVER)
    before, tries, began = (
        len(t.readers.reads),
        t.links.taken(["query>documents"]),
        time.monotonic(),
    )
    await good_reads(t, 15)
    await t.hold(3)
    during = [read.took for read in t.readers.reads[before:] if read.status == 200]
    tries, seconds = t.links.taken(["query>documents"]) - tries, time.monotonic() - began
    t.thaw()
    t.evidence.append(
        f"slowest of {len(during)} reads without Redis: {max(during):.2f} s; asked {tries} times anew in {seconds:.1f} s"
    )
    # One try a second, plus the requests already in a batch and the stream of hints.
    t.expect(tries <= 3 * seconds + 8, f"I12: Redis that is silent was tried {tries} times")


async def limits_away(t: Trial) -> None:
    """Reset, refuse, then silence the gateway's request counters: no request is rejected for that."""
    names = t.links.matching(">limits")
    async with visiting(t):
        await good_reads(t, 5)
        for how in ("refuse", "blackhole"):
            getattr(t.links, how)(names)
            before = len(t.readers.reads)
            await good_reads(t, 20)
            refused = {read.status for read in t.readers.reads[before:]} - {200, 503}
            t.expect(not refused, f"I12: without counters the gateway answered {refused}")
            t.links.flow(names)
            await good_reads(t, 10)
    seen = t.links.seen(names)
    if not seen:
        raise InconclusiveError("the counters were not asked")
    t.stage("counters away", str(dict(seen)))


SCENARIOS = [
    Scenario("redis emptied", "41", emptied),
    Scenario("redis refuses", "42", refuses),
    Scenario("redis full", "43", full),
    Scenario("redis read-only", "44", read_only),
    Scenario("redis slow", "45", slow),
    Scenario("counters of requests away", "46", limits_away),
]
