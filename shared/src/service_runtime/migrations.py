"""Migrations of one service's tables: one migrator at a time, in one transaction."""

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
#: Limit of a wait for a table lock: other statements queue behind it. The migration then retries.
_LOCK_SECONDS: Final = 1.0
_TRIES: Final = 30
_LOCK_NOT_AVAILABLE: Final = "55P03"


def upgrade(folder: Path, url: str) -> None:
    """Migrate the tables of this database to the newest version in `folder`; repeatable.

    Blocks until done. Raises the driver's error if the database is unavailable, or if a table is
    locked at each of thirty tries.
    """
    config = Config()
    config.set_main_option("script_location", str(folder))
    config.set_main_option("path_separator", "os")
    config.attributes["url"] = url
    command.upgrade(config, "head")


def run(schema: str) -> None:
    """Run the migrations; called by `env.py` of a service. The version table is in `schema`."""
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
    # Concurrent migrators (a rolling start) run one after the other, without a limit on the wait.
    connection.execute(
        text("SELECT pg_advisory_xact_lock(hashtext(:name))"), {"name": f"{schema}.migrations"}
    )
    connection.execute(text(f"SET LOCAL lock_timeout = '{_LOCK_SECONDS:g}s'"))
    context.configure(connection=connection, version_table_schema=schema)
    with context.begin_transaction():
        context.run_migrations()
