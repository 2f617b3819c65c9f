"""SQL of a rebuild: stages a customer's stream, finds the rows that differ, replaces only those.

Stage and differences are temporary tables of the connection. So a stream of any length costs no
memory here, and other connections do not see it. They hold one customer at a time. Finding takes
long and locks nothing. Replacing holds the customer's lock, for as long as differences remain.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from portal_query.counting import Dimension
from portal_query.read_model.folding import Profile
from portal_query.read_model.postgres import Connection
from portal_query.read_model.rows import COLUMNS, UNPACKED

_REPAIR: Final = (
    "customer_id, repair_id, unit_number, repair_date, month, status, description, damage_type, "
    "cost, customer_notes, requested_by, batch_id, removed, revision, event_id, recorded_at, "
    "changed_at"
)
_HISTORY: Final = (
    "customer_id, repair_id, revision, occurred_at, accepted_at, event_id, fact, by, status, reason"
)

# `listed`: the stream has the row. Otherwise the row is only deleted.
_MAKE_TABLES: Final = f"""
CREATE TEMPORARY TABLE IF NOT EXISTS stage ({COLUMNS});
CREATE TEMPORARY TABLE IF NOT EXISTS repair_difference AS
  SELECT {_REPAIR}, true AS listed FROM portal.repair WITH NO DATA;
CREATE TEMPORARY TABLE IF NOT EXISTS history_difference AS
  SELECT {_HISTORY}, true AS listed FROM portal.repair_history WITH NO DATA
"""  # noqa: S608 - ours
_EMPTY_STAGE: Final = "TRUNCATE stage"
_EMPTY_DIFFERENCES: Final = "TRUNCATE repair_difference, history_difference"

_STAGE: Final = f"INSERT INTO stage SELECT * FROM {UNPACKED}"  # noqa: S608 - ours

_FIND_REPAIRS: Final = f"""
WITH listed AS (
  SELECT DISTINCT ON (repair_id) customer_id, repair_id, unit_number, repair_date, month, status,
    description, damage_type, cost, customer_notes, requested_by, batch_id, removed, revision,
    event_id, first_value(accepted_at) OVER (PARTITION BY repair_id ORDER BY revision)
      AS recorded_at, accepted_at AS changed_at
  FROM stage ORDER BY repair_id, revision DESC
), held AS (
  SELECT {_REPAIR} FROM portal.repair WHERE customer_id = $1
)
INSERT INTO repair_difference
SELECT $1, coalesce(listed.repair_id, held.repair_id), listed.unit_number, listed.repair_date,
  listed.month, listed.status, listed.description, listed.damage_type, listed.cost,
  listed.customer_notes, listed.requested_by, listed.batch_id, listed.removed, listed.revision,
  listed.event_id, listed.recorded_at, listed.changed_at, listed.repair_id IS NOT NULL
FROM listed FULL JOIN held ON listed.repair_id = held.repair_id
WHERE listed IS DISTINCT FROM held
"""  # noqa: S608 - ours
_FIND_HISTORY: Final = f"""
WITH listed AS (
  SELECT customer_id, repair_id, revision, coalesce(occurred_at, accepted_at) AS occurred_at,
    accepted_at, event_id, fact, by, status, reason
  FROM stage
), held AS (
  SELECT {_HISTORY} FROM portal.repair_history WHERE customer_id = $1
)
INSERT INTO history_difference
SELECT $1, coalesce(listed.repair_id, held.repair_id), coalesce(listed.revision, held.revision),
  listed.occurred_at, listed.accepted_at, listed.event_id, listed.fact, listed.by, listed.status,
  listed.reason, listed.repair_id IS NOT NULL
FROM listed FULL JOIN held
  ON listed.repair_id = held.repair_id AND listed.revision = held.revision
WHERE listed IS DISTINCT FROM held
"""  # noqa: S608 - ours
_COUNTS: Final = """
SELECT dimension, bucket, n FROM portal.repair_count WHERE customer_id = $1
"""

_REPLACE: Final = (
    """
DELETE FROM portal.repair AS held USING repair_difference AS found
WHERE held.customer_id = $1 AND held.repair_id = found.repair_id
""",
    """
DELETE FROM portal.repair_history AS held USING history_difference AS found
WHERE held.customer_id = $1 AND held.repair_id = found.repair_id
  AND held.revision = found.revision
""",
    f"""
INSERT INTO portal.repair ({_REPAIR})
SELECT {_REPAIR} FROM repair_difference WHERE customer_id = $1 AND listed ORDER BY repair_id
""",  # noqa: S608 - ours
    f"""
INSERT INTO portal.repair_history ({_HISTORY})
SELECT {_HISTORY} FROM history_difference WHERE customer_id = $1 AND listed
ORDER BY repair_id, revision
""",  # noqa: S608 - ours
)
_PUT_COUNTS: Final = """
INSERT INTO portal.repair_count AS held (customer_id, dimension, bucket, n)
SELECT $1::bigint, * FROM unnest($2::smallint[], $3::text[], $4::bigint[]) ORDER BY 2, 3
ON CONFLICT (customer_id, dimension, bucket) DO UPDATE SET n = excluded.n
"""
_PUT_CUSTOMER: Final = """
UPDATE portal.customer SET revision = $2, event_id = $3::text::uuid, fold_version = $4,
  accepted_at = $5::text::timestamptz, as_of = NULL, parked_at = NULL, parked_reason = NULL,
  refold = greatest(refold + 1, (extract(epoch FROM clock_timestamp()) * 1000)::bigint),
  name = $6, email = $7, phone = $8, address = $9, city = $10, state = $11, postal_code = $12
WHERE customer_id = $1
"""

#: The rebuild lock of a customer: only one process rebuilds it at a time.
_TRY_LOCK: Final = "SELECT pg_try_advisory_lock(hashtextextended('portal.refold', $1))"
_UNLOCK: Final = "SELECT pg_advisory_unlock(hashtextextended('portal.refold', $1))"

Key = tuple[Dimension, str]
Counts = Mapping[Key, int]


@dataclass(frozen=True, slots=True)
class Differences:
    """Numbers of repair and history rows that differ from the stage, and the wrong counts.

    `wrong` maps each count that differs from the stream to its right number, 0 for a surplus
    bucket.
    """

    repairs: int
    history: int
    wrong: Counts


async def claim(connection: Connection, customer_id: int) -> bool:
    """Take the customer's rebuild lock. Return False when another connection holds it."""
    return bool(await connection.fetchval(_TRY_LOCK, customer_id))


async def release(connection: Connection, customer_id: int) -> None:
    """Release the lock that `claim` took."""
    await connection.execute(_UNLOCK, customer_id)


async def clear_stage(connection: Connection) -> None:
    """Empty the stage. Create the temporary tables when they are missing."""
    await connection.execute("SET client_min_messages = warning")
    await connection.execute(_MAKE_TABLES)
    await connection.execute(_EMPTY_STAGE)


async def stage(connection: Connection, packed: bytes) -> None:
    """Append packed rows (`rows.pack`) of the stream, in order."""
    await connection.execute(_STAGE, packed)


async def find(connection: Connection, customer_id: int, counts: Counts) -> Differences:
    """Find the rows of the customer that differ from the stage and these counts.

    The result is valid only if the customer is not written meanwhile. The caller must compare
    `Standing.version` before and after. Or it must read the customer's state and call this in one
    repeatable-read transaction.
    """
    await connection.execute(_EMPTY_DIFFERENCES)
    repairs = await connection.execute(_FIND_REPAIRS, customer_id)
    history = await connection.execute(_FIND_HISTORY, customer_id)
    rows = await connection.fetch(_COUNTS, customer_id)
    held = {(Dimension(row[0]), row[1]): row[2] for row in rows}
    wrong = {key: counts.get(key, 0) for key, n in held.items() if n != counts.get(key, 0)}
    wrong |= {key: n for key, n in counts.items() if key not in held}
    return Differences(_rows(repairs), _rows(history), wrong)


async def replace(connection: Connection, customer_id: int, differences: Differences) -> None:
    """Replace the customer's rows by those of the stream, where `find` found differences."""
    if differences.repairs or differences.history:
        for statement in _REPLACE:
            await connection.execute(statement, customer_id)
    await connection.execute(
        _PUT_COUNTS,
        customer_id,
        [int(dimension) for dimension, _ in differences.wrong],
        [bucket for _, bucket in differences.wrong],
        list(differences.wrong.values()),
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
    """Store the state of a rebuilt customer under a higher epoch, and unfreeze it."""
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


def _rows(tag: str) -> int:
    """Return the number of inserted rows from a statement's tag."""
    return int(tag.rsplit(" ", 1)[1])
