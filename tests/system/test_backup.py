"""Backup and restore as an operator does them: streams go back in time, and all figures follow
automatically.
"""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import subprocess
import time
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import pytest
from deploy.local import backup, probe, restore, say
from deploy.local.layout import ROOT
from deploy.local.trouble import Trouble
from tests.oracle import hops
from tests.oracle.settle import PATHS, eventually
from tests.system.commands import World
from tests.system.test_side_by_side import record

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path

    from tests.system.conftest import Portal

# The dashboards show the restored data within a minute; a busy machine gets five times as long.
RESTORED_SECONDS, SLACK = 60.0, 5.0
AT = "2026-02-11T15:00:00Z"
PROJECTORS = ("projector-1", "projector-2")


def dev(portal: Portal, *words: str) -> subprocess.CompletedProcess[str]:
    """Run `./dev` on the system of the test."""
    state = str(portal.stack.system.place.state)
    return subprocess.run(
        [str(ROOT / "dev"), *words],
        env={**os.environ, "DEV_STATE": state, "CI": "true"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )


async def done(portal: Portal, *words: str) -> str:
    """Run `./dev`, which must succeed; return its output."""
    found = await asyncio.to_thread(dev, portal, *words)
    assert found.returncode == 0, found.stdout + found.stderr
    return found.stdout


async def lived(portal: Portal, customers: list[int], commands: int) -> None:
    """Send random commands for these customers."""
    await World(portal.writer, customers, commands, secrets.token_hex(4)).run(commands, 4)


async def refolds(portal: Portal, ids: Collection[int]) -> dict[int, int]:
    """Return the refold numbers of these customers."""
    async with hops.connected(portal.databases["portal"]) as connection:
        rows = await connection.fetch(
            "SELECT customer_id, refold FROM portal.customer WHERE customer_id = ANY($1)", list(ids)
        )
    return {row["customer_id"]: row["refold"] for row in rows}


def pids(portal: Portal) -> dict[str, int]:
    return {process["name"]: process["pid"] for process in portal.stack.status()["processes"]}


async def test_a_restored_backup_is_what_all_dashboards_show(
    portal: Portal, tmp_path: Path
) -> None:
    customers = await portal.customers(6)
    changing, quiet = customers[:4], customers[4:]
    await lived(portal, customers, 200)
    await portal.agreed(customers)
    lists = await hops.event_list(portal.databases["writer"], customers)
    (visitor,) = await portal.visitors(customers[0])
    said = await done(portal, "backup", str(tmp_path / "first"))
    assert "changes" in said

    newcomers = await portal.customers(2)
    await lived(portal, [*changing, *newcomers], 200)
    await portal.agreed([*customers, *newcomers])
    before = await refolds(portal, [*customers, *newcomers])
    began = time.monotonic()
    await done(portal, "restore", str(tmp_path / "first"), "--yes")
    for one in await portal.visitors(*customers):
        assert (await one.get("/customer/dashboard/")).status == 200
    restored_after = time.monotonic() - began

    assert restored_after < RESTORED_SECONDS * SLACK
    assert await hops.event_list(portal.databases["writer"], customers) == lists
    after = await refolds(portal, [*customers, *newcomers])
    # A customer missing from the restored streams is empty for a moment, and then removed.
    assert {n for n in before if after.get(n) != before[n]} == {*changing, *newcomers}
    assert all(after[n] > before[n] for n in changing)
    assert {n: after[n] for n in quiet} == {n: before[n] for n in quiet}
    await portal.agreed(customers)
    assert (await visitor.get(PATHS["units"])).status != 200, "a session came back"
    for one in await portal.visitors(*newcomers):
        assert (await one.get(PATHS["units"])).body == b"[]"

    await lived(portal, [*changing, quiet[0]], 120)
    for newcomer in newcomers:
        await portal.writer.put_customer(newcomer, {"name": "Anew"})
        await record(portal, newcomer, ("N1", AT, "PENDING"))
    await portal.agreed([*customers, *newcomers])


async def test_lists_that_went_on_differently_are_seen_at_any_revision(
    portal: Portal, tmp_path: Path
) -> None:
    """While no projector runs, the restored streams become as long as the lost ones, shorter, and
    longer.
    """
    equal, shorter, longer = customers = await portal.customers(3)
    for customer in customers:
        await record(portal, customer, ("A1", AT, "REQUESTED"))
    await done(portal, "backup", str(tmp_path / "second"))
    for customer in customers:
        await record(portal, customer, *[(f"LOST{n}", AT, "PENDING") for n in range(4)])
    lost = await portal.agreed(customers)
    before = await refolds(portal, customers)

    system = portal.stack.system
    manifest = restore.checked(system, tmp_path / "second")
    quietly = say.Steps(restore.STEPS, quiet=True)
    await asyncio.to_thread(restore.replace, system, tmp_path / "second", manifest, quietly)
    await asyncio.to_thread(portal.stack.hold, *PROJECTORS)
    await asyncio.to_thread(probe.eventually, partial(probe.ready, system.ports["writer_ops"]), 60)
    for customer, more in ((equal, 4), (shorter, 2), (longer, 7)):
        await record(portal, customer, *[(f"ANEW{n}", AT, "COMPLETED") for n in range(more)])
    await asyncio.to_thread(portal.stack.release)

    folds = await portal.agreed(customers)
    assert folds[equal].revision == lost[equal].revision
    assert folds[shorter].revision < lost[shorter].revision
    assert folds[longer].revision > lost[longer].revision
    after = await refolds(portal, customers)
    assert all(after[customer] > before[customer] for customer in customers)


async def test_a_damaged_backup_changes_nothing(portal: Portal, tmp_path: Path) -> None:
    folder = tmp_path / "third"
    await done(portal, "backup", str(folder))
    again = await asyncio.to_thread(dev, portal, "backup", str(folder))
    assert (again.returncode, "exists already" in again.stderr) == (1, True)
    dump = folder / backup.DUMP
    damaged = bytearray(dump.read_bytes())
    damaged[len(damaged) // 2] ^= 1
    dump.write_bytes(damaged)
    running = pids(portal)

    refused = await asyncio.to_thread(dev, portal, "restore", str(folder), "--yes")

    assert refused.returncode == 1
    assert "databases.dump is not what was written" in refused.stderr
    assert pids(portal) == running


async def test_without_a_word_from_anybody_nothing_is_restored(
    portal: Portal, tmp_path: Path
) -> None:
    folder = tmp_path / "fourth"
    await done(portal, "backup", str(folder))
    running = pids(portal)

    refused = await asyncio.to_thread(dev, portal, "restore", str(folder))

    assert refused.returncode == 1
    assert "--yes" in refused.stderr
    assert pids(portal) == running


@pytest.mark.parametrize("broken", ["cut off", "of another length"])
async def test_a_dump_that_does_not_go_in_whole_leaves_everything_as_it_was(
    portal: Portal, tmp_path: Path, broken: str
) -> None:
    (customer,) = await portal.customers(1)
    folder = tmp_path / "fifth"
    await done(portal, "backup", str(folder))
    await record(portal, customer, ("A1", AT, "PENDING"))
    system = portal.stack.system
    manifest = restore.checked(system, folder)
    if broken == "cut off":
        dump = folder / backup.DUMP
        dump.write_bytes(dump.read_bytes()[:-2_000])
    else:
        manifest = replace(manifest, changes=manifest.changes + 1)

    with pytest.raises(Trouble, match="as they were"):
        await asyncio.to_thread(
            restore.restore, system, folder, manifest, say.Steps(restore.STEPS, quiet=True)
        )

    async def ready() -> bool:
        return bool(portal.stack.status()["ready"])

    await eventually(ready, "everything runs again", 90)
    folds = await portal.agreed([customer])
    assert folds[customer].revision == 2


async def test_a_backup_is_for_its_owner_alone_and_holds_what_it_says(
    portal: Portal, tmp_path: Path
) -> None:
    (customer,) = await portal.customers(1)
    await done(portal, "backup", str(tmp_path / "sixth"))

    manifest = json.loads((tmp_path / "sixth" / backup.MANIFEST).read_text())
    async with hops.connected(portal.databases["writer"]) as connection:
        events = await connection.fetchval("SELECT count(*) FROM writer.event")
        customers = await connection.fetchval("SELECT count(*) FROM writer.customer")
    assert (manifest["changes"], manifest["customers"]) == (events, customers)
    for file in (".", backup.DUMP, backup.MANIFEST, backup.SECRETS):
        assert (tmp_path / "sixth" / file).stat().st_mode & 0o077 == 0, file
    assert os.listdir(tmp_path) == ["sixth"]  # noqa: PTH208 - nothing to wait for in a test
    await portal.agreed([customer])
