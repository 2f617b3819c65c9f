"""Text of records and streams on an operator's terminal: no markup, no control sequences."""

import asyncio
from typing import Any

import asyncpg
from typer.testing import CliRunner

from portal_query.admin import app

HOSTILE = "a [/x] b [bold]c[/bold] \x1b]0;owned\x07 \u202eexe.gnp"


async def test_reasons_are_shown_as_they_are(database: Any) -> None:
    connection = await asyncpg.connect(database.portal_url)
    try:
        await connection.execute(
            "INSERT INTO portal.customer (customer_id, fold_version, parked_at, parked_reason)"
            " VALUES (7, 'v', now(), $1)",
            HOSTILE,
        )
        await connection.execute(
            "INSERT INTO portal.dead_letter (topic, partition, record_offset, value, reason)"
            " VALUES ('t', 0, 1, $1, $2)",
            HOSTILE.encode(),
            HOSTILE,
        )
    finally:
        await connection.close()

    for command in (("parked",), ("dead-letters", "list"), ("dead-letters", "show", "1")):
        done = await asyncio.to_thread(
            CliRunner().invoke,
            app,
            command,
            env={"PORTAL_DATABASE_URL": database.portal_url, "COLUMNS": "200"},
        )
        assert done.exit_code == 0, done.output
        assert "a [/x] b [bold]c[/bold]" in done.output
        assert not {"\x1b", "\x07", "\u202e"} & set(done.output)
