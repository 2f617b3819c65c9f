"""Processes that are paused, resume too late, or stop in order (rows 8, 14, 15, 16, 17, 18, 19)."""

from __future__ import annotations

import asyncio
import time
from functools import partial

from deploy.local import process_id
from redis.asyncio import Redis
from tests.chaos import topic
from tests.chaos.system import SPARES
from tests.chaos.trial import InconclusiveError, Scenario, Trial
from tests.oracle.settle import eventually

PROJECTORS = ("projector-1", "projector-2")
# A projector logs its new partitions.
ASSIGNED = '"message":"assigned"'
GROWTH_MIB = 32


async def zombie(t: Trial) -> None:
    """Pause a projector before it publishes; another publishes newer counts; then resume the first."""
    await t.load.drain(30)
    await t.applied()
    customer = t.load.hot[0]
    await t.fire_by(t.load.send(t.load.record(customer)), "projector.before_redis", "stop")
    old = await t.one("SELECT revision FROM portal.customer WHERE customer_id = $1", customer)
    await t.load.send(t.load.record(customer))

    async def overtaken() -> bool:
        return bool(await _held(t, customer) > old)

    await t.until(overtaken, "another projector takes over", 60)
    newest = await _held(t, customer)
    t.stage("zombie", f"Redis holds {newest}, the stopped one still has {old}")
    t.thaw()
    for _ in range(60):
        t.expect(await _held(t, customer) >= newest, "I5: Redis went back")
        await asyncio.sleep(0.05)
    t.load.start()
    await t.acked(10)


async def _held(t: Trial, customer: int) -> int:
    async with Redis.from_url(t.places.redis) as redis:
        return int(await redis.hget(f"portal:{customer}", "revision") or 0)


async def paused(t: Trial) -> None:
    """Pause both projectors: readers see old figures with their age."""
    await t.freeze(*PROJECTORS)
    began = time.time()
    await t.acked(30)
    await t.hold(8)
    t.thaw()
    stood = [read for read in t.readers.reads if read.status == 200 and read.began > began]
    said = [read for read in stood if read.lag is not None]
    if not said:
        raise InconclusiveError("nobody was told a lag")
    for read in said:
        # Nothing can have been published during the pause, so the lag is at least as long.
        t.expect(
            (read.lag or 0) >= read.began - began - 1,
            f"I8: {read.began - began:.1f} s into the pause the lag is said to be {read.lag} s",
        )
    t.evidence.append(f"published lags while they stood: {[read.lag for read in said][-5:]}")


async def both_down(t: Trial) -> None:
    """Stop both projectors under commands; afterwards they catch up faster than new events arrive."""
    await t.down(*PROJECTORS)
    began, before = time.monotonic(), len(t.load.acks.done)
    await t.acked(40)
    await t.hold(10)
    waiting, away = len(t.load.acks.done) - before, time.monotonic() - began
    await t.load.drain(30)
    began = time.monotonic()
    await t.ready()
    await t.applied()
    t.evidence.append(
        f"{waiting} commands of {away:.0f} s were caught up {time.monotonic() - began:.1f} s after the start"
    )
    t.load.start()
    await t.acked(5)


async def leaves_in_order(t: Trial) -> None:
    """Send SIGTERM to each process of the pipe within a batch: exit within ten seconds, status 0."""
    for name in ("projector-1", "projector-2", "relay", "writer"):
        restarts = t.supervised()[name]["restarts"]
        began = time.monotonic()
        await t.kill(name, 15)
        took = time.monotonic() - began
        t.expect(took < 10, f"I10: {name} took {took:.1f} s to leave")
        await t.until(partial(_is_back, t, name, restarts), f"the supervisor notices {name}")
        ended = t.supervised()[name]["last_exit"]
        t.expect(ended == 0, f"I10: {name} ended with {ended}")
        t.evidence.append(f"{name} left in {took:.1f} s")
        await t.ready()


def _is_back(t: Trial, name: str, restarts: int) -> bool:
    return bool(t.supervised()[name]["restarts"] > restarts)


async def two_leaders(t: Trial) -> None:
    """Pause the leading relay until it loses its lock; a second leads; then the first resumes as
    leader.
    """
    t.stack.system.spares.add("relay-2")
    try:
        t.stack.want()
        await t.until(lambda: "relay-2" in t.stack.pids(), "a second relay runs")
        await t.until(lambda: _log_says(t, "relay-2", "relay_waits_for_leader"), "the second waits")
        await t.freeze("relay")
        lost = await t.sql(
            "SELECT pg_terminate_backend(a.pid) FROM pg_locks l JOIN pg_stat_activity a USING (pid) "
            "WHERE l.locktype = 'advisory' AND a.application_name = 'repair-relay-leader' AND l.granted"
        )
        await t.until(lambda: _log_says(t, "relay-2", "relay_leads"), "the second leads")
        t.stage("lease lost", f"{len(lost)} lock, the second relay leads")
        await t.acked(15)
        t.thaw()
        await t.acked(15)
        await t.sent()
    finally:
        t.thaw()
        t.stack.system.spares.clear()
        t.stack.want()


def _log_says(t: Trial, name: str, words: str) -> bool:
    return words in t.stack.log(name).read_text()


def _as_wanted(t: Trial) -> bool:
    return set(t.stack.pids(*SPARES)) == t.stack.system.spares


async def rebalances(t: Trial) -> None:
    """Start and stop a third projector: each window of ten seconds counts some events."""
    system, storms = t.stack.system, 0
    counted = "SELECT coalesce(sum(revision), 0)::bigint FROM portal.customer"
    progress: list[int] = [await t.one(counted)]
    end = time.monotonic() + t.lasting(20)
    try:
        while time.monotonic() < end:
            system.spares ^= {"projector-3"}
            t.stack.want()
            await t.until(partial(_as_wanted, t), "it comes or goes", 40)
            storms += 1
            await t.hold(2)
            progress.append(await t.one(counted))
    finally:
        system.spares.clear()
        t.stack.want()
    t.stage("third projector", f"came and went {storms} times")
    t.expect(progress[-1] > progress[0], f"I10: no progress: {progress}")


async def slow_database(t: Trial) -> None:
    """Delay PostgreSQL's responses to the projectors by 50 ms: slower, without a backlog."""
    names = [f"{name}>postgres" for name in PROJECTORS]
    pids = t.stack.pids(*PROJECTORS)
    held = {name: process_id.resident_bytes(pid) or 0 for name, pid in pids.items()}
    members = {name: _log_counts(t, name, ASSIGNED) for name in PROJECTORS}
    before = t.links.seen(names)["delayed"]
    offsets = sum((await topic.committed(t.places)).values())
    t.links.delay(names, 0.05)
    await t.acked(40)
    await t.hold(5)
    seen = t.links.seen(names)["delayed"] - before
    if not seen:
        raise InconclusiveError("nothing was delayed")
    t.stage("delay postgres", f"{seen} chunks")

    async def counted() -> bool:
        return sum((await topic.committed(t.places)).values()) > offsets

    await eventually(counted, "I10: offsets go on while the database is slow")
    for name, pid in pids.items():
        grown = ((process_id.resident_bytes(pid) or 0) - held[name]) / 2**20
        t.expect(grown < GROWTH_MIB, f"I10: {name} grew by {grown:.0f} MiB behind a slow database")
        t.evidence.append(f"{name} grew by {grown:.1f} MiB")
        # A consumer that polls too late leaves the group and gets its partitions again.
        anew = _log_counts(t, name, ASSIGNED) - members[name]
        t.expect(anew == 0, f"I10: {name} was put out of its group {anew} times")
    t.links.flow(names)


def _log_counts(t: Trial, name: str, words: str) -> int:
    return t.stack.log(name).read_text().count(words)


SCENARIOS = [
    Scenario("zombie projector", "14", zombie),
    Scenario("projectors paused", "15", paused),
    Scenario("projectors down", "16", both_down),
    Scenario("leave in order", "17", leaves_in_order),
    Scenario("two leading relays", "8", two_leaders),
    Scenario("rebalance storm", "18", rebalances),
    Scenario("slow database", "19", slow_database),
]
