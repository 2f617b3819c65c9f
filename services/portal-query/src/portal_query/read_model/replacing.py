"""The SQL of a refold: stage a customer's list, then replace all its rows at once, or compare them.

The stage is a temporary table of the connection, so a list of any length costs no memory here and
nobody else sees it. It holds one customer at a time.
"""

from collections.abc import Mapping
from typing import Final

from portal_query.counting import Dimension
from portal_query.read_model.folding import Profile
from portal_query.read_model.postgres import Connection
from portal_query.read_model.rows import COLUMNS, UNPACKED

_CREATE_STAGE: Final = f"CREATE TEMPORARY TABLE IF NOT EXISTS stage ({COLUMNS})"

_STAGE: Final = f"INSERT INTO stage SELECT * FROM {UNPACKED}"  # noqa: S608 - ours

_REPAIRS: Final = """
SELECT DISTINCT ON (repair_id) customer_id, repair_id, unit_number, repair_date, month, status,
  description, damage_type, cost, customer_notes, requested_by, batch_id, removed, revision,
  event_id, first_value(accepted_at) OVER (PARTITION BY repair_id ORDER BY revision)
    AS recorded_at, accepted_at AS changed_at
FROM stage ORDER BY repair_id, revision DESC
"""

_REPAIR_COLUMNS: Final = (
    "customer_id, repair_id, unit_number, repair_date, month, status, description, damage_type, "
    "cost, customer_notes, requested_by, batch_id, removed, revision, event_id, recorded_at, "
    "changed_at"
)
_HISTORY_COLUMNS: Final = (
    "customer_id, revision, occurred_at, accepted_at, repair_id, event_id, fact, by, status, reason"
)

_PUT_REPAIRS: Final = f"INSERT INTO portal.repair ({_REPAIR_COLUMNS}) {_REPAIRS}"
_HISTORY: Final = """
SELECT customer_id, revision, coalesce(occurred_at, accepted_at) AS occurred_at, accepted_at,
  repair_id, event_id, fact, by, status, reason
FROM stage
"""
_PUT_HISTORY: Final = f"INSERT INTO portal.repair_history ({_HISTORY_COLUMNS}) {_HISTORY} ORDER BY repair_id, revision"
_PUT_COUNTS: Final = """
INSERT INTO portal.repair_count (customer_id, dimension, bucket, n)
SELECT $1::bigint, * FROM unnest($2::smallint[], $3::text[], $4::bigint[]) ORDER BY 2, 3
"""
_PUT_CUSTOMER: Final = """
UPDATE portal.customer SET revision = $2, event_id = $3::text::uuid, fold_version = $4,
  accepted_at = $5::text::timestamptz, as_of = NULL, parked_at = NULL, parked_reason = NULL,
  refold = greatest(refold + 1, (extract(epoch FROM clock_timestamp()) * 1000)::bigint),
  name = $6, email = $7, phone = $8, address = $9, city = $10, state = $11, postal_code = $12
WHERE customer_id = $1
"""

# 'Different' counts the rows that only one side has.
_DIFFERENT: Final = """
SELECT count(*)
FROM ((({0}) EXCEPT ALL ({1})) UNION ALL (({1}) EXCEPT ALL ({0}))) AS one_sided
"""
_DIFFERENT_REPAIRS: Final = _DIFFERENT.format(
    f"SELECT {_REPAIR_COLUMNS} FROM ({_REPAIRS}) AS listed",  # noqa: S608 - ours
    f"SELECT {_REPAIR_COLUMNS} FROM portal.repair WHERE customer_id = $1",  # noqa: S608 - ours
)
_DIFFERENT_HISTORY: Final = _DIFFERENT.format(
    _HISTORY,
    f"SELECT {_HISTORY_COLUMNS} FROM portal.repair_history WHERE customer_id = $1",  # noqa: S608 - ours
)

#: What a customer was looked at under: only one process refolds it at a time.
_TRY_LOCK: Final = "SELECT pg_try_advisory_lock(hashtextextended('portal.refold', $1))"
_UNLOCK: Final = "SELECT pg_advisory_unlock(hashtextextended('portal.refold', $1))"

Counts = Mapping[tuple[Dimension, str], int]


async def claim(connection: Connection, customer_id: int) -> bool:
    """Make this connection the one that refolds the customer; False when another one does."""
    return bool(await connection.fetchval(_TRY_LOCK, customer_id))


async def release(connection: Connection, customer_id: int) -> None:
    """Give back what `claim` took."""
    await connection.execute(_UNLOCK, customer_id)


async def clear_stage(connection: Connection) -> None:
    """Make the stage empty."""
    await connection.execute("SET client_min_messages = warning")
    await connection.execute(_CREATE_STAGE)
    await connection.execute("TRUNCATE stage")


async def stage(connection: Connection, packed: bytes) -> None:
    """Add packed rows (`rows.pack`) of the list, in order."""
    await connection.execute(_STAGE, packed)


async def replace_rows(connection: Connection, customer_id: int, counts: Counts) -> None:
    """Replace repairs, history and counts of the customer by the stage and these counts."""
    for table in ("repair", "repair_history", "repair_count"):
        await connection.execute(
            f"DELETE FROM portal.{table} WHERE customer_id = $1",  # noqa: S608 - ours
            customer_id,
        )
    await connection.execute(_PUT_REPAIRS)
    await connection.execute(_PUT_HISTORY)
    await connection.execute(
        _PUT_COUNTS,
        customer_id,
        [int(dimension) for dimension, _ in counts],
        [bucket for _, bucket in counts],
        list(counts.values()),
    )


async def put_customer(
    connection: Connection,
    profile: Profile,
    *,
    revision: int,
    event_id: str | None,
    fold_version: str,
    accepted_at: str | None,
) -> None:
    """Say where a refolded customer stands, under a higher refold number, and let it flow."""
    await connection.execute(
        _PUT_CUSTOMER,
        profile.customer_id,
        revision,
        event_id,
        fold_version,
        accepted_at,
        profile.name,
        profile.email,
        profile.phone,
        profile.address,
        profile.city,
        profile.state,
        profile.postal_code,
    )


async def differences(connection: Connection, customer_id: int, counts: Counts) -> dict[str, int]:
    """Return how many rows of the customer differ from the stage and these counts, by table."""
    rows = await connection.fetch(
        "SELECT dimension, bucket, n FROM portal.repair_count WHERE customer_id = $1 AND n <> 0",
        customer_id,
    )
    held = {(Dimension(row[0]), row[1]): row[2] for row in rows}
    found = {
        "repair": int(await connection.fetchval(_DIFFERENT_REPAIRS, customer_id) or 0),
        "repair_history": int(await connection.fetchval(_DIFFERENT_HISTORY, customer_id) or 0),
        "repair_count": len(held.items() ^ dict(counts).items()),
    }
    return {table: n for table, n in found.items() if n}
