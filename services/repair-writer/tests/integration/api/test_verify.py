"""`repair-writer verify`: each stream is complete; a broken one is named."""

import asyncio
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import asyncpg
import pytest

SCRIPT = str(Path(sys.executable).parent / "repair-writer")


async def verify(url: str) -> subprocess.CompletedProcess[str]:
    return await asyncio.to_thread(
        subprocess.run,
        [SCRIPT, "verify"],
        env={"PATH": os.defpath, "WRITER_DATABASE_URL": url},
        capture_output=True,
        text=True,
        check=False,
    )


async def two_lists(writer: Any) -> None:
    for customer in (7, 8):
        await writer.put_customer(customer)
        await writer.recorded(customer)
        await writer.recorded(customer)


async def test_whole_lists_are_whole(writer: Any, database: Any) -> None:
    await two_lists(writer)

    done = await verify(database.writer_url)

    assert (done.returncode, done.stdout) == (0, "2 lists are whole.\n")


@pytest.mark.parametrize(
    ("sql", "said"),
    [
        (
            "DELETE FROM writer.event WHERE customer_id = 7 AND revision = 2",
            "customer 7: its head says 3, it has 2 events, the last is number 3",
        ),
        (
            "DELETE FROM writer.event WHERE customer_id = 7 AND revision = 3",
            "customer 7: its head says 3, it has 2 events, the last is number 2",
        ),
        (
            "UPDATE writer.customer SET revision = 2 WHERE customer_id = 7",
            "customer 7: its head says 2, it has 3 events, the last is number 3",
        ),
        (
            "UPDATE writer.customer SET event_id = gen_random_uuid() WHERE customer_id = 7",
            "customer 7: its last event is another than its head says",
        ),
    ],
)
async def test_a_broken_list_is_named(writer: Any, database: Any, sql: str, said: str) -> None:
    await two_lists(writer)
    connection = await asyncpg.connect(database.owner_url)
    await connection.execute(sql)
    await connection.close()

    done = await verify(database.writer_url)

    assert (done.returncode, done.stdout) == (1, said + "\n")
    assert "1 of 2 lists are broken" in done.stderr
