"""A transaction on a pooled connection, with a bounded wait for the connection."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import asyncpg
from asyncpg.pool import PoolConnectionProxy

if TYPE_CHECKING:
    Pool = asyncpg.Pool[asyncpg.Record]
    Connection = PoolConnectionProxy[asyncpg.Record]
else:
    Pool = asyncpg.Pool
    Connection = PoolConnectionProxy

#: A busy pool is told to the caller as 503 rather than waited for (faults, row 39).
ACQUIRE_SECONDS = 1.0

#: Another transaction won: deadlock, serialization failure, or the same id or reference first.
_LOST_RACES = (
    asyncpg.DeadlockDetectedError,
    asyncpg.SerializationError,
    asyncpg.UniqueViolationError,
)

#: Whatever this door raises by itself; `service_runtime.postgres.is_infrastructure` sorts them.
STORE_ERRORS = (
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    OSError,
)


@asynccontextmanager
async def transaction(pool: Pool) -> AsyncIterator[Connection]:
    """Yield a connection in a transaction; an exception rolls it back.

    Raises TimeoutError when no connection is free within a second.
    """
    async with reading(pool) as connection, connection.transaction():
        yield connection


@asynccontextmanager
async def reading(pool: Pool) -> AsyncIterator[Connection]:
    """Yield a connection outside any transaction: each statement sees what is committed."""
    # Not `acquire(timeout=...)`: the driver would make a task of each wait.
    async with asyncio.timeout(ACQUIRE_SECONDS):
        connection = await pool.acquire()
    try:
        yield connection
    finally:
        await pool.release(connection, timeout=ACQUIRE_SECONDS)


def is_lost_race(error: BaseException) -> bool:
    """Say whether the transaction may be done again at once, from its beginning."""
    return isinstance(error, _LOST_RACES)


async def migrated_to(pool: Pool) -> str | None:
    """Return the number of the last migration that has been applied, None when none has."""
    async with reading(pool) as connection:
        found: Any = await connection.fetchval("SELECT to_regclass('writer.alembic_version')::text")
        if found is None:
            return None
        version: str | None = await connection.fetchval(
            "SELECT version_num FROM writer.alembic_version"
        )
        return version


async def commit_mode(pool: Pool) -> str:
    """Return what `synchronous_commit` is in a session of the pool."""
    async with reading(pool) as connection:
        mode: str = await connection.fetchval("SHOW synchronous_commit")
        return mode
