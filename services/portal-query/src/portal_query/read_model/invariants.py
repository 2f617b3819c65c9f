"""SQL of the self-check: counts and repairs of a customer, added up in one snapshot."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from portal_query.document import Version
from portal_query.read_model.postgres import Connection


@dataclass(frozen=True, slots=True)
class Tallied:
    """One customer, counted twice: by its counts and by its repairs.

    `units`, `months` and `statuses` are sums of its counts. `repairs` is the number of its repairs
    that are not removed. `different` is the number of buckets that disagree with the repairs.
    `below_zero` is the number of negative buckets. `still` means frozen: parked, or waiting for a
    rebuild.
    """

    customer_id: int
    refold: int
    revision: int
    still: bool
    units: int
    months: int
    statuses: int
    repairs: int
    different: int
    below_zero: int

    @property
    def version(self) -> Version:
        """Return the epoch and the revision."""
        return Version(self.refold, self.revision)


# Every repair has a status, so the groups by status hold each counted repair exactly once.
_TALLY: Final = """
WITH counted AS (
  SELECT customer_id, coalesce(unit_number, month, status) AS bucket, count(*) AS n,
    CASE WHEN grouping(unit_number) = 0 THEN 0 WHEN grouping(month) = 0 THEN 1 ELSE 2 END
      AS dimension
  FROM portal.repair WHERE customer_id = ANY($1::bigint[]) AND NOT removed
  GROUP BY GROUPING SETS
    ((customer_id, unit_number), (customer_id, month), (customer_id, status))
), held AS (
  SELECT customer_id, dimension, bucket, n
  FROM portal.repair_count WHERE customer_id = ANY($1::bigint[])
), both_ways AS (
  SELECT customer_id, dimension, coalesce(held.n, 0) AS held, coalesce(counted.n, 0) AS counted
  FROM held FULL JOIN counted USING (customer_id, dimension, bucket)
)
SELECT c.customer_id, c.refold, c.revision, c.as_of IS NOT NULL OR c.parked_at IS NOT NULL,
  coalesce(sum(b.held) FILTER (WHERE b.dimension = 0), 0)::bigint,
  coalesce(sum(b.held) FILTER (WHERE b.dimension = 1), 0)::bigint,
  coalesce(sum(b.held) FILTER (WHERE b.dimension = 2), 0)::bigint,
  coalesce(sum(b.counted) FILTER (WHERE b.dimension = 2), 0)::bigint,
  count(*) FILTER (WHERE b.held <> b.counted),
  count(*) FILTER (WHERE b.held < 0)
FROM portal.customer AS c LEFT JOIN both_ways AS b USING (customer_id)
WHERE c.customer_id = ANY($1::bigint[])
GROUP BY c.customer_id
"""


async def tally(connection: Connection, customers: Sequence[int]) -> list[Tallied]:
    """Count these customers twice, all in one snapshot. Those without a row are left out."""
    return [Tallied(*row) for row in await connection.fetch(_TALLY, list(customers))]


async def customers_after(connection: Connection, after: int, limit: int) -> list[int]:
    """Return the next customer ids above `after`, ascending, at most `limit`."""
    rows = await connection.fetch(
        "SELECT customer_id FROM portal.customer WHERE customer_id > $1 "
        "ORDER BY customer_id LIMIT $2",
        after,
        limit,
    )
    return [row[0] for row in rows]
