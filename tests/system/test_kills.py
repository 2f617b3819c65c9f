"""`kill -9` of each process in turn under commands: it restarts, nothing is lost, the numbers
agree.
"""

from __future__ import annotations

import asyncio
import secrets
from functools import partial
from typing import TYPE_CHECKING

import pytest
from tests.oracle.settle import eventually
from tests.system.commands import Acks, World
from tests.system.test_random_commands import check_world

if TYPE_CHECKING:
    from tests.system.conftest import Portal

OURS = ["writer", "relay", "projector-1", "projector-2", "query", "gateway"]
SERVERS = ["postgres", "valkey-documents", "valkey-limits", "kafka"]


async def _reached(world: World, changes: int, load: asyncio.Task[Acks]) -> bool:
    return len(world.acks.changes) >= changes or load.done()


async def kill_during_load(portal: Portal, names: list[str], commands: int) -> None:
    """Kill the processes one after another, each after the previous has restarted and commands have
    passed.

    Commands continue until the last one is back, however fast the writer is.
    """
    customers = await portal.customers(20)
    world = World(portal.writer, customers, 11, secrets.token_hex(4))
    over = asyncio.Event()
    load = asyncio.create_task(world.run_until(over, 4))
    for name in names:
        wanted = len(world.acks.changes) + commands
        await eventually(partial(_reached, world, wanted, load), "the load is under way")
        assert not load.done(), f"the load ended before {name} was killed: {load}"
        pid = portal.stack.kill(name)
        await asyncio.to_thread(portal.stack.wait_back, name, pid)
    over.set()
    await load
    await check_world(portal, world, customers)


@pytest.mark.parametrize("name", OURS)
async def test_a_killed_process_comes_back_and_nothing_is_lost(portal: Portal, name: str) -> None:
    if name not in {process["name"] for process in portal.stack.status()["processes"]}:
        pytest.fail(f"{name} is no process of the system")
    await kill_during_load(portal, [name], 100)


@pytest.mark.long
@pytest.mark.parametrize("name", SERVERS)
async def test_a_killed_server_comes_back_and_nothing_is_lost(portal: Portal, name: str) -> None:
    if name not in {process["name"] for process in portal.stack.status()["processes"]}:
        pytest.skip(f"{name} is not run by the stack here")
    await kill_during_load(portal, [name], 300)


@pytest.mark.long
async def test_all_processes_killed_in_turn_lose_nothing(portal: Portal) -> None:
    await kill_during_load(portal, OURS, 300)
