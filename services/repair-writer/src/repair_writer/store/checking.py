"""A check of each stream: numbered from 1 without a gap, with its last event at the head."""

from typing import Final, NamedTuple

from repair_writer.store.transaction import Pool, reading

# One statement is one snapshot: a concurrent command is visible completely or not at all.
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
    """The measured length of one stream: its head's revision, event count and last revision."""

    customer_id: int
    revision: int
    events: int
    last: int
    ends_at_head: bool

    @property
    def trouble(self) -> str | None:
        """Return the fault of the stream as a sentence. None if it has none."""
        if not self.revision == self.events == self.last:
            return (
                f"its head says {self.revision}, it has {self.events} events, "
                f"the last is number {self.last}"
            )
        return None if self.ends_at_head else "its last event is another than its head says"


async def measure_lists(pool: Pool, after: int, limit: int) -> list[ListLength]:
    """Return the measured streams of at most `limit` customers with ids above `after`."""
    async with reading(pool) as connection:
        rows = await connection.fetch(_LISTS, after, limit)
    return [ListLength(*row) for row in rows]
