"""Deleted data of the stores, in any combination, with the system up or down: one more start
restores all.
"""

from __future__ import annotations

import asyncio
import itertools
from typing import TYPE_CHECKING

import aiohttp
import pytest
from deploy.demo.writer import Writer
from deploy.local import once, probe, processes, start, stores, whole
from deploy.local.layout import venv_command
from tests.system.conftest import Portal
from tests.system.test_backup import lived

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

STORES = ("portal", "kafka", "valkey", "postgres")
COMBINATIONS = [
    chosen for n in range(1, len(STORES) + 1) for chosen in itertools.combinations(STORES, n)
]
#: Each store alone while the system is up, and likely combinations while it is down; all thirty
#: take a quarter of an hour, so the others are for the long run.
SHORT = {
    (("portal",), True),
    (("kafka",), True),
    (("valkey",), True),
    (("postgres",), True),
    (("portal", "kafka", "valkey"), False),
    (STORES, False),
}
CASES = [
    pytest.param(
        lost,
        running,
        id=f"{'+'.join(lost)}-{'up' if running else 'down'}",
        marks=() if (lost, running) in SHORT else pytest.mark.long,
    )
    for lost in COMBINATIONS
    for running in (True, False)
]
#: Output of a step about a store that it has recreated, by store.
WORDS = {
    "portal": "had no tables, made: portal",
    "kafka": "made: kafka",
    "valkey": "made: valkey-documents, valkey-limits",
    "postgres": "made: postgres",
}


@pytest.fixture(scope="module")
def own_stack() -> Iterator[whole.Stack]:
    """Yield a system of these tests' own: they delete its data."""
    with whole.started() as running:
        yield running


@pytest.fixture
async def own_portal(own_stack: whole.Stack) -> AsyncIterator[Portal]:
    found = own_stack.description
    async with (
        Writer(found["urls"]["writer"], found["internal_key"], connections=32) as writer,
        aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as http,
    ):
        yield Portal(own_stack, writer, http)


def _republish(stack: whole.Stack) -> None:
    argv = [venv_command("repair-writer"), "republish", "--all"]
    once.run("republish", argv, processes.relay(stack.system.at), stack.system.place)


def _expected(lost: tuple[str, ...]) -> set[str]:
    words = {WORDS[store].removeprefix("made: ") for store in lost}
    if "postgres" in lost:
        words.discard(WORDS["portal"])
        words.add("had no tables, made: writer, portal, gateway")
    return words


# Each starts the system once more, which takes minutes on a busy machine.
@pytest.mark.timeout(900)
@pytest.mark.parametrize(("lost", "running"), CASES)
async def test_one_more_start_makes_it_right(
    own_portal: Portal, lost: tuple[str, ...], running: bool
) -> None:
    stack, customers = own_portal.stack, await own_portal.customers(3)
    await lived(own_portal, customers, 30)
    before = await own_portal.agreed(customers)

    if running:
        stack.lose(*lost)
    else:
        stack.lose(*(store for store in lost if store == "portal"))
        await asyncio.to_thread(stack.stop)
        stack.lose(*(store for store in lost if store != "portal"))
    said = await asyncio.to_thread(stack.start_again)

    for words in _expected(lost):
        assert any(words in line for line in said), (words, said)
    # A start ends when all is ready; a starved machine may fail one request afterwards.
    ready = await asyncio.to_thread(probe.eventually, lambda: stack.status()["ready"], 30)
    assert ready, stack.status()
    if "postgres" in lost:  # the streams themselves are gone: it must equal a new system
        customers = await own_portal.customers(3)
        await lived(own_portal, customers, 30)
        before = await own_portal.agreed(customers)
    elif "kafka" in lost:  # the comparison reads the topic too, as third parties do
        await asyncio.to_thread(_republish, stack)
    assert await own_portal.agreed(customers) == before
    await lived(own_portal, customers, 20)
    await own_portal.agreed(customers)


@pytest.mark.timeout(900)
async def test_a_start_where_nothing_is_missing_runs_no_command(own_portal: Portal) -> None:
    stack = own_portal.stack
    setup = stack.system.place.logs / "setup.log"
    before = setup.read_bytes()

    said = await asyncio.to_thread(stack.start_again)

    assert setup.read_bytes() == before
    assert not any("made" in line for line in said), said


@pytest.mark.timeout(900)
async def test_a_part_of_the_demo_that_is_lost_is_made_again_and_a_backup_gets_none(
    own_portal: Portal,
) -> None:
    stack = own_portal.stack
    system = stack.system
    assert stores.missing_demo(system) == ["fleets", "logins"]
    stores.mark_restored(system)

    said = await asyncio.to_thread(stack.start_again, demo=True)

    assert "restored from a backup" in said[-1]
    assert stores.missing_demo(system) == ["fleets", "logins"]
    assert probe.eventually(lambda: start.uncounted(system) == 0, 30)
