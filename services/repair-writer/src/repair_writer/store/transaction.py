"""A transaction on a pooled connection, with a bounded wait for the connection."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final, TypeAlias

import asyncpg

from service_runtime.errors import OverloadedError
from service_runtime.postgres import Pool, PooledConnection, connect, lease

#: A pool lends a proxy that does what a connection does.
Connection: TypeAlias = "asyncpg.Connection[Any] | PooledConnection"

__all__ = ["Connection", "Pool", "lease"]

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
    OverloadedError,
)


@asynccontextmanager
async def transaction(pool: Pool) -> AsyncIterator[Connection]:
    """Yield a connection in a transaction; an exception rolls it back.

    Raises PoolExhaustedError when no connection is free in time.
    """
    async with lease(pool) as connection, connection.transaction():
        yield connection


#: A connection outside any transaction: each statement sees what is committed.
reading: Final = lease


def is_lost_race(error: BaseException) -> bool:
    """Say whether the transaction may be done again at once, from its beginning."""
    return isinstance(error, _LOST_RACES)


async def migrated_to(connection: Connection) -> str | None:
    """Return the number of the last migration that has been applied, None when none has."""
    found: Any = await connection.fetchval("SELECT to_regclass('writer.alembic_version')::text")
    if found is None:
        return None
    version: str | None = await connection.fetchval(
        "SELECT version_num FROM writer.alembic_version"
    )
    return version


@asynccontextmanager
async def new_connection(url: str) -> AsyncIterator[Connection]:
    """Yield a connection beside all pools: whether Postgres answers others."""
    connection = await connect(url, name="repair-writer-check")
    try:
        yield connection
    finally:
        connection.terminate()


async def commit_mode(pool: Pool) -> str:
    """Return what `synchronous_commit` is in a session of the pool."""
    async with reading(pool) as connection:
        mode: str = await connection.fetchval("SHOW synchronous_commit")
        return mode
