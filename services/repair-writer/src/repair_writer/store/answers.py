"""Stored outcomes of commands with an idempotency key."""

from datetime import datetime

from repair_writer.store.changes import Kept
from repair_writer.store.transaction import Connection, Pool, transaction

_PURGE = """
DELETE FROM writer.idempotency_key WHERE key_digest IN (
    SELECT key_digest FROM writer.idempotency_key
    WHERE created_at < clock_timestamp() - interval '7 days'
    ORDER BY created_at LIMIT $1
)
"""


async def keep_outcome(connection: Connection, kept: Kept, now: datetime) -> None:
    """Store the outcome of a command that changed nothing.

    Other outcomes are stored by `save_changes`, with their change.
    """
    await connection.execute(
        "INSERT INTO writer.idempotency_key (key_digest, request_digest, outcome, created_at)"
        " VALUES ($1, $2, $3, $4)",
        kept.key_digest,
        kept.request_digest,
        kept.outcome,
        now,
    )


async def purge_outcomes(pool: Pool, limit: int) -> int:
    """Delete at most `limit` outcomes older than seven days. Return the number deleted."""
    async with transaction(pool) as connection:
        status = await connection.execute(_PURGE, limit)
    return int(status.removeprefix("DELETE "))
