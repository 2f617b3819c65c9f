"""Live fold and rebuild agree on real PostgreSQL, on every row; the store in memory agrees with it."""

import asyncio
from datetime import UTC, datetime
from typing import Any

import asyncpg
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.laws.world.doors import opened
from tests.laws.world.instant import Follower, memory
from tests.laws.world.schedule import Schedule
from tests.laws.world.store import Tables
from tests.laws.world.writer import Known, Writer

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)

_ROWS = {
    "customer": "SELECT customer_id, revision, event_id::text, as_of, parked_at, name FROM portal.customer WHERE revision > 0 ORDER BY 1",
    "count": "SELECT customer_id, dimension, bucket, n FROM portal.repair_count WHERE n <> 0 ORDER BY 1, 2, 3",
    "repair": "SELECT customer_id, repair_id::text, unit_number, repair_date, month, status, description, damage_type, cost, customer_notes, requested_by, batch_id, removed, revision, event_id::text, recorded_at, changed_at FROM portal.repair ORDER BY 1, 2",
    "history": "SELECT customer_id, repair_id::text, revision, occurred_at, accepted_at, event_id::text, fact, by, status, reason FROM portal.repair_history ORDER BY 1, 2, 3",
}
_SUMS = "SELECT customer_id, dimension, sum(n) FROM portal.repair_count GROUP BY 1, 2"
_THERE = "SELECT customer_id, count(*) FROM portal.repair WHERE NOT removed GROUP BY 1"


def written(decisions: bytes) -> tuple[Writer, list[Known]]:
    writer, schedule = Writer(lambda: NOON), Schedule(decisions)
    events: list[Known] = []
    while not schedule.used_up:
        writer.begin(schedule)
        if writer.open:
            events += [known for _, known in writer.open[0].rows]
            writer.commit(0)
    return writer, events


async def rows(connection: "asyncpg.Connection[Any]") -> dict[str, list[tuple[Any, ...]]]:
    return {
        name: [tuple(row) for row in await connection.fetch(sql)] for name, sql in _ROWS.items()
    }


def in_memory(tables: Tables) -> dict[str, list[tuple[Any, ...]]]:
    """Return the rows of the tables in memory, as far as both stores hold them alike."""
    held = [row for _, row in sorted(tables.customers.items()) if row.revision]
    return {
        "customer": [
            (row.customer_id, row.revision, row.event_id, row.as_of, row.parked_at, row.name)
            for row in held
        ],
        "count": sorted(
            (row.customer_id, *key, n) for row in held for key, n in row.counts.items() if n
        ),
        "repair": sorted(
            (
                row.customer_id,
                key,
                one.unit_number,
                one.month,
                one.status,
                one.removed,
                one.revision,
            )
            for row in held
            for key, one in row.repairs.items()
        ),
        "history": sorted(
            (row.customer_id, *key, one.event_id, one.fact, one.by, one.status, one.reason)
            for row in held
            for key, one in row.history.items()
        ),
    }


def shortened(found: dict[str, list[tuple[Any, ...]]]) -> dict[str, list[tuple[Any, ...]]]:
    """Return the part of PostgreSQL's rows that the tables in memory hold as well."""
    keep = {"repair": (0, 1, 2, 4, 5, 12, 13), "history": (0, 1, 2, 5, 6, 7, 8, 9)}
    return {
        name: sorted(tuple(row[n] for n in keep.get(name, range(len(row)))) for row in found[name])
        for name in found
    }


async def followed(url: str, database: Any, writer: Writer, batches: list[list[Known]]) -> None:
    """Apply events in PostgreSQL and in memory, and compare; then rebuild, and compare."""
    tables = Tables(lambda: NOON)
    real, imagined = Follower(writer, url), Follower(writer, memory(tables))
    connection = await asyncpg.connect(database.owner_url)
    try:
        await connection.execute(
            "DELETE FROM portal.customer; DELETE FROM portal.repair; DELETE FROM portal.repair_count;"
            "DELETE FROM portal.repair_history; DELETE FROM portal.dead_letter"
        )
        for batch in batches:
            await real.deliver(batch)
            await imagined.deliver(batch)
            assert shortened(await rows(connection)) == in_memory(tables)
            await _sums_are_right(connection)
        await real.finish()
        live = await rows(connection)
        await real.finish(force=True)
        assert await rows(connection) == live, "refold and live fold differ"
        assert {row[0]: row[1] for row in live["customer"]} == {
            one: len(events) for one, events in writer.state.lists.items() if events
        }
    finally:
        real.close()
        await connection.close()


async def _sums_are_right(connection: "asyncpg.Connection[Any]") -> None:
    there = {row[0]: row[1] for row in await connection.fetch(_THERE)}
    for customer, _, total in await connection.fetch(_SUMS):
        assert total == there.get(customer, 0)
    assert not await connection.fetch("SELECT 1 FROM portal.repair_count WHERE n < 0")


@settings(max_examples=25, derandomize=True, suppress_health_check=list(HealthCheck))
@given(decisions=st.binary(min_size=60, max_size=300), data=st.data())
def test_live_fold_refold_and_the_store_in_memory_agree(
    database: Any, decisions: bytes, data: st.DataObject
) -> None:
    writer, events = written(decisions)
    picks = st.lists(st.integers(0, max(0, len(events) - 1)), max_size=10)
    batches = [
        [events[number] for number in batch if events]
        for batch in data.draw(st.lists(picks, max_size=4))
    ]
    with opened():
        asyncio.run(followed(database.portal_url, database, writer, [*batches, events]))
