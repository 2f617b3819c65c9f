"""The outbox: accepted events that are not on Kafka yet. One statement a function.

The API inserts rows. The relay deletes rows that Kafka has acknowledged.
There is no cursor: an id is taken from the sequence before its transaction commits.
A reader that stored its last id would therefore miss rows that commit later.
Rows of one customer become visible in the order of their ids, because they are inserted under
the customer's lock.
"""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, Final, NamedTuple, TypeAlias

import asyncpg

from service_runtime.postgres import Pool, connect, is_infrastructure, lease

#: Two numbers that no other lock in this database uses: "outbox", "relay" in ASCII.
_LEADER_LOCK: Final = (0x6F75_7462, 0x7265_6C61)

#: A leader whose machine fails loses its lock after about ten seconds. The default is two hours.
_NOTICE_DEAD_PEERS: Final = """
    SET tcp_keepalives_idle = 5; SET tcp_keepalives_interval = 2; SET tcp_keepalives_count = 3;
    SET tcp_user_timeout = 10000
"""

_SELECT: Final = """
    SELECT id, customer_id, payload
    FROM (
        SELECT id, customer_id, payload, sum(octet_length(payload)) OVER (ORDER BY id) AS bytes
        FROM (
            SELECT id, customer_id, payload
            FROM writer.outbox
            WHERE id NOT IN (SELECT unnest($1::bigint[]))
              AND customer_id NOT IN (SELECT unnest($2::bigint[]))
            ORDER BY id
            LIMIT $3
        ) first
    ) summed
    WHERE bytes - octet_length(payload) < $4
    ORDER BY id
"""
_DELETE: Final = "DELETE FROM writer.outbox WHERE id = ANY($1::bigint[])"
_SET_ASIDE: Final = """
    WITH refused AS (DELETE FROM writer.outbox WHERE id = $1 RETURNING *)
    INSERT INTO writer.outbox_refused
        (id, customer_id, event_id, payload, accepted_at, reason, refused_at)
    SELECT id, customer_id, event_id, payload, accepted_at, $2, clock_timestamp() FROM refused
    RETURNING event_id
"""
_MEASURE: Final = """
    SELECT count(*),
           coalesce(extract(epoch FROM clock_timestamp() - min(accepted_at)), 0)::float8,
           (SELECT count(*) FROM writer.outbox_refused)
    FROM writer.outbox
"""


__all__ = ["Pool"]

LeaderConnection: TypeAlias = "asyncpg.Connection[Any]"


class OutboxRow(NamedTuple):
    """An unsent event. `payload` is sent to Kafka unchanged."""

    id: int
    customer_id: int
    payload: bytes


@dataclass(frozen=True, slots=True)
class Backlog:
    """The number of unsent rows, the age of the oldest (seconds), and the count of dead letters."""

    pending: int
    oldest_seconds: float
    refused: int


def is_postgres_error(error: BaseException) -> bool:
    """Return whether Postgres is unavailable or rejects the statement.

    Examples: a missing table, a changed password.
    """
    return isinstance(error, asyncpg.PostgresError) or is_infrastructure(error)


async def connect_leader(url: str) -> LeaderConnection:
    """Return a dedicated connection for the lock. It must reach Postgres without a pooler.

    Raises what the driver raises.
    """
    connection = await connect(url, name="repair-relay-leader", statement_seconds=10)
    await connection.execute(_NOTICE_DEAD_PEERS)
    return connection


async def check_outbox(url: str) -> None:
    """Read the outbox on a new connection; raises what the driver raises."""
    connection = await connect(url, name="repair-relay-check")
    try:
        await select_unsent(connection, without_ids=(), without_customers=(), limit=1, max_bytes=1)
    finally:
        connection.terminate()


async def try_to_lead(connection: LeaderConnection) -> bool:
    """Take the leader lock for the life of this connection. Return False if another holds it.

    The caller polls, because a waiting statement holds a snapshot.
    Such a snapshot would keep dead rows in every table.
    """
    led = await connection.fetchval("SELECT pg_try_advisory_lock($1, $2)", *_LEADER_LOCK)
    return bool(led)


async def is_connected(connection: LeaderConnection) -> None:
    """Check the connection, which carries the lock. Raises the driver's error if it is lost."""
    await connection.execute("SELECT 1")


async def select_unsent(
    connection: LeaderConnection,
    *,
    without_ids: Collection[int],
    without_customers: Collection[int],
    limit: int,
    max_bytes: int,
) -> list[OutboxRow]:
    """Return the oldest rows in the order of their ids, at most `limit`.

    Rows with an id or customer in the exclusions are left out.
    The result ends with the row that reaches `max_bytes` of payload.
    """
    rows = await connection.fetch(
        _SELECT, list(without_ids), list(without_customers), limit, max_bytes
    )
    return [OutboxRow._make(row) for row in rows]


async def delete_sent(pool: Pool, ids: Collection[int]) -> None:
    """Delete rows that Kafka has acknowledged."""
    async with lease(pool) as connection:
        await connection.execute(_DELETE, list(ids))


async def set_aside(pool: Pool, row_id: int, reason: str) -> str | None:
    """Move a row that Kafka rejects permanently to the dead letters. Return its event id.

    None if the row no longer exists.
    """
    async with lease(pool) as connection:
        event_id = await connection.fetchval(_SET_ASIDE, row_id, reason)
    return None if event_id is None else str(event_id)


async def measure_backlog(pool: Pool) -> Backlog:
    """Return the backlog. Ages are by the clock of Postgres."""
    async with lease(pool) as connection:
        row = await connection.fetchrow(_MEASURE)
    if row is None:
        raise LookupError("an aggregate without a row")
    return Backlog(*row)
