"""Reading repairs by id or by the publishing system's reference."""

from collections.abc import Sequence
from datetime import datetime

import asyncpg
import msgspec

from repair_events.repair import Repair
from repair_writer.store.rows import REPAIR_COLUMNS, Head, HeldRepair, held_repair
from repair_writer.store.transaction import Connection

# The clock is read by a statement that begins after the lock was taken. Times within a stream
# therefore never decrease, and never precede the start of their transaction.
_LOAD = f"""
SELECT clock_timestamp() AS now, k.request_digest, k.outcome, {REPAIR_COLUMNS}
FROM (SELECT) AS one
LEFT JOIN writer.idempotency_key k ON k.key_digest = $1::bytea
LEFT JOIN writer.repair r ON
"""  # noqa: S608 - constants only
_LOAD_BY_ID = _LOAD + "r.repair_id = $2::uuid"

# One statement, only for a new repair: an existing repair or outcome can only reject it. Those are
# read as of the snapshot before the wait for the lock. If another transaction takes the reference
# or the key meanwhile, the save fails as a lost race. The head is read under the lock, the clock
# after it.
_LOCK_AND_LOAD = f"""
WITH key AS MATERIALIZED (
    SELECT CASE WHEN $2::bigint IS NULL THEN true ELSE pg_try_advisory_xact_lock($2) END AS free
)
SELECT key.free, c.customer_id AS head_customer_id, c.revision AS head_revision,
    c.event_id AS head_event_id, c.changed_at AS head_changed_at,
    clock_timestamp() AS now, k.request_digest, k.outcome, {REPAIR_COLUMNS}
FROM key LEFT JOIN LATERAL (
    SELECT customer_id, revision, event_id, changed_at FROM writer.customer
    WHERE key.free AND customer_id = $1 FOR UPDATE
) c ON true
LEFT JOIN writer.idempotency_key k ON k.key_digest = $3::bytea
LEFT JOIN writer.repair r ON r.source = $4 AND r.source_ref = $5
"""  # noqa: S608 - constants only

_LOAD_MANY = f"""
SELECT {REPAIR_COLUMNS}
FROM unnest($1::text[], $2::text[]) AS wanted(source, source_ref)
JOIN writer.repair r USING (source, source_ref)
"""  # noqa: S608 - constants only

Reference = tuple[str, str]


class Loaded(msgspec.Struct, frozen=True, kw_only=True):
    """The data that a command needs, read under its customer's lock."""

    now: datetime
    request_digest: bytes | None
    outcome: bytes | None
    held: HeldRepair | None


async def load_by_id(
    connection: Connection, key_digest: bytes | None, repair_id: str | None
) -> Loaded:
    """Return the present time, the stored outcome of the key, and the repair of this id."""
    return _loaded(await connection.fetchrow(_LOAD_BY_ID, key_digest, repair_id))


async def lock_and_load(
    connection: Connection, repair: Repair, key_digest: bytes | None, key_lock: int | None
) -> tuple[dict[int, Head], Loaded] | None:
    """Lock the customer of a new repair. Return its head and the repair with this reference.

    The heads are empty when the customer does not exist.
    Return None, without any lock, if another transaction holds `key_lock`.
    """
    row = await connection.fetchrow(
        _LOCK_AND_LOAD,
        repair.customer_id,
        key_lock,
        key_digest,
        repair.source,
        repair.source_ref,
    )
    assert row is not None  # noqa: S101 - the statement always answers one row
    if not row["free"]:
        return None
    customer_id: int | None = row["head_customer_id"]
    if customer_id is None:
        return {}, _loaded(row)
    head = Head(
        customer_id=customer_id,
        revision=row["head_revision"],
        event_id=None if row["head_event_id"] is None else str(row["head_event_id"]),
        changed_at=row["head_changed_at"],
    )
    return {customer_id: head}, _loaded(row)


def _loaded(row: asyncpg.Record | None) -> Loaded:
    assert row is not None  # noqa: S101 - the statement always answers one row
    return Loaded(
        now=row["now"],
        request_digest=row["request_digest"],
        outcome=row["outcome"],
        held=None if row["repair_id"] is None else held_repair(row),
    )


async def load_many(
    connection: Connection, references: Sequence[Reference]
) -> dict[Reference, HeldRepair]:
    """Return the existing repairs of these (source, source_ref) pairs."""
    rows = await connection.fetch(
        _LOAD_MANY, [source for source, _ in references], [ref for _, ref in references]
    )
    return {(row["source"], row["source_ref"]): held_repair(row) for row in rows}


async def load_held(connection: Connection, repair_ids: Sequence[str]) -> dict[str, HeldRepair]:
    """Return the existing repairs of these ids (UUID texts in lower case), by id."""
    rows = await connection.fetch(
        f"SELECT {REPAIR_COLUMNS} FROM writer.repair r WHERE r.repair_id = ANY($1::uuid[])",  # noqa: S608
        repair_ids,
    )
    return {str(row["repair_id"]): held_repair(row) for row in rows}


async def read_moment(connection: Connection) -> datetime:
    """Return the database's clock at this statement."""
    moment: datetime = await connection.fetchval("SELECT clock_timestamp()")
    return moment


async def read_repair(connection: Connection, repair_id: str) -> HeldRepair | None:
    """Return one repair by its id. None if there is none."""
    row = await connection.fetchrow(
        f"SELECT {REPAIR_COLUMNS} FROM writer.repair r WHERE r.repair_id = $1",  # noqa: S608
        repair_id,
    )
    return None if row is None else held_repair(row)


async def find_repair(connection: Connection, source: str, source_ref: str) -> HeldRepair | None:
    """Return one repair by the publishing system's reference. None if there is none."""
    row = await connection.fetchrow(
        f"SELECT {REPAIR_COLUMNS} FROM writer.repair r"  # noqa: S608
        " WHERE r.source = $1 AND r.source_ref = $2",
        source,
        source_ref,
    )
    return None if row is None else held_repair(row)
