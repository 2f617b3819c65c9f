"""Change of the counting rule under reads: each response follows the old rule or the new one, never
both.
"""

import asyncio
from functools import partial
from itertools import groupby
from typing import Any

import asyncpg
import msgspec

from portal_query.counting import Dimension
from portal_query.document import MONTHS, month_list
from portal_query.projector.testing import CustomerList
from portal_query.read_model.counts import load_counts
from repair_events.month import fold_version
from service_runtime.testing import eventually

OLD, NEW = "America/Chicago", "Asia/Kolkata"
CUSTOMERS = range(1, 7)


class Seen(msgspec.Struct, frozen=True):
    """A reader's result: the revision, the months, and whether the customer was frozen."""

    revision: int
    months: bytes
    still: bool


def expected(one: CustomerList, revision: int, zone: str) -> bytes:
    """Return the list of months after so many events, counted in a time zone."""
    counts = one.counts(zone, revision)
    return month_list([(name, n) for (by, name), n in counts.items() if by is Dimension.MONTH])


async def read_postgres(world: Any, seen: dict[int, list[Seen]], over: asyncio.Event) -> None:
    connection = await asyncpg.connect(world.settings.portal_database_url.get_secret_value())
    while not over.is_set():
        for counts in await load_counts(connection, CUSTOMERS):
            months = month_list(counts.months)
            seen[counts.customer_id].append(Seen(counts.revision, months, counts.frozen))
    await connection.close()


async def read_redis(world: Any, seen: dict[int, list[Seen]], over: asyncio.Event) -> None:
    while not over.is_set():
        for n in CUSTOMERS:
            revision, months, frozen = await world.redis.hmget(
                f"portal:{n}", "revision", MONTHS, "frozen"
            )
            if months is not None:
                seen[n].append(Seen(int(revision), months, bool(frozen)))


async def test_nobody_ever_sees_both_rules_in_one_customer(world: Any) -> None:
    fleets = {n: world.customer(n) for n in CUSTOMERS}
    for fleet in fleets.values():
        # Three in the morning of the first: this month in India, the previous one in Chicago.
        for n in range(30):
            fleet.record(f"A{n % 4}", f"2026-{n % 12 + 1:02d}-01T03:00:00Z")
    async with world.projector(portal_time_zone=OLD):
        await world.send(*[event for fleet in fleets.values() for event in fleet.events])
        await world.arrives(*fleets.values())
    in_postgres: dict[int, list[Seen]] = {n: [] for n in CUSTOMERS}
    in_redis: dict[int, list[Seen]] = {n: [] for n in CUSTOMERS}
    over = asyncio.Event()
    world.writer.meanwhile = partial(asyncio.sleep, 0.1)

    async def all_new() -> bool:
        rows = [await world.row(n) for n in CUSTOMERS]
        return all(
            (row["fold_version"], row["revision"], row["as_of"])
            == (fold_version(NEW), len(fleets[row["customer_id"]].events), None)
            for row in rows
        ) and all(
            seen[n] and seen[n][-1].months == expected(fleets[n], len(fleets[n].events), NEW)
            for seen in (in_postgres, in_redis)
            for n in CUSTOMERS
        )

    async with asyncio.TaskGroup() as readers:
        readers.create_task(read_postgres(world, in_postgres, over))
        readers.create_task(read_redis(world, in_redis, over))
        async with world.projector(portal_time_zone=NEW):
            await world.send(*[fleet.record("LIVE") for fleet in fleets.values()])
            await eventually(all_new, "everybody is counted by the new rule")
        over.set()

    for seen in (in_postgres, in_redis):
        for n, fleet in fleets.items():
            rules = [_rule(fleet, one) for one, _ in groupby(seen[n])]
            assert rules == sorted(rules, key=(OLD, NEW).index)
            assert set(rules) == {OLD, NEW}
            assert any(one.still for one in seen[n])


def _rule(fleet: CustomerList, one: Seen) -> str:
    """Return the rule by which all of this has been counted."""
    found = [zone for zone in (OLD, NEW) if one.months == expected(fleet, one.revision, zone)]
    assert len(found) == 1, f"customer {fleet.customer_id} shows {one}"
    return found[0]
