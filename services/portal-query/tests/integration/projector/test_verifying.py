"""Comparison of one customer with its stream: one reading, whatever changes meanwhile."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from portal_query.projector import verify
from portal_query.projector.apply import Applier
from portal_query.projector.batch import prepare
from portal_query.projector.lists import WriterAwayError, WriterLists
from portal_query.projector.testing import KEY, CustomerList, record_of
from portal_query.projector.verify import Verifier
from portal_query.read_model.postgres import Line
from repair_events.event import Event
from repair_events.month import Months

ZONE = "America/Chicago"


@asynccontextmanager
async def tools(world: Any) -> AsyncIterator[tuple[Applier, Verifier]]:
    url = world.settings.portal_database_url.get_secret_value()
    lines = [Line(url, name=f"test {n}") for n in range(2)]
    async with WriterLists(world.writer.url, KEY) as lists:
        try:
            yield Applier(lines[0], ZONE), Verifier(lines[1], lists, ZONE)
        finally:
            for line in lines:
                line.drop()


async def apply(applier: Applier, *events: Event) -> None:
    await applier.apply(prepare([record_of(one) for one in events], {}, Months(ZONE)))


def happens_to(world: Any, fleet: CustomerList, applier: Applier) -> None:
    """Change the customer's rows at each reading of the stream: one repair of the stream, and a new
    one.
    """
    known = next(iter(fleet.repairs))

    async def meanwhile() -> None:
        unit = f"B{len(fleet.events)}"
        await apply(applier, fleet.change(known, unit_number=unit), fleet.record("NEW"))

    world.writer.meanwhile = meanwhile


async def test_a_customer_to_whom_something_happens_is_read_once_and_agrees(world: Any) -> None:
    fleet = world.customer(7)
    async with tools(world) as (applier, verifier):
        await apply(applier, *(fleet.record(f"A{n}") for n in range(5)))
        happens_to(world, fleet, applier)
        for reading in (1, 2):
            assert await verifier.differences(7) == []
            assert await world.revision(7) == 5 + 2 * reading
            assert world.writer.asked == ["/v1/customers/7/events?after=0"] * reading


async def test_what_was_wrong_before_is_named_although_something_happens(world: Any) -> None:
    fleet = world.customer(7)
    async with tools(world) as (applier, verifier):
        await apply(applier, *(fleet.record(f"A{n}") for n in range(5)))
        await world.database.execute("UPDATE portal.repair_count SET n = n + 1 WHERE bucket = 'A2'")
        happens_to(world, fleet, applier)
        assert await verifier.differences(7) == ["repair_count: 1 wrong"]


async def test_a_list_that_stands_still_is_a_writer_that_is_away(
    world: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise Postgres would end the transaction, with an error that does not name the writer."""
    monkeypatch.setattr(verify, "_SILENCE_SECONDS", 0.2)
    fleet = world.customer(7)
    over = asyncio.Event()

    async def stand_still() -> None:
        await over.wait()

    async with tools(world) as (applier, verifier):
        await apply(applier, fleet.record())
        world.writer.meanwhile = stand_still
        with pytest.raises(WriterAwayError, match="the list stood still"):
            await verifier.differences(7)
        world.writer.meanwhile = None
        over.set()
        assert await verifier.differences(7) == []
