"""SQL of single repairs with their history, and of the profile; and the types of a list.

Every statement is limited to one customer. A page, the customer's revision and its watermark come
from one snapshot.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, Final, TypeAlias
from uuid import UUID

import asyncpg

from portal_query.document import State, Version, tag_of
from portal_query.read_model.counts import Connection, Pool, load_as_of
from repair_events import topic
from service_runtime.postgres import is_infrastructure, lease

#: The sort orders of a list, and the column of each.
SORTS: Final = {
    "repair_date": "repair_date",
    "cost": "cost",
    "unit_number": "unit_number",
    "changed_at": "changed_at",
}

SortKey = datetime | Decimal | str
Row: TypeAlias = asyncpg.Record

COLUMNS: Final = """
repair_id, unit_number, repair_date, month, status, description, damage_type, cost,
customer_notes, requested_by, batch_id, revision, event_id, recorded_at, changed_at
"""
_STATE: Final = """
SELECT refold, revision, event_id, nullif(as_of, 'epoch') AS as_of, parked_at IS NOT NULL OR as_of IS NOT NULL AS frozen
FROM portal.customer WHERE customer_id = $1
"""
_REPAIR: Final = f"""
SELECT {COLUMNS} FROM portal.repair WHERE customer_id = $1 AND repair_id = $2 AND NOT removed
"""  # noqa: S608 - constants alone
# By the unit, which has an index: the repairs of one visit concern one unit.
_VISIT: Final = f"""
SELECT {COLUMNS} FROM portal.repair
WHERE customer_id = $1 AND unit_number = $2 AND batch_id = $3 AND repair_id <> $4 AND NOT removed
ORDER BY repair_id LIMIT 10
"""  # noqa: S608 - constants alone
#: Most history lines in an answer: the newest, which explain the current state.
HISTORY_LINES: Final = 1_000
_HISTORY: Final = f"""
SELECT revision, fact, occurred_at, accepted_at, by, status, reason
FROM portal.repair_history WHERE customer_id = $1 AND repair_id = $2
ORDER BY revision DESC LIMIT {HISTORY_LINES + 1}
"""  # noqa: S608 - constants alone
_PROFILE: Final = """
SELECT customer_id, name, email, phone, address, city, state, postal_code
FROM portal.customer WHERE customer_id = $1
"""


@dataclass(frozen=True, slots=True)
class RepairFilter:
    """A filter of repairs: all conditions apply. An empty one matches all. `until` is exclusive."""

    statuses: tuple[str, ...] = ()
    unit: str | None = None
    month: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    text: str | None = None


@dataclass(frozen=True, slots=True)
class Sort:
    """A sort order: by a name of SORTS, then by the repair's id in the same direction."""

    by: str = "repair_date"
    descending: bool = True


@dataclass(frozen=True, slots=True)
class Place:
    """The start of a page: sort value and id of the repair before it."""

    key: SortKey
    repair_id: UUID


@dataclass(frozen=True, slots=True)
class PageWanted:
    """A request for one page of a list: at most `limit` repairs after `after`."""

    which: RepairFilter = RepairFilter()
    sort: Sort = Sort()
    after: Place | None = None
    limit: int = 50


@dataclass(frozen=True, slots=True)
class HistoryLine:
    """One line of a repair's history."""

    revision: int
    fact: str
    occurred_at: datetime
    accepted_at: datetime
    by: str
    status: str
    reason: str | None


@dataclass(frozen=True, slots=True)
class History:
    """The newest history of a repair, oldest line first. `complete` if none is older."""

    lines: list[HistoryLine]
    complete: bool


@asynccontextmanager
async def snapshot(pool: Pool) -> AsyncIterator[Connection]:
    """Yield a connection on which all statements see the same moment."""
    async with lease(pool) as connection:
        transaction = connection.transaction(isolation="repeatable_read", readonly=True)
        try:
            await transaction.start()
            yield connection
            await transaction.commit()
        except BaseException as error:
            # On an unresponsive server a rollback would wait once more, so drop the connection.
            if is_infrastructure(error) or not isinstance(error, Exception):
                connection.terminate()
            else:
                await transaction.rollback()
            raise


async def load_state(connection: Connection, customer_id: int) -> State:
    """Return a customer's state. Without events it is version 0."""
    times = await load_as_of(connection)
    row = await connection.fetchrow(_STATE, customer_id)
    as_of = times.get(topic.partition(customer_id))
    if row is None:
        return State(Version(0, 0), tag_of(customer_id, 0, 0, None), as_of, frozen=False)
    event_id = None if row["event_id"] is None else str(row["event_id"])
    tag = tag_of(customer_id, row["refold"], row["revision"], event_id)
    frozen = row["frozen"]
    version = Version(row["refold"], row["revision"])
    return State(version, tag, row["as_of"] if frozen else as_of, frozen)


async def load_repair(connection: Connection, customer_id: int, repair_id: UUID) -> Row | None:
    """Return a repair of this customer that has not been removed, or None."""
    return await connection.fetchrow(_REPAIR, customer_id, repair_id)


async def load_visit(connection: Connection, customer_id: int, repair: Row) -> list[Row]:
    """Return up to 10 other repairs of this unit that were requested together with `repair`."""
    if repair["batch_id"] is None:
        return []
    return await connection.fetch(
        _VISIT, customer_id, repair["unit_number"], repair["batch_id"], repair["repair_id"]
    )


async def load_history(connection: Connection, customer_id: int, repair_id: UUID) -> History:
    """Return the newest history of a repair while it belonged to this customer."""
    rows = await connection.fetch(_HISTORY, customer_id, repair_id)
    lines = [HistoryLine(**dict(row)) for row in reversed(rows[:HISTORY_LINES])]
    return History(lines, complete=len(rows) <= HISTORY_LINES)


async def load_profile(connection: Connection, customer_id: int) -> dict[str, Any] | None:
    """Return a customer's profile, or None without a row."""
    row = await connection.fetchrow(_PROFILE, customer_id)
    return None if row is None else dict(row)
