"""Reading events of the streams, and the progress of their publication."""

from collections.abc import Iterable
from datetime import datetime

from repair_writer.store.transaction import Connection

#: An exact count of a long outbox each second costs more than it is worth.
MAX_COUNTED_OUTBOX = 100_000


async def read_events(
    connection: Connection, customer_id: int, after: int, limit: int
) -> list[tuple[int, bytes]]:
    """Return (revision, payload) of at most `limit` events above `after`, ascending."""
    rows = await connection.fetch(
        "SELECT revision, payload FROM writer.event WHERE customer_id = $1 AND revision > $2"
        " ORDER BY revision LIMIT $3",
        customer_id,
        after,
        limit,
    )
    return [(row["revision"], row["payload"]) for row in rows]


async def read_payloads(connection: Connection, event_ids: Iterable[str]) -> dict[str, bytes]:
    """Return the payloads of the existing events, by event id (UUID texts in lower case)."""
    rows = await connection.fetch(
        "SELECT event_id, payload FROM writer.event WHERE event_id = ANY($1::uuid[])",
        list(event_ids),
    )
    return {str(row["event_id"]): row["payload"] for row in rows}


async def read_oldest_transaction(connection: Connection) -> datetime | None:
    """Return the start of the writer role's oldest open transaction, excluding this session.

    None if there is none.
    """
    moment: datetime | None = await connection.fetchval(
        "SELECT min(xact_start) FROM pg_stat_activity"
        " WHERE usename = current_user AND datname = current_database()"
        " AND pid <> pg_backend_pid()"
    )
    return moment


async def read_outbox(connection: Connection) -> tuple[datetime | None, int]:
    """Return when the oldest unsent event was accepted, and how many are unsent.

    The time is None when the outbox is empty. The count stops at 100 000.
    """
    row = await connection.fetchrow(
        "SELECT (SELECT min(accepted_at) FROM writer.outbox) AS oldest,"
        " (SELECT count(*) FROM (SELECT FROM writer.outbox LIMIT $1) AS counted) AS waiting",
        MAX_COUNTED_OUTBOX,
    )
    assert row is not None  # noqa: S101 - a select without FROM always answers one row
    return row["oldest"], row["waiting"]


async def count_refused(connection: Connection) -> int:
    """Return the number of events that Kafka rejected permanently."""
    return int(await connection.fetchval("SELECT count(*) FROM writer.outbox_refused"))
