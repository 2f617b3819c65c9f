"""The SQL of the self-check: what a customer's rows say of themselves, counted twice in one snapshot."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from portal_query.document import Version
from portal_query.read_model.postgres import Connection


@dataclass(frozen=True, slots=True)
class Tallied:
    """One customer, counted twice: as the counts say, and as its repairs do.

    `units`, `months` and `statuses` are the sums of its counts, `repairs` is the number of its
    repairs that have not been removed. `different` buckets hold another number than its repairs
    make; `below_zero` hold less than nothing. `still`: it is parked or waits to be refolded.
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
        """Which fold of which length this is."""
        return Version(self.refold, self.revision)


# Status is in every repair, so its groups hold each repair that counts exactly once.
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
    """Count these customers twice, all in one snapshot; one without a row is left out."""
    return [Tallied(*row) for row in await connection.fetch(_TALLY, list(customers))]


async def customers_after(connection: Connection, after: int, limit: int) -> list[int]:
    """Return the next customers by id, at most `limit`."""
    rows = await connection.fetch(
        "SELECT customer_id FROM portal.customer WHERE customer_id > $1 "
        "ORDER BY customer_id LIMIT $2",
        after,
        limit,
    )
    return [row[0] for row in rows]
