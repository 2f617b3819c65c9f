"""SQL of customers' states: positions to compare, frozen customers, parked customers."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from portal_query.read_model.postgres import Connection


@dataclass(frozen=True, slots=True)
class Standing:
    """A customer's state. `version` changes with every write to its row."""

    customer_id: int
    revision: int
    event_id: str | None
    refold: int
    fold_version: str
    parked: bool
    still: bool
    version: str


@dataclass(frozen=True, slots=True)
class Parked:
    """A customer with a stream that cannot be folded: since when, why, and its last revision."""

    customer_id: int
    revision: int
    parked_at: datetime
    reason: str


# The transaction that wrote a row is its version: a separate counter could be forgotten.
_STANDING: Final = """
SELECT customer_id, revision, event_id::text, refold, fold_version, parked_at IS NOT NULL,
  as_of IS NOT NULL OR parked_at IS NOT NULL, xmin::text
FROM portal.customer
"""

# A customer is frozen at the time of its last event: its counts hold all changes accepted until
# then. The row is written in any case, so that a rebuild in progress notices. Rows are locked in
# the order of their ids, as a batch locks them.
_FREEZE: Final = """
UPDATE portal.customer AS held SET as_of = coalesce(as_of, accepted_at, 'epoch')
FROM (SELECT customer_id FROM portal.customer WHERE customer_id = ANY($1::bigint[])
  ORDER BY customer_id FOR UPDATE) AS locked
WHERE held.customer_id = locked.customer_id
"""

# A higher epoch, because a frozen document of the same version would win in Redis.
_THAW: Final = """
UPDATE portal.customer SET as_of = NULL, parked_at = NULL, parked_reason = NULL,
  refold = greatest(refold + 1, (extract(epoch FROM clock_timestamp()) * 1000)::bigint)
WHERE customer_id = $1 AND xmin::text = $2
"""

_PARK: Final = """
UPDATE portal.customer SET parked_at = coalesce(parked_at, clock_timestamp()), parked_reason = $2,
  as_of = coalesce(as_of, accepted_at, 'epoch')
WHERE customer_id = $1
"""


async def standing(connection: Connection, customers: Sequence[int]) -> dict[int, Standing]:
    """Return the states of these customers. Those without a row are left out."""
    rows = await connection.fetch(
        _STANDING + "WHERE customer_id = ANY($1::bigint[])", list(customers)
    )
    return {row[0]: Standing(*row) for row in rows}


async def standing_between(
    connection: Connection, after: int, last: int | None
) -> dict[int, Standing]:
    """Return the states of the customers with ids above `after` and up to `last`.

    None in `last` means no upper limit.
    """
    rows = await connection.fetch(
        _STANDING + "WHERE customer_id > $1 AND ($2::bigint IS NULL OR customer_id <= $2)",
        after,
        last,
    )
    return {row[0]: Standing(*row) for row in rows}


async def lock_standing(connection: Connection, customer_id: int) -> Standing | None:
    """Lock a customer until the transaction ends. Return its state, None without a row."""
    row = await connection.fetchrow(_STANDING + "WHERE customer_id = $1 FOR UPDATE", customer_id)
    return None if row is None else Standing(*row)


async def standing_still(connection: Connection, after: int, limit: int) -> list[Standing]:
    """Return frozen customers above `after`, parked ones included, in the order of ids."""
    rows = await connection.fetch(
        _STANDING
        + "WHERE (as_of IS NOT NULL OR parked_at IS NOT NULL) AND customer_id > $1 "
        + "ORDER BY customer_id LIMIT $2",
        after,
        limit,
    )
    return [Standing(*row) for row in rows]


async def parked(connection: Connection) -> list[Parked]:
    """Return the parked customers, the longest parked first."""
    rows = await connection.fetch(
        "SELECT customer_id, revision, parked_at, parked_reason FROM portal.customer "
        "WHERE parked_at IS NOT NULL ORDER BY parked_at, customer_id"
    )
    return [Parked(*row) for row in rows]


async def freeze(connection: Connection, customers: Sequence[int]) -> None:
    """Freeze these customers at their last event, until they have been compared or rebuilt."""
    await connection.execute(_FREEZE, customers)


async def thaw(connection: Connection, customer_id: int, version: str) -> bool:
    """Unfreeze a customer. Return False and change nothing when its version differs."""
    return str(await connection.execute(_THAW, customer_id, version)) == "UPDATE 1"


async def park(connection: Connection, customer_id: int, reason: str) -> None:
    """Park a customer: record that its stream cannot be folded, and freeze it."""
    await connection.execute(_PARK, customer_id, reason)


async def forget(connection: Connection, customer_id: int, version: str) -> None:
    """Delete the row of a customer without a revision, if its version is unchanged."""
    await connection.execute(
        "DELETE FROM portal.customer WHERE customer_id = $1 AND revision = 0 AND xmin::text = $2",
        customer_id,
        version,
    )
