import asyncio
from typing import Any

import pytest

from repair_writer.durability import NotDurableError, insist_on_durability
from service_runtime.postgres import create_pool


@pytest.mark.parametrize("mode", ["off", "local", "remote_write"])
async def test_a_writer_that_could_forget_does_not_start(database: Any, mode: str) -> None:
    pool = await create_pool(database.writer_url, name="test", size=1)
    async with pool:
        await pool.execute(f"SET synchronous_commit = {mode}")

        with pytest.raises(NotDurableError, match=mode):
            await insist_on_durability(pool)


async def test_a_session_is_durable_whatever_the_role_and_the_database_say(database: Any) -> None:
    pool = await create_pool(database.writer_url, name="test", size=1)
    async with pool:
        await pool.execute(
            'ALTER ROLE writer IN DATABASE "' + database.name + '" SET synchronous_commit = off'
        )
        await pool.expire_connections()

        await insist_on_durability(pool)


async def test_a_postgres_that_is_away_is_waited_for(database: Any) -> None:
    away = f"{database.writer_url.rpartition(chr(58))[0]}:1/none"
    pool = await create_pool(away, name="test", size=1)
    async with pool:
        waiting = asyncio.create_task(insist_on_durability(pool))
        done, _ = await asyncio.wait([waiting], timeout=1.5)
        assert not done
        waiting.cancel()
