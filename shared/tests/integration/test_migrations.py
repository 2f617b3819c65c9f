"""A migration in a busy database: it waits for a table without blocking other statements behind it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import asyncpg

from service_runtime.migrations import upgrade

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import Database

ENV = 'from service_runtime.migrations import run\nrun("writer")\n'
STEP = """
from alembic import op
revision, down_revision = "0001", None
def upgrade():
    op.execute("ALTER TABLE writer.busy ADD COLUMN more text")
"""


async def test_others_get_their_turn_while_a_migration_waits_for_a_table(
    database: Database, tmp_path: Path
) -> None:
    (tmp_path / "env.py").write_text(ENV)
    (tmp_path / "versions").mkdir()
    (tmp_path / "versions" / "0001_more.py").write_text(STEP)
    holder = await asyncpg.connect(database.writer_url)
    other = await asyncpg.connect(database.writer_url, server_settings={"lock_timeout": "5s"})
    try:
        await holder.execute("DROP TABLE writer.alembic_version; CREATE TABLE writer.busy (id int)")
        transaction = holder.transaction()
        await transaction.start()
        await holder.fetch("SELECT * FROM writer.busy")
        migration = asyncio.create_task(asyncio.to_thread(upgrade, tmp_path, database.writer_url))
        while not await other.fetchval(
            "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'writer.busy'::regclass"
        ):
            assert not migration.done()
            await asyncio.sleep(0.01)

        assert await other.fetch("SELECT * FROM writer.busy") == []
        assert not migration.done()

        await transaction.rollback()
        await migration
        columns = await other.prepare("SELECT * FROM writer.busy")
        assert [column.name for column in columns.get_attributes()] == ["id", "more"]
    finally:
        await holder.close()
        await other.close()
