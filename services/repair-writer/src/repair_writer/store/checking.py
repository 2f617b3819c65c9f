"""Whether each list is what all copies rely on: numbered from 1 without a gap, and ending at its head."""

from typing import Final, NamedTuple

from repair_writer.store.transaction import Pool, reading

# One statement is one snapshot, so commands that come in meanwhile are in all of it or in none.
_LISTS: Final = """
SELECT c.customer_id, c.revision, count(e.revision) AS events,
    coalesce(max(e.revision), 0) AS last,
    c.event_id IS NOT DISTINCT FROM (
        SELECT l.event_id FROM writer.event AS l
        WHERE l.customer_id = c.customer_id AND l.revision = c.revision
    ) AS ends_at_head
FROM (
    SELECT customer_id, revision, event_id FROM writer.customer
    WHERE customer_id > $1 ORDER BY customer_id LIMIT $2
) AS c
LEFT JOIN writer.event AS e USING (customer_id)
GROUP BY c.customer_id, c.revision, c.event_id
ORDER BY c.customer_id
"""


class ListLength(NamedTuple):
    """One list, measured: what its head says, how many events there are, and the highest number."""

    customer_id: int
    revision: int
    events: int
    last: int
    ends_at_head: bool

    @property
    def trouble(self) -> str | None:
        """Say what is wrong with it, None when nothing is."""
        if not self.revision == self.events == self.last:
            return (
                f"its head says {self.revision}, it has {self.events} events, "
                f"the last is number {self.last}"
            )
        return None if self.ends_at_head else "its last event is another than its head says"


async def measure_lists(pool: Pool, after: int, limit: int) -> list[ListLength]:
    """Measure the lists of the next customers by id, at most `limit`."""
    async with reading(pool) as connection:
        rows = await connection.fetch(_LISTS, after, limit)
    return [ListLength(*row) for row in rows]
