"""A wrong number inserted behind the projector: detected, counted, and corrected."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import pytest

from portal_query.projector import metrics
from portal_query.projector.lists import WriterLists
from portal_query.projector.main import Projector
from portal_query.projector.selfcheck import Invariant
from portal_query.projector.testing import KEY, CustomerList
from portal_query.read_model.redis import DocumentCache
from service_runtime.redis import create_redis
from service_runtime.testing import eventually

SOON = {"projector_selfcheck_seconds": 0.3}
PLANTED = {
    "a count that is too high": (
        "UPDATE portal.repair_count SET n = n + 1 WHERE customer_id = 7 AND dimension = 1",
        {Invariant.SUMS_EQUAL, Invariant.COUNTS_ARE_REPAIRS},
    ),
    "counts of two buckets exchanged": (
        "UPDATE portal.repair_count SET n = 3 - n WHERE customer_id = 7 AND dimension = 0",
        {Invariant.COUNTS_ARE_REPAIRS},
    ),
    "a count below zero": (
        "INSERT INTO portal.repair_count VALUES (7, 0, 'Z', -1)",
        {Invariant.SUMS_EQUAL, Invariant.COUNTS_ARE_REPAIRS, Invariant.NOT_BELOW_ZERO},
    ),
    "a count that is gone": (
        "DELETE FROM portal.repair_count WHERE customer_id = 7 AND bucket = 'PENDING'",
        {Invariant.SUMS_EQUAL, Invariant.COUNTS_ARE_REPAIRS},
    ),
    "a repair that is gone": (
        "DELETE FROM portal.repair WHERE customer_id = 7 AND status = 'PENDING'",
        {Invariant.SUMS_EQUAL, Invariant.COUNTS_ARE_REPAIRS},
    ),
}


def violations() -> dict[Invariant, float]:
    return {one: metrics.INVARIANT_VIOLATIONS.labels(one.value)._value.get() for one in Invariant}


def grown(before: dict[Invariant, float]) -> set[Invariant]:
    return {one for one, n in violations().items() if n > before[one]}


async def a_fleet(world: Any) -> CustomerList:
    """Fold a customer with three repairs (A1, A1, B2) and a quiet one."""
    fleet: CustomerList = world.customer(7)
    fleet.record("A1")
    fleet.record("A1", status="PENDING")
    fleet.record("B2", date="2026-03-15T12:00:00Z")
    world.customer(8).record("Q1")
    await world.send(*fleet.events, *world.customer(8).events)
    return fleet


async def refold_of(world: Any) -> int:
    return int((await world.row(7))["refold"])


@asynccontextmanager
async def idle_projector(world: Any) -> AsyncIterator[Projector]:
    """Compose a projector without starting it: the test runs its rounds."""
    async with WriterLists(world.writer.url, KEY) as lists:
        redis = create_redis(world.settings.redis_url.get_secret_value())
        projector = Projector(world.settings, lists, DocumentCache(redis))
        yield projector
        for line in projector._lines:
            line.drop()
        await redis.aclose()


@pytest.mark.parametrize("what", PLANTED)
async def test_a_wrong_number_is_found_counted_and_made_right(world: Any, what: str) -> None:
    sql, expected = PLANTED[what]
    fleet = await a_fleet(world)
    async with world.projector(**SOON):
        await world.arrives(fleet)
        sound, refold = violations(), await refold_of(world)
        await world.database.execute(sql)

        async def was_found() -> bool:
            return grown(sound) == expected and await refold_of(world) > refold

        await eventually(was_found, f"{what} is found")
        await world.arrives(fleet)
        again = violations()
        looked = metrics.INVARIANT_CHECKED
        looked.set(-1)
        await eventually(partial(_is, looked, 2), "both customers are looked at again")
        assert grown(again) == set(), "nothing is left"


async def test_a_document_that_is_ahead_of_postgres_is_found(world: Any) -> None:
    fleet = await a_fleet(world)
    async with world.projector(**SOON):
        await world.arrives(fleet)
        sound = violations()
        await world.redis.hset("portal:7", "revision", 4)

        async def was_found() -> bool:
            return grown(sound) == {Invariant.REDIS_NOT_AHEAD}

        await eventually(was_found, "the document is found")
        await world.arrives(fleet)


async def test_a_customer_ahead_of_the_writer_is_found(world: Any) -> None:
    """The stream loses its end, and heads have not been compared since."""
    fleet = await a_fleet(world)
    async with world.projector(
        **SOON, projector_heads_seconds=3_600.0, projector_sweep_page_seconds=3_600.0
    ) as projector:
        await world.arrives(fleet)
        await eventually(partial(_ready, projector), "heads have been compared")
        sound = violations()
        lost = fleet.events.pop()
        assert lost.data.repair is not None
        del fleet.repairs[lost.data.repair.repair_id]

        async def was_found() -> bool:
            return Invariant.NOT_AHEAD_OF_WRITER in grown(sound)

        await eventually(was_found, "the customer is found")
        await world.arrives(fleet)


async def test_a_round_looks_at_no_more_customers_than_it_may(world: Any) -> None:
    for customer in range(1, 8):
        world.customer(customer).record("A1")
    await world.send(*(world.customer(n).events[0] for n in range(1, 8)))
    async with world.projector(projector_selfcheck_customers=4) as projector:
        await world.arrives(*(world.customer(n) for n in range(1, 8)))
        check = projector.selfcheck
        seen = set()
        for _ in range(12):
            await check.round()
            assert metrics.INVARIANT_CHECKED._value.get() <= 4
            seen.add(check._after)
        assert len(seen) > 1, "it goes on where it ended"


async def test_without_writer_and_redis_the_counts_are_looked_at_all_the_same(world: Any) -> None:
    fleet = await a_fleet(world)
    async with world.projector():
        await world.arrives(fleet)
    world.writer.away = True
    sound = violations()
    await world.database.execute(PLANTED["a count that is too high"][0])
    world.settings = world.settings.model_copy(
        update={"redis_url": type(world.settings.redis_url)("redis://127.0.0.1:1/0")}
    )
    async with idle_projector(world) as projector:
        projector.selfcheck._owns = lambda _: True

        await projector.selfcheck.round()

        assert grown(sound) == {Invariant.SUMS_EQUAL, Invariant.COUNTS_ARE_REPAIRS}
        assert projector.refolds.waits(7)
        assert not projector.refolds.waits(8)


async def _is(gauge: Any, wanted: int) -> bool:
    return bool(gauge._value.get() == wanted)


async def _ready(projector: Projector) -> bool:
    return projector.freshness.ready()
