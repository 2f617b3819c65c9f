"""The audit log of API keys: append-only."""

from collections.abc import Collection
from datetime import datetime
from typing import Any, Final

import msgspec

from repair_writer.store.transaction import Connection, Pool, transaction

CREATED: Final = "key-created"
ADOPTED: Final = "key-adopted"
CHANGED: Final = "key-changed"
RENEWED: Final = "key-renewed"
REVOKED: Final = "key-revoked"
USED: Final = "key-used"

#: Most entries of use for one key a day: a caller with many addresses must not fill the disk.
MAX_USES_A_DAY: Final = 10

# The row number within each key keeps the daily bound exact, in any order of the uses.
_NOTE_USES = f"""
WITH used AS (
    SELECT key_id, origin FROM unnest($1::text[], $2::text[]) AS u(key_id, origin)
), noted AS (
    UPDATE writer.api_key SET last_used_at = clock_timestamp()
    WHERE key_id IN (SELECT key_id FROM used)
), fresh AS (
    SELECT u.key_id, u.origin, row_number() OVER (PARTITION BY u.key_id ORDER BY u.origin) AS n
    FROM used AS u WHERE NOT EXISTS (
        SELECT FROM writer.audit AS a WHERE a.key_id = u.key_id AND a.what = '{USED}'
            AND a.origin = u.origin AND a.at > clock_timestamp() - interval '1 day'
    )
)
INSERT INTO writer.audit (what, key_id, client, actor, origin)
SELECT '{USED}', k.key_id, k.client, 'internal:' || k.client, f.origin
FROM fresh AS f JOIN writer.api_key AS k USING (key_id)
WHERE f.n + (
    SELECT count(*) FROM writer.audit AS a WHERE a.key_id = f.key_id AND a.what = '{USED}'
        AND a.at > clock_timestamp() - interval '1 day'
) <= $3
"""  # noqa: S608 - constants only


class AuditEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One entry of the audit log.

    `actor` is `os:NAME` or `internal:CLIENT`. `origin` is a machine name or an address.
    """

    at: datetime
    what: str
    key_id: str
    client: str
    actor: str
    origin: str
    detail: dict[str, Any]


class Operator(msgspec.Struct, frozen=True, kw_only=True):
    """The operating-system user of a command, and the machine that runs it."""

    name: str
    machine: str


async def append_audit(
    connection: Connection,
    what: str,
    *,
    key_id: str,
    client: str,
    by: Operator,
    detail: dict[str, Any],
) -> None:
    """Append an action of an operator, within the transaction of that action."""
    await connection.execute(
        "INSERT INTO writer.audit (what, key_id, client, actor, origin, detail)"
        " VALUES ($1, $2, $3, $4, $5, $6::text::jsonb)",
        what,
        key_id,
        client,
        f"os:{by.name}",
        by.machine,
        msgspec.json.encode(detail).decode(),
    )


async def was_audited_today(connection: Connection, what: str, key_id: str) -> bool:
    """Return whether the key has an entry of this kind within the last 24 hours."""
    return bool(
        await connection.fetchval(
            "SELECT EXISTS (SELECT FROM writer.audit WHERE key_id = $1 AND what = $2"
            " AND at > clock_timestamp() - interval '1 day')",
            key_id,
            what,
        )
    )


async def note_uses(pool: Pool, uses: Collection[tuple[str, str]]) -> None:
    """Record uses of keys as (key id, address) pairs.

    Each key gets a new time of last use. Each pair gets one entry a day.
    A key gets at most ten such entries a day, from any number of addresses.
    """
    async with transaction(pool) as connection:
        # Without the lock, two concurrent writers could both find no entry and insert one.
        await connection.execute("SELECT pg_advisory_xact_lock(hashtext('writer audit'))")
        await connection.execute(
            _NOTE_USES,
            [key_id for key_id, _ in uses],
            [origin for _, origin in uses],
            MAX_USES_A_DAY,
        )


async def read_audit(connection: Connection, key_id: str | None, limit: int) -> list[AuditEntry]:
    """Return at most `limit` entries, of one key or of all keys, newest first."""
    rows = await connection.fetch(
        "SELECT at, what, key_id, client, actor, origin, detail::text FROM writer.audit"
        " WHERE $1::text IS NULL OR key_id = $1 ORDER BY id DESC LIMIT $2",
        key_id,
        limit,
    )
    return [AuditEntry(**{**row, "detail": msgspec.json.decode(row["detail"])}) for row in rows]
