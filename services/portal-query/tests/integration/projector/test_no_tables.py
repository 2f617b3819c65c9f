"""The read model's schema is dropped under a running projector: it waits, and then rebuilds every
customer.
"""

import asyncio
from typing import Any

from portal_query.migrations import migrate
from repair_events import topic
from service_runtime.testing import eventually

ROLES = "CREATE SCHEMA portal AUTHORIZATION portal; GRANT USAGE ON SCHEMA portal TO query"


async def _faults(projector: Any) -> dict[str, str]:
    found: dict[str, str] = await projector.health.faults()
    return found


async def _settled(world: Any, projector: Any) -> Any:
    """Return two customers of different partitions, complete, with a ready projector."""
    one, other = world.customer(1), world.customer(2)
    for listed in (one, other):
        await world.send(listed.record(), listed.record(unit="B2"))
    await world.arrives(one, other)

    async def ready() -> bool:
        return not await _faults(projector)

    await eventually(ready, "the projector is ready")
    return one, other


async def test_it_waits_for_the_migrator_and_rebuilds(world: Any, database: Any) -> None:
    async with world.projector() as projector:
        one, other = await _settled(world, projector)
        await world.database.execute("DROP SCHEMA portal CASCADE")

        async def says_so() -> bool:
            return "portal-query migrate" in (await _faults(projector)).get("tables", "")

        await eventually(says_so, "readiness names the missing tables")
        await world.send(one.record(unit="C3"))  # arrives while there is no table

        await world.database.execute(ROLES)
        await asyncio.to_thread(migrate, database.portal_url)

        await world.arrives(one, other)

        async def ready() -> bool:
            return not await _faults(projector)

        await eventually(ready, "the projector is ready again")


async def test_tables_that_are_new_are_no_empty_figures(world: Any, database: Any) -> None:
    """The schema is dropped and recreated at once: no statement fails, and no comparison is due for
    an hour.
    """
    seldom = {"projector_heads_seconds": 3_600.0, "projector_sweep_page_seconds": 3_600.0}
    async with world.projector(**seldom) as projector:
        one, other = await _settled(world, projector)
        async with world.database.transaction():
            await world.database.execute("ALTER SCHEMA portal RENAME TO lost")
            await world.database.execute(ROLES)
            await world.database.execute(await _copy_of_tables(world.database))
        assert await world.database.fetchval("SELECT count(*) FROM portal.customer") == 0

        await world.arrives(one, other)

        for listed in (one, other):
            as_of = await world.database.fetchval(
                "SELECT as_of FROM portal.partition_progress WHERE partition = $1",
                topic.partition(listed.customer_id),
            )
            assert as_of is None or await world.revision(listed.customer_id) == len(listed.events)


async def _copy_of_tables(database: Any) -> str:
    names = await database.fetch(
        "SELECT tablename AS name FROM pg_tables WHERE schemaname = 'lost'"
    )
    return ";".join(
        f'CREATE TABLE portal."{one["name"]}" (LIKE lost."{one["name"]}" INCLUDING ALL);'
        f'ALTER TABLE portal."{one["name"]}" OWNER TO portal'
        for one in names
    )
