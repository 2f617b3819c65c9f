"""Transactions on pooled connections, with a bounded wait for a connection."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final, TypeAlias

import asyncpg

from service_runtime.errors import OverloadedError
from service_runtime.postgres import Pool, PooledConnection, connect, lease

#: A pool yields a proxy with the interface of a connection.
Connection: TypeAlias = "asyncpg.Connection[Any] | PooledConnection"

__all__ = ["Connection", "Pool", "lease"]

#: Another transaction won: deadlock, serialization failure, or a duplicate id or reference.
_LOST_RACES = (
    asyncpg.DeadlockDetectedError,
    asyncpg.SerializationError,
    asyncpg.UniqueViolationError,
)

#: All errors that this package raises. `service_runtime.postgres.is_infrastructure` sorts them.
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

    Raises PoolExhaustedError when no connection is free in time, TimeoutError and what the driver
    raises while the server cannot be reached.
    """
    async with lease(pool) as connection, connection.transaction():
        yield connection


#: A connection without a transaction: each statement reads the data committed before it.
reading: Final = lease


def is_lost_race(error: BaseException) -> bool:
    """Return whether the error permits an immediate retry of the whole transaction."""
    return isinstance(error, _LOST_RACES)


async def migrated_to(connection: Connection) -> str | None:
    """Return the number of the last applied migration. None if none has been applied."""
    found: Any = await connection.fetchval("SELECT to_regclass('writer.alembic_version')::text")
    if found is None:
        return None
    version: str | None = await connection.fetchval(
        "SELECT version_num FROM writer.alembic_version"
    )
    return version


@asynccontextmanager
async def new_connection(url: str) -> AsyncIterator[Connection]:
    """Yield a connection outside all pools, to test Postgres independently of them.

    Raises what the driver raises.
    """
    connection = await connect(url, name="repair-writer-check")
    try:
        yield connection
    finally:
        connection.terminate()


async def commit_mode(pool: Pool) -> str:
    """Return the value of `synchronous_commit` in a session of the pool."""
    async with reading(pool) as connection:
        mode: str = await connection.fetchval("SHOW synchronous_commit")
        return mode
