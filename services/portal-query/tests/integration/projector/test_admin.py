"""The operators' commands, as processes."""

import asyncio
import json
import os
import re
import sys
from typing import Any

from portal_query.projector.testing import KEY


async def begin(world: Any, *arguments: str) -> asyncio.subprocess.Process:
    settings = world.settings
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "portal_query.admin",
        *arguments,
        env={
            **os.environ,
            "PORTAL_DATABASE_URL": settings.portal_database_url.get_secret_value(),
            "REDIS_URL": settings.redis_url.get_secret_value(),
            "WRITER_URL": settings.writer_url,
            "WRITER_HISTORY_KEY": KEY,
            "PORTAL_TIME_ZONE": settings.portal_time_zone,
        },
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )


async def run(world: Any, *arguments: str) -> tuple[int, str]:
    process = await begin(world, *arguments)
    output, _ = await process.communicate()
    assert process.returncode is not None
    return process.returncode, output.decode()


async def test_an_empty_read_model_is_filled_verified_and_published(world: Any) -> None:
    fleets = [world.customer(n) for n in (3, 5, 9)]
    for fleet in fleets:
        fleet.name(f"Fleet {fleet.customer_id}")
        for n in range(12):
            fleet.record(f"A{n % 5}")
    status, said = await run(world, "verify")
    assert status == 1, said
    status, said = await run(world, "refold", "--all")
    assert (status, "3 refolded" in said) == (0, True), said
    await world.arrives(*fleets)
    status, said = await run(world, "verify")
    assert (status, "Everything agrees" in said) == (0, True), said
    before = [(await world.row(n))["refold"] for n in (3, 5, 9)]
    status, said = await run(world, "refold", "--all", "--before", "2020-01-01")
    assert (status, "nothing to do" in said) == (0, True), said
    assert before == [(await world.row(n))["refold"] for n in (3, 5, 9)]


async def test_a_list_that_cannot_be_folded_is_reported_and_tried_again(world: Any) -> None:
    fleet = world.customer(7)
    fleet.record("A1")
    fleet.record("A2", status="LOST")
    status, said = await run(world, "refold", "--customer", "7")
    assert (status, "1 parked" in said) == (1, True), said
    status, said = await run(world, "parked", "--json")
    (parked,) = json.loads(said)
    assert (parked["customer_id"], parked["revision"]) == (7, 1)
    assert "LOST" in parked["reason"]
    fleet.events.pop()
    fleet.repairs = {e.data.repair.repair_id: e.data.repair for e in fleet.events}
    status, said = await run(world, "refold", "--parked")
    assert status == 0, said
    await world.arrives(fleet)


async def test_who_is_named_is_asked_for_alone(world: Any) -> None:
    for n in (5, 9):
        world.customer(n).record()
    status, said = await run(world, "refold", "--customer", "5", "--customer", "6")
    assert (status, said.count("1 refolded"), said.count("1 unknown")) == (0, 1, 1), said
    assert "2 customers, 1 events" in said
    heads = {path for path in world.writer.asked if path.startswith("/v1/heads")}
    assert heads == {"/v1/heads?after=4&limit=1", "/v1/heads?after=5&limit=1"}


async def test_dead_letters_are_listed_and_shown(world: Any) -> None:
    async with world.projector():
        fleet = world.customer(7)
        await world.send_bytes(b"\xffpoison", b"7", 0)
        await world.send(fleet.record())
        await world.arrives(fleet)
    status, said = await run(world, "dead-letters", "list", "--json")
    (letter,) = json.loads(said)
    assert (status, letter["customer_id"]) == (0, 7)
    status, said = await run(world, "dead-letters", "show", str(letter["id"]))
    assert (status, json.loads(said)["value"]) == (0, "\\xffpoison")
    status, said = await run(world, "dead-letters", "show", "4711")
    assert (status, "no dead letter" in said) == (1, True)


async def test_a_writer_that_is_away_is_said_in_one_line(world: Any) -> None:
    world.writer.away = True
    status, said = await run(world, "refold", "--all")
    assert status == 69
    assert "Traceback" not in said
    assert "503" in said


async def test_a_refold_of_all_that_was_killed_goes_on_where_it_was(world: Any) -> None:
    fleets = [world.customer(n) for n in range(1, 31)]
    for fleet in fleets:
        fleet.record()
    killed: list[asyncio.subprocess.Process] = []

    async def kill_at_the_tenth() -> None:
        lists = [path for path in world.writer.asked if path.endswith("/events?after=0")]
        if len(lists) == 10:
            killed[0].kill()

    world.writer.meanwhile = kill_at_the_tenth
    killed.append(await begin(world, "refold", "--all", "--jobs", "1"))
    output, _ = await killed[0].communicate()
    world.writer.meanwhile = None
    (go_on,) = re.findall(r"go on with: (refold --all --before \S+)", output.decode())
    done = await world.database.fetch("SELECT customer_id, refold FROM portal.customer")
    done = {row[0]: row[1] for row in done if await world.revision(row[0])}
    assert sorted(done) == list(range(1, 10))

    status, said = await run(world, *go_on.split())

    assert (status, "21 refolded" in said) == (0, True), said
    await world.arrives(*fleets)
    assert done == {n: (await world.row(n))["refold"] for n in done}


async def test_verifying_goes_on_from_a_customer(world: Any) -> None:
    for n in (3, 5, 9):
        world.customer(n).record()
    status, said = await run(world, "verify", "--from-customer", "5")
    assert status == 1
    # Several at a time: in any order.
    assert sorted(re.findall(r"customer (\d+):", said)) == ["5", "9"]
    assert "2 customers differ." in said
