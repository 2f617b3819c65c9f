"""Loss of the database's machine and failover to its standby (row 34): no acknowledged change is
lost.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import subprocess
import time
from dataclasses import replace
from typing import TYPE_CHECKING

import asyncpg
from deploy.local import ports, process_id, unprivileged
from deploy.local.postgres import SUPERUSER, Cluster, url
from tests.chaos.proxy import HOST
from tests.chaos.scenarios.databases import DATABASES
from tests.chaos.trial import InconclusiveError, Scenario, Trial

if TYPE_CHECKING:
    from deploy.local.spec import Spec

NAME = "standby"


class Standby(Cluster):
    """A second server beside the first, replicating it."""

    def __init__(self, primary: Cluster, port: int) -> None:
        super().__init__(primary.place, primary.password)
        self.data = primary.data.with_name(NAME)
        self.port = port

    def copy(self, primary_port: int) -> None:
        """Copy the primary's data as a configured standby. Raises InconclusiveError."""
        source = (
            f"host={HOST} port={primary_port} user={SUPERUSER} password={self.password} "
            f"application_name={NAME}"
        )
        done = subprocess.run(
            [self.program("pg_basebackup"), "-D", str(self.data), "-d", source, "-R", "-X", "stream", "-c", "fast"],
            cwd=self.folder,
            capture_output=True,
            text=True,
            check=False,
            user=unprivileged.user(),
            group=unprivileged.group(),
            extra_groups=[] if unprivileged.is_root() else None,
        )  # fmt: skip
        if done.returncode:
            raise InconclusiveError(f"pg_basebackup: {done.stderr[-500:]}")

    def spec(self, port: int) -> Spec:
        """Return the process of the standby."""
        return replace(super().spec(port), name=NAME)


async def failover(t: Trial) -> None:
    """Kill the primary for good and promote the standby, which clients reach by the same address."""
    system = t.stack.system
    original = system.ports["postgres"]
    standby = Standby(system.cluster, ports.choose({NAME: 0})[NAME])
    try:
        await asyncio.to_thread(standby.copy, original)
        system.servers.append(standby.spec(standby.port))
        t.stack.want()
        await _follow(t)
        await t.acked(20)
        await _lose_the_primary(t)
        await _take_over(t, standby)
        await t.acked(20, 60)
        await t.load.drain(60)
        t.links.refuse(DATABASES)
        await t.down("postgres", NAME)
        # The new primary takes the old one's place: the system consists of one server.
        shutil.rmtree(system.cluster.data)
        standby.data.rename(system.cluster.data)
    finally:
        system.servers.clear()
        await asyncio.to_thread(t.stack.hold, NAME)
        shutil.rmtree(standby.data, ignore_errors=True)
        t.links.lead(DATABASES, original)
        await t.ready()
    t.load.start()
    await t.acked(5, 60)


async def _take_over(t: Trial, standby: Standby) -> None:
    """Promote the standby and route all clients to it."""
    began, before = time.monotonic(), len(t.load.acks.done)
    connection = await asyncpg.connect(url(SUPERUSER, standby.password, standby.port, "postgres"))
    try:
        promoted = await connection.fetchval("SELECT pg_promote()")
    finally:
        await connection.close()
    if not promoted:
        raise InconclusiveError("the standby was not promoted")
    t.links.lead(DATABASES, standby.port)
    t.links.flow(DATABASES)
    await t.until(lambda: len(t.load.acks.done) > before, "a command is taken", 60)
    t.evidence.append(
        f"the first command {time.monotonic() - began:.2f} s after the promotion began"
    )


async def _follow(t: Trial) -> None:
    """Require the standby's confirmation for each commit from now on."""
    await t.sql(f"ALTER SYSTEM SET synchronous_standby_names = '{NAME}'")
    await t.sql("SELECT pg_reload_conf()")
    modes = "SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'sync'"

    async def follows() -> bool:
        return bool(await t.one(modes))

    await t.until(follows, "the standby is synchronous")


async def _lose_the_primary(t: Trial) -> None:
    """Kill the primary under load, disconnect its clients, and keep it down: it must never accept a
    command again.
    """
    pid = t.stack.pids("postgres")["postgres"]
    commands = len(t.load.acks.done)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGKILL)
    t.links.refuse(DATABASES)
    await t.until(lambda: process_id.is_gone(pid), "the primary is gone")
    await asyncio.to_thread(t.stack.hold, "postgres")
    t.stage("primary lost", f"process {pid} and its children, after {commands} commands")


SCENARIOS = [Scenario("failover to a standby", "34", failover, may_break=True)]
