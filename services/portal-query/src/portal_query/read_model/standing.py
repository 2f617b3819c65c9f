"""The SQL of where customers stand: who differs from the writer, who stands still, who is parked."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from portal_query.read_model.postgres import Connection


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a customer stands; `version` changes whenever anything about it is written."""

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
    """A customer whose list cannot be folded: since when, why, and where it stands."""

    customer_id: int
    revision: int
    parked_at: datetime
    reason: str


# The transaction that wrote a row names the row's version: no counter of ours could be forgotten.
_STANDING: Final = """
SELECT customer_id, revision, event_id::text, refold, fold_version, parked_at IS NOT NULL,
  as_of IS NOT NULL OR parked_at IS NOT NULL, xmin::text
FROM portal.customer
"""

# What a customer stands still at is the time of its last event: everything accepted until then is
# in its figures. The row is written in any case, so that whoever is replacing it notices. Rows are
# locked in the order of their ids, as a batch locks them.
_FREEZE: Final = """
UPDATE portal.customer AS held SET as_of = coalesce(as_of, accepted_at, 'epoch')
FROM (SELECT customer_id FROM portal.customer WHERE customer_id = ANY($1::bigint[])
  ORDER BY customer_id FOR UPDATE) AS locked
WHERE held.customer_id = locked.customer_id
"""

# A higher refold number, because a document of the same version that stands still would win.
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
    """Return where these customers stand; one without a row is left out."""
    rows = await connection.fetch(
        _STANDING + "WHERE customer_id = ANY($1::bigint[])", list(customers)
    )
    return {row[0]: Standing(*row) for row in rows}


async def standing_between(
    connection: Connection, after: int, last: int | None
) -> dict[int, Standing]:
    """Return where the customers stand whose ids are above `after` and not above `last`.

    Without `last` it is all that are above.
    """
    rows = await connection.fetch(
        _STANDING + "WHERE customer_id > $1 AND ($2::bigint IS NULL OR customer_id <= $2)",
        after,
        last,
    )
    return {row[0]: Standing(*row) for row in rows}


async def lock_standing(connection: Connection, customer_id: int) -> Standing | None:
    """Lock a customer until the transaction ends and return where it stands."""
    row = await connection.fetchrow(_STANDING + "WHERE customer_id = $1 FOR UPDATE", customer_id)
    return None if row is None else Standing(*row)


async def standing_still(connection: Connection, after: int, limit: int) -> list[Standing]:
    """Return customers above `after` that are parked or wait to be refolded, in the order of ids."""
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
    """Let these customers stand still at their last event until they have been looked after."""
    await connection.execute(_FREEZE, customers)


async def thaw(connection: Connection, customer_id: int, version: str) -> bool:
    """Let a customer flow again; False, and nothing done, when it is not of that version."""
    return str(await connection.execute(_THAW, customer_id, version)) == "UPDATE 1"


async def park(connection: Connection, customer_id: int, reason: str) -> None:
    """Say that this customer's list cannot be folded, and let it stand still."""
    await connection.execute(_PARK, customer_id, reason)


async def forget(connection: Connection, customer_id: int, version: str) -> None:
    """Delete the row of a customer that never was: no revision, and no list at the writer."""
    await connection.execute(
        "DELETE FROM portal.customer WHERE customer_id = $1 AND revision = 0 AND xmin::text = $2",
        customer_id,
        version,
    )
