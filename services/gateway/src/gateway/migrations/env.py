"""Runs the migrations: one at a time, in one transaction, with the version kept in our schema."""

import asyncio
from typing import Final

from alembic import context
from sqlalchemy import Connection, text
from sqlalchemy.engine import make_url
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

_CONNECT_SECONDS: Final = 5.0


def _upgrade(connection: Connection) -> None:
    # Two migrators at once (a rolling start) take turns.
    connection.execute(text("SELECT pg_advisory_xact_lock(hashtext('gateway.migrations'))"))
    context.configure(connection=connection, version_table_schema="gateway")
    with context.begin_transaction():
        context.run_migrations()


async def _run() -> None:
    url = make_url(context.config.attributes["url"]).set(drivername="postgresql+asyncpg")
    engine = create_async_engine(
        url,
        poolclass=NullPool,
        connect_args={
            "timeout": _CONNECT_SECONDS,
            "server_settings": {"application_name": "gateway migrate"},
        },
    )
    try:
        async with engine.begin() as connection:
            await connection.run_sync(_upgrade)
    finally:
        await engine.dispose()


asyncio.run(_run())
