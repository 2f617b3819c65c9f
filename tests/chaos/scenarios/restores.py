"""The writer restored from an older copy (row 54), and a migration that dies half-way (row 40)."""

from __future__ import annotations

import asyncio
import os
import signal
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import asyncpg
from deploy.local import addresses
from deploy.local.layout import ROOT, venv_command
from tests.chaos import check, verdict
from tests.chaos.trial import InconclusiveError, Scenario, Trial

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

TABLES = ("customer", "repair", "event", "outbox", "idempotency_key")
MIGRATED = {"writer": "repair-writer", "portal": "portal-query", "gateway": "gateway"}
SHAPE = """
SELECT table_schema, table_name, column_name, data_type, is_nullable FROM information_schema.columns
WHERE table_schema IN ('writer', 'portal', 'gateway') ORDER BY 1, 2, 3
"""


async def writer_restored(t: Trial) -> None:
    """Restore the writer from an older copy: every stream is the restored one in the end."""
    await t.load.drain(30)
    await _copy(t)
    kept = len(t.load.acks.done)
    t.load.start()
    await t.acked(40)
    await t.load.drain(30)
    await t.applied()
    await _judge_what_was(t, kept)
    lists, numbers = await _lists_and_refolds(t)
    await t.down("writer", "relay")
    lost = await _put_back(t)
    t.stage("writer restored", f"{lost} events are gone from the lists")
    await t.ready()
    # Approving an approved repair in the restored streams changes nothing and has no new revision.
    t.load.forget_repairs()
    t.load.start()
    await t.acked(30)
    await t.load.drain(30)
    await t.applied()
    await _judge_the_meantime(t, lists, numbers)


async def _lists_and_refolds(t: Trial) -> tuple[dict[int, check.Events], dict[int, int]]:
    lists = await check.lists(t.databases["writer"], t.load.hot)
    rows = await t.sql(
        "SELECT customer_id, refold FROM portal.customer WHERE customer_id = ANY($1)", t.load.hot
    )
    return lists, {row["customer_id"]: row["refold"] for row in rows}


async def _judge_the_meantime(
    t: Trial, lists: dict[int, check.Events], numbers: dict[int, int]
) -> None:
    """Check reads from before the new streams were counted against the old streams."""
    _, now = await _lists_and_refolds(t)
    anew = {customer for customer, refold in now.items() if refold != numbers[customer]}
    old = [
        read
        for read in t.readers.reads
        if read.customer in anew and read.status == 200 and read.refold == numbers[read.customer]
    ]
    t.broken += check.reads(old, lists, t.places.time_zone, acked={}, may_break=False)
    t.readers.reads[:] = [read for read in t.readers.reads if read not in old]
    t.evidence.append(f"{len(anew)} customers counted anew, {len(old)} reads before that")


async def _copy(t: Trial) -> None:
    connection = await asyncpg.connect(t.owner_url)
    try:
        async with connection.transaction(isolation="repeatable_read"):
            await connection.execute("DROP SCHEMA IF EXISTS kept CASCADE; CREATE SCHEMA kept")
            for table in TABLES:
                await connection.execute(f"CREATE TABLE kept.{table} AS TABLE writer.{table}")
    finally:
        await connection.close()


async def _put_back(t: Trial) -> int:
    """Replace the writer's rows by the copy; return the number of events that this removes."""
    connection = await asyncpg.connect(t.owner_url)
    try:
        async with connection.transaction():
            lost = await connection.fetchval(
                "SELECT (SELECT count(*) FROM writer.event) - (SELECT count(*) FROM kept.event)"
            )
            await connection.execute("SET LOCAL session_replication_role = replica")
            for table in TABLES:
                await connection.execute(f"TRUNCATE writer.{table} CASCADE")
            for table in TABLES:
                await connection.execute(
                    f"INSERT INTO writer.{table} OVERRIDING SYSTEM VALUE SELECT * FROM kept.{table}"
                )
            await connection.execute("DROP SCHEMA kept CASCADE")
    finally:
        await connection.close()
    if not lost:
        raise InconclusiveError("nothing was lost by the restore")
    return int(lost)


async def _judge_what_was(t: Trial, kept: int) -> None:
    """Check all acknowledgements and reads so far, and drop those that the restore removes."""
    await t.readers.stop()
    await verdict.laws(t)
    t.readers.reads.clear()
    del t.load.acks.done[kept:]
    latest = t.load.acks.latest
    latest.clear()
    for ack in t.load.acks.done:
        customer = ack.body.get("customer_id", ack.command.customer)
        latest[customer] = max(ack.revision, latest.get(customer, 0))
    moments = t.load.acks.moments
    for customer, revision in list(moments):
        if revision > latest.get(customer, 0):
            del moments[customer, revision]
    t.load.cold = [customer for customer in t.load.cold if customer in latest]
    t.readers.start()


async def migration_dies(t: Trial) -> None:
    """Kill each service's migration repeatedly, later each time, and then run it to its end."""
    async with _empty_database(t) as name:
        killed = 0
        for role, command in MIGRATED.items():
            pause = 0.4
            while await _killed_after(t, name, role, command, pause):
                killed, pause = killed + 1, pause * 1.6
        t.stage("migration killed", f"{killed} times")
        half = await asyncpg.connect(_at(t.owner_url, name))
        try:
            made, whole = await half.fetch(SHAPE), await t.sql(SHAPE)
        finally:
            await half.close()
    t.expect(made == whole, f"I4: the schema differs: {set(made) ^ set(whole)}")
    t.expect(killed >= len(MIGRATED), "no migration was killed")


def _at(url: str, database: str) -> str:
    return f"{url.rpartition('/')[0]}/{database}"


@asynccontextmanager
async def _empty_database(t: Trial) -> AsyncIterator[str]:
    name, cluster, port = "half_migrated", t.stack.system.cluster, t.stack.system.ports["postgres"]
    secrets = t.stack.system.secrets
    passwords = {role: secrets[f"{role}_password"] for role in addresses.DATABASE_VARIABLES}
    await t.sql(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')
    await asyncio.to_thread(cluster.create_database, port, name, passwords)
    try:
        yield name
    finally:
        await t.sql(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')


async def _killed_after(t: Trial, name: str, role: str, command: str, seconds: float) -> bool:
    """Start a migration and kill it; return False when it had finished before."""
    url = _at(t.databases[role], name)
    running = await asyncio.create_subprocess_exec(
        venv_command(command),
        "migrate",
        cwd=ROOT,
        env={**os.environ, f"{role.upper()}_DATABASE_URL": url},
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        async with asyncio.timeout(seconds):
            status = await running.wait()
    except TimeoutError:
        running.send_signal(signal.SIGKILL)
        await running.wait()
        return True
    t.expect(status == 0, f"I4: {command} migrate ended with {status} after it had been killed")
    return False


SCENARIOS = [
    Scenario("writer restored from a backup", "54", writer_restored),
    Scenario("migration dies half-way", "40", migration_dies),
]
