"""PostgreSQL dies, resets, is silent, locked, full (rows 31, 32, 33, 37, 38, 39) or unavailable for
the gateway (48).
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
from functools import partial

import asyncpg
from tests.chaos.scenarios.caches import good_reads
from tests.chaos.trial import InconclusiveError, Scenario, Trial

SERVICES = ("writer", "relay", "projector", "query", "gateway")
DATABASES = [
    f"{name}>postgres" for name in (*SERVICES[:2], "projector-1", "projector-2", *SERVICES[3:])
]
#: A projector commits its offsets once a second.
COMMIT_SECONDS = 1.5
OURS = "usename IN ('writer', 'portal', 'query', 'gateway')"


async def restarted(t: Trial) -> None:
    """Stop Postgres without a checkpoint; it recovers, and no process of ours needs a restart."""
    pids = {name: pid for name, pid in t.stack.pids().items() if name.startswith(SERVICES)}
    await t.kill("postgres", signal.SIGQUIT)
    await t.acked(20, 60)
    await t.ready()
    now = t.stack.pids(*pids)
    t.expect(now == pids, f"I10: a process of ours did not outlive it: {pids}, now {now}")


async def resets(t: Trial) -> None:
    """Reset all connections to Postgres, four times, under bursts."""
    names = t.links.matching(">postgres")
    for _ in range(4):
        burst = asyncio.create_task(t.load.burst(15))
        await asyncio.sleep(t.rng.uniform(0.05, 0.3))
        before = t.links.seen(names)["reset"]
        t.links.reset(names)
        t.stage("reset postgres", f"{t.links.seen(names)['reset'] - before} connections")
        await burst


async def silent_to_the_readers(t: Trial) -> None:
    """Silence Postgres for the readers: Redis's counts are served, with their age."""
    names = [name for name in DATABASES if name.startswith(("query", "projector"))]
    await good_reads(t, 10)
    t.links.blackhole(names)
    await good_reads(t, 20)
    await t.acked(15)
    await t.hold(4)
    await asyncio.sleep(COMMIT_SECONDS)
    await t.offsets_are_behind()
    _held(t, names, "blackhole postgres of the read model")
    t.links.flow(names)


async def silent_to_the_writer(t: Trial) -> None:
    """Silence Postgres for the writer: commands end with 503 in time, and succeed after its return."""
    names = [name for name in DATABASES if name.startswith(("writer", "relay"))]
    t.links.blackhole(names)
    before = t.load.acks.statuses[503]
    await t.until(lambda: t.load.acks.statuses[503] > before, "a 503")
    await t.hold(4)
    _held(t, names, "blackhole postgres of the writer")
    t.evidence.append(f"{t.load.acks.statuses[503] - before} commands were answered 503")
    t.links.flow(names)
    await t.acked(20, 60)


def _held(t: Trial, names: list[str], fault: str) -> None:
    held = t.links.seen(names)
    count = sum(n for what, n in held.items() if what.startswith("held"))
    if not count:
        raise InconclusiveError("nothing was held back")
    t.stage(fault, f"{count} held back")


async def locked(t: Trial) -> None:
    """Lock the tables of the writer, then of the read model, for longer than any deadline."""
    for table in ("writer.customer", "portal.customer"):
        connection = await asyncpg.connect(t.owner_url)
        try:
            async with connection.transaction():
                await connection.execute(f"LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE")
                await t.until(partial(_waits, t, table), f"somebody waits for {table}")
                t.stage(f"LOCK {table}", "others wait for it")
                await t.hold(4)
        finally:
            await connection.close()
        await t.acked(10, 60)


async def _waits(t: Trial, table: str) -> bool:
    return bool(
        await t.one(
            "SELECT count(*) FROM pg_locks WHERE relation = $1::text::regclass AND NOT granted",
            table,
        )
    )


async def exhausted(t: Trial) -> None:
    """Take every connection and cut ours: 503 in time, and normal service afterwards."""
    sleepers: list[asyncpg.Connection[asyncpg.Record]] = []
    url = t.databases["query"]
    try:
        await t.sql(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {OURS}")
        refused = ""
        while not refused and len(sleepers) < 250:
            try:
                sleepers.append(await asyncpg.connect(url, timeout=10))
            except asyncpg.TooManyConnectionsError as error:
                refused = str(error)
        if not refused:
            raise InconclusiveError("there were connections left")
        t.stage("connections exhausted", f"{len(sleepers)} sleepers: {refused}")
        await t.sql(
            f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {OURS} AND application_name <> ''"
        )
        await t.hold(4)
    finally:
        for sleeper in sleepers:
            with contextlib.suppress(OSError, asyncpg.PostgresError):
                await sleeper.close(timeout=5)
    await t.acked(20, 60)


async def deadlocks(t: Trial) -> None:
    """Move repairs between the same two customers in both directions at once: each move happens
    once.
    """
    await t.load.drain(30)
    one, other = t.load.hot[:2]
    made = await asyncio.gather(
        *(t.load.send(t.load.record((one, other)[n % 2])) for n in range(16))
    )
    moves = [
        t.load.move(ack.body, other if ack.body["customer_id"] == one else one)
        for ack in made
        if ack is not None
    ]
    answers = await asyncio.gather(*(t.load.send(move) for move in moves))
    t.stage("opposite moves", f"{len(moves)} at once")
    t.expect(all(answers), f"I2: {sum(a is None for a in answers)} moves were refused")
    t.load.start()
    await t.acked(10)


async def sessions_away(t: Trial) -> None:
    """Make sessions unreadable for the gateway: 503 for all, never a response without a session."""
    names = ["gateway>postgres"]
    before, seen = len(t.readers.reads), t.links.seen(names)["reset"]
    t.links.refuse(names)
    await t.until(lambda: any(read.status == 503 for read in t.readers.reads[before:]), "a 503")
    began = len(t.readers.reads)
    await t.hold(4)
    t.stage(
        "refuse postgres of the gateway", f"{t.links.seen(names)['reset'] - seen} connections reset"
    )
    during = {read.status for read in t.readers.reads[began:]}
    t.expect(during <= {503}, f"I9: without sessions the gateway answered {during}")
    t.links.flow(names)
    await good_reads(t, 15)


SCENARIOS = [
    Scenario("postgres restarts", "31", restarted),
    Scenario("postgres resets", "32", resets),
    Scenario("postgres silent to readers", "33", silent_to_the_readers),
    Scenario("postgres silent to writer", "33", silent_to_the_writer),
    Scenario("opposite moves", "37", deadlocks),
    Scenario("tables locked", "38", locked),
    Scenario("connections exhausted", "39", exhausted),
    Scenario("sessions away", "48", sessions_away),
]
