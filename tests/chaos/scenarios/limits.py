"""Exhausted resources: the disk under PostgreSQL (row 36), and each process's memory (row 51)."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from deploy.local import process_id, unprivileged
from tests.chaos.scenarios.caches import good_reads
from tests.chaos.trial import InconclusiveError, NotStagedError, Scenario, Trial

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

ROOM_BYTES = 48 * 2**20
MEMORY_BYTES = 30 * 2**20
CGROUPS = Path("/sys/fs/cgroup")
# One process of each service.
OURS = ("writer", "projector-1", "gateway")


async def disk_full(t: Trial) -> None:
    """Fill the disk: commands are rejected or wait, reads continue; both recover with new room."""
    async with _on_a_small_disk(t) as disk:
        await t.acked(10, 60)
        refused, before = t.load.acks.statuses[503], t.stack.log("postgres").stat().st_size
        ballast = disk / "ballast"
        await asyncio.to_thread(_fill, ballast)
        try:
            burst = [asyncio.create_task(_large(t)) for _ in range(60)]
            await t.until(lambda: t.load.acks.statuses[503] > refused, "a command is refused", 60)
            await good_reads(t, 10)
            await t.hold(4)
            said = t.stack.log("postgres").read_bytes()[before:].count(b"No space left on device")
            t.expect(said, "the server did not say that its disk is full")
            free = shutil.disk_usage(disk).free
            t.stage("disk full", f"{free} bytes free, {said} refusals in the server's log")
        finally:
            ballast.unlink()
        await asyncio.gather(*burst)
        await t.acked(20, 60)
        t.evidence.append(f"{t.load.acks.statuses[503] - refused} commands were answered 503")
        await t.load.drain(60)
    t.load.start()
    await t.acked(5, 60)


async def _large(t: Trial) -> None:
    """Record a repair with long texts, which needs new pages on disk."""
    await t.load.send(t.load.record(t.load.hot[0], description="x" * 1_900))


def _fill(ballast: Path) -> None:
    with ballast.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(b"\0" * 2**16)
        except OSError:
            pass


@asynccontextmanager
async def _on_a_small_disk(t: Trial) -> AsyncIterator[Path]:
    """Put PostgreSQL's data on a small file system.

    Raises NotStagedError without the right to mount.
    """
    if not unprivileged.is_root():
        raise NotStagedError("only root can mount a small disk")
    data = t.stack.system.cluster.data
    kept = data.with_name("data.kept")
    disk = data.with_name("small")
    disk.mkdir()
    try:
        await t.down("postgres")
        used = sum(file.stat().st_size for file in data.rglob("*") if file.is_file())
        size = f"size={used + ROOM_BYTES},mode=0700"
        if _run("mount", "-t", "tmpfs", "-o", size, "tmpfs", str(disk)):
            raise NotStagedError("this machine mounts no tmpfs")
        await asyncio.to_thread(_run, "cp", "-a", f"{data}/.", str(disk))
        unprivileged.own(disk)
        data.rename(kept)
        data.symlink_to(disk)
        await t.ready()
        yield disk
    finally:
        await asyncio.to_thread(t.stack.hold, "postgres")
        if kept.exists():
            data.unlink(missing_ok=True)
            shutil.rmtree(kept)
            await asyncio.to_thread(_run, "cp", "-a", str(disk), str(data))
        _run("umount", str(disk))
        disk.rmdir()
        await t.ready()


def _run(*words: str) -> int:
    return subprocess.run(words, check=False, capture_output=True).returncode


async def out_of_memory(t: Trial) -> None:
    """Let the kernel kill a process of each service for lack of memory; the supervisor restarts it
    once.
    """
    group = _memory_group()
    try:
        for name in OURS:
            before = _restarts(t, name)
            # Its limit from its first moment on is lower than any process of ours needs.
            first = t.stack.kill(name, signal.SIGTERM)
            await t.until(partial(_is_new, t, name, first), f"{name} starts")
            pid = t.stack.pids(name)[name]
            (group / "cgroup.procs").write_text(str(pid))
            await t.until(partial(process_id.is_gone, pid), f"{name} is killed", 60)
            kills = _kills(group)
            if not kills:
                raise InconclusiveError(f"{name} ended, and not for want of memory")
            t.stage(f"out of memory: {name}", f"process {pid}, {kills} kills in its cgroup so far")
            await t.ready()
            await t.acked(5, 60)
            more = _restarts(t, name) - before
            t.expect(more == 2, f"I10: {name} was started {more} times: by us, and once again")
    finally:
        group.rmdir()


def _is_new(t: Trial, name: str, first: int) -> bool:
    return t.stack.pids(name).get(name, first) != first


def _memory_group() -> Path:
    """Create a cgroup with little memory. Raises NotStagedError where that is impossible."""
    first = (CGROUPS / "memory").is_dir()
    group = (CGROUPS / "memory" if first else CGROUPS) / f"rswind-{os.getpid()}"
    limit = group / ("memory.limit_in_bytes" if first else "memory.max")
    try:
        group.mkdir()
        limit.write_text(str(MEMORY_BYTES))
    except OSError as problem:
        if group.is_dir():
            group.rmdir()
        raise NotStagedError(f"no cgroup with a limit of memory can be made: {problem}") from None
    return group


def _kills(group: Path) -> int:
    for name in ("memory.events", "memory.oom_control"):
        if (group / name).exists():
            fields = dict(line.split() for line in (group / name).read_text().splitlines())
            return int(fields.get("oom_kill", 0))
    return 0


def _restarts(t: Trial, name: str) -> int:
    return int(t.supervised()[name]["restarts"])


SCENARIOS = [
    Scenario("disk full", "36", disk_full, may_break=True),
    Scenario("out of memory", "51", out_of_memory, may_break=True),
]
