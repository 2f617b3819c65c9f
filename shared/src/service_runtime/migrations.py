"""Bringing one service's tables to their newest version: one at a time, in one transaction."""

import asyncio
from pathlib import Path
from typing import Final

from alembic import command, context
from alembic.config import Config
from sqlalchemy import Connection, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

_CONNECT_SECONDS: Final = 5.0
#: While we wait for a table, everybody else waits behind us: so not for long, and then again.
_LOCK_SECONDS: Final = 1.0
_TRIES: Final = 30
_LOCK_NOT_AVAILABLE: Final = "55P03"


def upgrade(folder: Path, url: str) -> None:
    """Bring the tables of this database to the newest version in `folder`; repeatable.

    Blocks until done. Raises what the driver raises when the database is away, or when others
    have held a table at each of thirty tries.
    """
    config = Config()
    config.set_main_option("script_location", str(folder))
    config.set_main_option("path_separator", "os")
    config.attributes["url"] = url
    command.upgrade(config, "head")


def run(schema: str) -> None:
    """Run the steps; this is all that the `env.py` of a service does. Its versions stand in its schema."""
    asyncio.run(_run(schema))


async def _run(schema: str) -> None:
    url = make_url(context.config.attributes["url"]).set(drivername="postgresql+asyncpg")
    engine = create_async_engine(
        url,
        poolclass=NullPool,
        connect_args={
            "timeout": _CONNECT_SECONDS,
            "server_settings": {"application_name": f"{schema} migrate"},
        },
    )
    try:
        for tries in range(1, _TRIES + 1):
            try:
                async with engine.begin() as connection:
                    await connection.run_sync(_steps, schema)
            except DBAPIError as error:
                if tries == _TRIES or getattr(error.orig, "sqlstate", None) != _LOCK_NOT_AVAILABLE:
                    raise
                await asyncio.sleep(_LOCK_SECONDS)
            else:
                return
    finally:
        await engine.dispose()


def _steps(connection: Connection, schema: str) -> None:
    # Two migrators at once (a rolling start) take turns, however long the other one works.
    connection.execute(
        text("SELECT pg_advisory_xact_lock(hashtext(:name))"), {"name": f"{schema}.migrations"}
    )
    connection.execute(text(f"SET LOCAL lock_timeout = '{_LOCK_SECONDS:g}s'"))
    context.configure(connection=connection, version_table_schema=schema)
    with context.begin_transaction():
        context.run_migrations()
