"""Reading whole streams, customer by customer, to publish them again."""

from datetime import datetime
from typing import Final, NamedTuple

from repair_writer.store.outbox import Pool

_WHERE: Final = """
    FROM writer.event
    WHERE ($1::bigint IS NULL OR customer_id = $1)
      AND ($2::timestamptz IS NULL OR accepted_at >= $2)
      AND customer_id >= $3
"""
_COUNT: Final = f"SELECT count(*) {_WHERE}"
_SELECT: Final = f"""
    SELECT customer_id, revision, payload {_WHERE}
      AND (customer_id, revision) > ($4, $5)
    ORDER BY customer_id, revision
    LIMIT $6
"""


class Wanted(NamedTuple):
    """A selection of events: one customer, or all customers from `from_customer` on.

    `since` limits it to events accepted at or after that moment.
    """

    customer_id: int | None = None
    since: datetime | None = None
    from_customer: int = 1


class Listed(NamedTuple):
    """One event of a stream."""

    customer_id: int
    revision: int
    payload: bytes


async def count_events(pool: Pool, wanted: Wanted) -> int:
    """Return the number of selected events."""
    count: int = await pool.fetchval(_COUNT, *wanted)
    return count


async def select_events(
    pool: Pool, wanted: Wanted, after: tuple[int, int], limit: int
) -> list[Listed]:
    """Return at most `limit` selected events after the position (customer_id, revision).

    They are ordered by customer and revision.
    """
    rows = await pool.fetch(_SELECT, *wanted, *after, limit)
    return [Listed._make(row) for row in rows]
