"""SQL of one batch: locks its customers, applies events, returns customers with negative counts."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from portal_query.read_model.postgres import Connection
from portal_query.read_model.rows import UNPACKED


@dataclass(frozen=True, slots=True)
class Held:
    """A customer's stored state, read under its lock.

    `accepted_at` is the time of its last event. `still` means frozen: the customer is parked, or
    its stream must be read before further events are counted.
    """

    customer_id: int
    revision: int
    event_id: str | None
    fold_version: str
    parked: bool
    still: bool
    accepted_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Step:
    """A customer's position after a batch: its last event."""

    customer_id: int
    revision: int
    event_id: str
    accepted_at: str


@dataclass(frozen=True, slots=True)
class Profile:
    """A customer's profile, from its newest event."""

    customer_id: int
    name: str
    email: str
    phone: str
    address: str
    city: str
    state: str
    postal_code: str


_INSERT_NEW: Final = """
INSERT INTO portal.customer (customer_id, fold_version)
SELECT id, $2 FROM unnest($1::bigint[]) AS id ORDER BY id
ON CONFLICT (customer_id) DO NOTHING
"""

# Always in the order of ids: two processes at the same customers wait, and never deadlock.
_LOCK: Final = """
SELECT customer_id, revision, event_id::text, fold_version, parked_at IS NOT NULL AS parked,
  parked_at IS NOT NULL OR as_of IS NOT NULL AS still, accepted_at
FROM portal.customer WHERE customer_id = ANY($1::bigint[]) ORDER BY customer_id FOR UPDATE
"""

# The upsert returns old and new state of each repair (RETURNING old, new: PostgreSQL 18).
# The counts change by their difference. An unchanged bucket is not written.
_APPLY: Final = f"""
WITH event AS MATERIALIZED (
  SELECT * FROM {UNPACKED}
), written AS (
  INSERT INTO portal.repair_history (customer_id, revision, occurred_at, accepted_at, repair_id,
    event_id, fact, by, status, reason)
  SELECT customer_id, revision, coalesce(occurred_at, accepted_at), accepted_at, repair_id,
    event_id, fact, by, status, reason FROM event
), changed AS (
  INSERT INTO portal.repair AS held (customer_id, repair_id, unit_number, repair_date, month,
    status, description, damage_type, cost, customer_notes, requested_by, batch_id, removed,
    revision, event_id, recorded_at, changed_at)
  SELECT customer_id, repair_id, unit_number, repair_date, month, status, description,
    damage_type, cost, customer_notes, requested_by, batch_id, removed, revision, event_id,
    coalesce(recorded_at, accepted_at), accepted_at
  FROM event WHERE newest ORDER BY customer_id, repair_id
  ON CONFLICT (customer_id, repair_id) DO UPDATE SET
    unit_number = excluded.unit_number, repair_date = excluded.repair_date,
    month = excluded.month, status = excluded.status, description = excluded.description,
    damage_type = excluded.damage_type, cost = excluded.cost,
    customer_notes = excluded.customer_notes, requested_by = excluded.requested_by,
    batch_id = excluded.batch_id, removed = excluded.removed, revision = excluded.revision,
    event_id = excluded.event_id, changed_at = excluded.changed_at
  RETURNING new.customer_id,
    CASE WHEN NOT new.removed THEN new.unit_number END AS unit,
    CASE WHEN NOT new.removed THEN new.month END AS month,
    CASE WHEN NOT new.removed THEN new.status END AS status,
    CASE WHEN NOT old.removed THEN old.unit_number END AS old_unit,
    CASE WHEN NOT old.removed THEN old.month END AS old_month,
    CASE WHEN NOT old.removed THEN old.status END AS old_status
), difference AS (
  SELECT customer_id, dimension, bucket, sum(step) AS n
  FROM changed CROSS JOIN LATERAL (VALUES
    (0::smallint, unit, 1, old_unit), (0::smallint, old_unit, -1, unit),
    (1::smallint, month, 1, old_month), (1::smallint, old_month, -1, month),
    (2::smallint, status, 1, old_status), (2::smallint, old_status, -1, status)
  ) AS move(dimension, bucket, step, other)
  WHERE bucket IS NOT NULL AND bucket IS DISTINCT FROM other
  GROUP BY customer_id, dimension, bucket HAVING sum(step) <> 0
), counted AS (
  INSERT INTO portal.repair_count AS held (customer_id, dimension, bucket, n)
  SELECT customer_id, dimension, bucket, n FROM difference ORDER BY customer_id, dimension, bucket
  ON CONFLICT (customer_id, dimension, bucket) DO UPDATE SET n = held.n + excluded.n
  RETURNING customer_id, n
)
SELECT DISTINCT customer_id FROM counted WHERE n < 0
"""  # noqa: S608 - our own column list

_ADVANCE: Final = """
UPDATE portal.customer AS held
SET revision = step.revision, event_id = step.event_id, accepted_at = step.accepted_at
FROM (SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::uuid[], $4::text[]::timestamptz[]))
  AS step(customer_id, revision, event_id, accepted_at)
WHERE held.customer_id = step.customer_id
"""

_PUT_PROFILE: Final = """
UPDATE portal.customer SET name = $2, email = $3, phone = $4, address = $5, city = $6,
  state = $7, postal_code = $8
WHERE customer_id = $1
"""


async def insert_new(connection: Connection, customers: Sequence[int], fold_version: str) -> None:
    """Insert a row at revision 0 for each of these customers that has none."""
    await connection.execute(_INSERT_NEW, customers, fold_version)


async def lock(connection: Connection, customers: Sequence[int]) -> dict[int, Held]:
    """Lock these customers until the transaction ends. Return the state of those with a row."""
    rows = await connection.fetch(_LOCK, customers)
    return {row[0]: Held(*row) for row in rows}


async def apply(connection: Connection, packed: bytes) -> list[int]:
    """Apply packed rows (`rows.pack`) to repairs, history and counts.

    Return the customers with a count below zero: the transaction must then be rolled back.
    """
    return [row[0] for row in await connection.fetch(_APPLY, packed)]


async def advance(connection: Connection, steps: Sequence[Step]) -> None:
    """Store the positions that these customers have reached."""
    await connection.execute(
        _ADVANCE,
        [step.customer_id for step in steps],
        [step.revision for step in steps],
        [step.event_id for step in steps],
        [step.accepted_at for step in steps],
    )


async def put_profiles(connection: Connection, profiles: Iterable[Profile]) -> None:
    """Replace the profiles of these customers."""
    for one in profiles:
        await connection.execute(
            _PUT_PROFILE,
            one.customer_id,
            one.name,
            one.email,
            one.phone,
            one.address,
            one.city,
            one.state,
            one.postal_code,
        )
