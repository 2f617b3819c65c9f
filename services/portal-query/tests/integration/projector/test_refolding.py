"""Rebuild of one customer: in one step, never backwards, by one process at a time."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
import msgspec
import pytest

from portal_query.counting import Dimension
from portal_query.projector.apply import Applier
from portal_query.projector.arrived import Arrived, BadRecord, read
from portal_query.projector.batch import prepare
from portal_query.projector.chain import Trouble
from portal_query.projector.lists import WriterLists
from portal_query.projector.refold import Outcome, Refolder
from portal_query.projector.testing import KEY, CustomerList, record_of
from portal_query.projector.verify import Verifier
from portal_query.read_model import standing
from portal_query.read_model.postgres import Line
from repair_events.event import Event
from repair_events.ids import new_id
from repair_events.month import Months

ZONE = "America/Chicago"
# A customer that agrees with its stream causes no writes.
EMPTY = "TRUNCATE portal.customer, portal.repair, portal.repair_count, portal.repair_history"


@asynccontextmanager
async def tools(world: Any) -> AsyncIterator[tuple[Refolder, Applier, Verifier]]:
    url = world.settings.portal_database_url.get_secret_value()
    lines = [Line(url, name=f"test {n}") for n in range(3)]
    async with WriterLists(world.writer.url, KEY) as lists:
        try:
            yield (
                Refolder(lines[0], lists, ZONE),
                Applier(lines[1], ZONE),
                Verifier(lines[2], lists, ZONE),
            )
        finally:
            for line in lines:
                line.drop()


def arrived_of(event: Event, offset: int) -> Arrived:
    found = read(record_of(event, offset))
    assert not isinstance(found, BadRecord)
    return found[0]


async def apply(applier: Applier, events: Any) -> Any:
    return await applier.apply(prepare([record_of(e) for e in events], {}, Months(ZONE)))


async def test_readers_see_a_customer_before_or_after_and_never_between(world: Any) -> None:
    fleet = world.customer(7)
    for n in range(300):
        fleet.record(f"A{n % 9}")
    seen = set()
    done = asyncio.Event()

    async def read() -> None:
        reader = await asyncpg.connect(world.settings.portal_database_url.get_secret_value())
        while not done.is_set():
            row = await reader.fetchrow(
                "SELECT c.revision, (SELECT sum(n)::int FROM portal.repair_count k "
                "WHERE k.customer_id = c.customer_id AND dimension = 0), "
                "(SELECT count(*)::int FROM portal.repair r WHERE r.customer_id = c.customer_id), "
                "(SELECT count(*)::int FROM portal.repair_history h "
                "WHERE h.customer_id = c.customer_id) "
                "FROM portal.customer c WHERE c.customer_id = 7"
            )
            seen.add(tuple(row) if row else None)
        await reader.close()

    async with tools(world) as (refolder, _, verifier):
        reading = asyncio.create_task(read())
        for _ in range(20):
            await world.database.execute(EMPTY)
            assert await refolder.look_after(7, force=True) is Outcome.REFOLDED
        done.set()
        await reading
        assert await verifier.differences(7) == []
    assert seen <= {None, (0, None, 0, 0), (300, 300, 300, 300)}
    assert (300, 300, 300, 300) in seen


async def test_a_list_that_was_overtaken_while_it_travelled_is_read_to_its_end(world: Any) -> None:
    fleet = world.customer(7)
    for n in range(5):
        fleet.record(f"A{n}")
    async with tools(world) as (refolder, applier, verifier):
        await apply(applier, fleet.events)
        overtaken = 0

        async def meanwhile() -> None:
            nonlocal overtaken
            if overtaken < 3:
                overtaken += 1
                await apply(applier, [fleet.record("LATER")])

        world.writer.meanwhile = meanwhile
        assert await refolder.look_after(7, force=True) is Outcome.REFOLDED
        assert overtaken == 3
        assert await world.revision(7) == 8
        assert await verifier.differences(7) == []


async def test_an_event_set_aside_while_the_list_travelled_is_in_the_refold(world: Any) -> None:
    """The rebuild must not unfreeze a customer that has just lost an event to quarantine."""
    fleet = world.customer(7)
    for n in range(5):
        fleet.record(f"A{n}")
    async with tools(world) as (refolder, applier, _):
        await apply(applier, fleet.events[:2])
        happened: list[Any] = []

        async def meanwhile() -> None:
            if not happened:
                happened.append(await apply(applier, [fleet.record("SET ASIDE")]))

        world.writer.meanwhile = meanwhile
        assert await refolder.look_after(7) in {Outcome.REFOLDED, Outcome.AGREES}
        assert list(happened[0].troubles) == [7]
        row = await world.row(7)
        assert (row["revision"], row["as_of"]) == (6, None)


async def test_two_refolds_of_one_customer_do_not_run_at_once(world: Any) -> None:
    fleet = world.customer(7)
    fleet.record()
    async with tools(world) as (first, _, _), tools(world) as (second, _, _):
        outcomes = []

        async def meanwhile() -> None:
            world.writer.meanwhile = None
            outcomes.append(await second.look_after(7, force=True))

        world.writer.meanwhile = meanwhile
        outcomes.append(await first.look_after(7, force=True))
    assert outcomes == [Outcome.BUSY, Outcome.REFOLDED]


def _of_later_version(event: Event) -> Event:
    return msgspec.structs.replace(event, type=f"{event.type[:-1]}2")


async def test_an_invented_event_is_not_counted_before_one_of_a_later_version(world: Any) -> None:
    fleet, forger = world.customer(7), CustomerList(7)
    fleet.record("A1")
    fleet.record("A2")
    fleet.events[1] = _of_later_version(fleet.events[1])
    forger.events.append(fleet.events[0])
    async with tools(world) as (refolder, applier, verifier):
        await apply(applier, [*forger.events, forger.record("FORGED")])
        assert (Dimension.UNIT, "FORGED") in await world.counts(7)
        assert await refolder.look_after(7) is Outcome.PARKED
        row = await world.row(7)
        assert (row["revision"], str(row["event_id"])) == (1, fleet.events[0].id)
        assert [unit for unit in await world.counts(7) if unit[0] is Dimension.UNIT] == [
            (Dimension.UNIT, "A1")
        ]
        assert await verifier.differences(7) == ["parked"]


async def test_an_invented_first_event_is_not_counted_before_one_of_a_later_version(
    world: Any,
) -> None:
    fleet, forger = world.customer(7), CustomerList(7)
    fleet.record("A1")
    fleet.events[0] = _of_later_version(fleet.events[0])
    async with tools(world) as (refolder, applier, verifier):
        await apply(applier, [forger.record("FORGED")])
        assert await refolder.look_after(7) is Outcome.PARKED
        assert (await world.revision(7), await world.counts(7)) == (0, {})
        assert await verifier.differences(7) == ["parked"]


async def test_what_a_newer_version_has_counted_stays_when_an_older_one_runs(world: Any) -> None:
    fleet = world.customer(7)
    fleet.record("A1")
    fleet.record("A2")
    async with tools(world) as (refolder, applier, _):
        await apply(applier, fleet.events)
        counted = await world.counts(7)
        fleet.events[1] = _of_later_version(fleet.events[1])
        assert await refolder.look_after(7, force=True) is Outcome.PARKED
        assert (await world.revision(7), await world.counts(7)) == (2, counted)


async def test_whoever_stands_still_counts_nothing_before_the_list_has_been_asked(
    world: Any,
) -> None:
    """Otherwise a redelivered event with another body could replace the quarantined one."""
    fleet = world.customer(7)
    first, second = fleet.record("A1"), fleet.record("A2")
    beyond = msgspec.structs.replace(second.data, revision=9, previous=new_id())
    gap = msgspec.structs.replace(second, id=new_id(), data=beyond)
    async with tools(world) as (refolder, applier, verifier):
        await apply(applier, [first])
        assert (await apply(applier, [second, gap])).troubles == {7: Trouble.GAP}
        repair = msgspec.structs.replace(second.data.repair, unit_number="FORGED")
        other = msgspec.structs.replace(second.data, repair=repair)
        outcome = await apply(applier, [msgspec.structs.replace(second, data=other)])
        assert (outcome.applied, outcome.troubles) == (0, {7: Trouble.STANDING_STILL})
        assert await refolder.look_after(7) is Outcome.REFOLDED
        assert await verifier.differences(7) == []


async def test_of_whom_something_happens_to_all_the_time_the_end_is_read_under_the_lock(
    world: Any,
) -> None:
    fleet = world.customer(7)
    first, second = fleet.record("A1"), fleet.record("A2")
    gap = msgspec.structs.replace(second, data=msgspec.structs.replace(second.data, revision=9))
    async with tools(world) as (refolder, applier, verifier):
        await apply(applier, [first])
        await apply(applier, [second, gap])
        one_by_one, happening = asyncio.Lock(), []

        async def happens() -> None:
            async with one_by_one:
                await apply(applier, [fleet.record("HOT")])

        async def meanwhile() -> None:
            happening.append(asyncio.create_task(happens()))
            await asyncio.wait(happening[-1:], timeout=0.3)

        world.writer.meanwhile = meanwhile
        async with asyncio.timeout(20):
            assert await refolder.look_after(7) is Outcome.REFOLDED
        world.writer.meanwhile = None
        await asyncio.gather(*happening)
        assert await refolder.look_after(7) in {Outcome.AGREES, Outcome.REFOLDED}
        assert await world.revision(7) == len(fleet.events)
        assert await verifier.differences(7) == []


@pytest.mark.parametrize("force", [False, True], ids=["agrees", "is refolded"])
async def test_of_suspects_only_those_in_no_list_become_letters(world: Any, force: bool) -> None:
    fleet = world.customer(7)
    events = [fleet.record(f"A{n}") for n in range(4)]
    strange = msgspec.structs.replace(events[1], id=new_id())
    beyond = msgspec.structs.replace(
        events[3], id=new_id(), data=msgspec.structs.replace(events[3].data, revision=5)
    )
    sent = (events[1], strange, events[3], beyond)
    suspects = [arrived_of(one, offset) for offset, one in enumerate(sent)]
    async with tools(world) as (refolder, applier, _):
        await apply(applier, events)
        outcome = await refolder.look_after(7, suspects=suspects, force=force)
        assert outcome is (Outcome.REFOLDED if force else Outcome.AGREES)
    kept = [json.loads(letter["value"])["id"] for letter in await world.letters()]
    assert kept == [strange.id, beyond.id]


async def test_a_customer_that_agrees_is_left_alone(world: Any) -> None:
    fleet = world.customer(7)
    fleet.record()
    async with tools(world) as (refolder, applier, _):
        await apply(applier, fleet.events)
        before = tuple(await world.row(7))
        assert await refolder.look_after(7) is Outcome.AGREES
        assert tuple(await world.row(7)) == before


async def test_whoever_stood_still_and_agrees_flows_again(world: Any) -> None:
    fleet = world.customer(7)
    fleet.record()
    async with tools(world) as (refolder, applier, _):
        await apply(applier, fleet.events)
        await standing.freeze(world.database, [7])
        assert await refolder.look_after(7) is Outcome.THAWED
        assert (await world.row(7))["as_of"] is None


async def test_a_refold_rises_its_number_beyond_the_time(world: Any) -> None:
    fleet = world.customer(7)
    fleet.record()
    async with tools(world) as (refolder, applier, _):
        await apply(applier, fleet.events)
        await world.database.execute("UPDATE portal.customer SET refold = 9999999999999")
        await refolder.look_after(7, force=True)
        assert (await world.row(7))["refold"] == 10_000_000_000_000


async def test_two_projectors_at_the_same_events_count_them_once(world: Any) -> None:
    """The zombie was paused beyond its session and applies what another has already applied."""
    fleets = [world.customer(n) for n in range(1, 9)]
    events = [fleet.record(f"A{n % 3}") for n in range(40) for fleet in fleets]
    async with tools(world) as (_, first, verifier), tools(world) as (_, second, _):
        for start in range(0, len(events), 50):
            share = events[start : start + 50]
            await asyncio.gather(apply(first, share), apply(second, share))
        for fleet in fleets:
            assert await verifier.differences(fleet.customer_id) == []
            assert await world.revision(fleet.customer_id) == 40


async def test_verifying_names_what_differs(world: Any) -> None:
    fleet = world.customer(7)
    fleet.record("A1")
    fleet.record("A2")
    async with tools(world) as (_, applier, verifier):
        await apply(applier, fleet.events)
        assert await verifier.differences(7) == []
        await world.database.execute(
            "UPDATE portal.repair SET unit_number = 'X' WHERE unit_number = 'A1'"
        )
        await world.database.execute("UPDATE portal.repair_count SET n = n + 1 WHERE bucket = 'A2'")
        await world.database.execute("DELETE FROM portal.repair_history WHERE revision = 2")
        assert await verifier.differences(7) == [
            "repair: 1 wrong",
            "repair_history: 1 wrong",
            "repair_count: 1 wrong",
        ]
        assert await verifier.differences(8) == ["not in the read model"]
