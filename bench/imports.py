"""Rate of import lines: new repairs, and the same once more (where nothing changes).

The floor is the same rows into the same columns by `COPY`, 500 a transaction.
"""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import aiohttp
import asyncpg

from bench.commands import REPAIR, make_customers
from bench.figures import Figure

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from bench.running import System

CUSTOMER = 920_000
LINES_A_TRANSACTION = 500


async def run(system: System, *, lines: int) -> list[Figure]:
    """Measure an import of new repairs of one customer, and its repetition."""
    await make_customers(system, CUSTOMER, 1)
    prefix = str(time.time_ns())
    first = await send(system, CUSTOMER, prefix, lines)
    again = await send(system, CUSTOMER, prefix, lines)
    floor = await _floor(system.databases["writer"], min(lines, 50_000))
    return [
        Figure(
            name=f"import, {lines} new lines", value=first, unit="lines/s", target=15_000, floor=floor,
            floor_is="COPY of event, repair, outbox, 500 a transaction",
        ),
        Figure(name="import, the same lines again", value=again, unit="lines/s"),
    ]  # fmt: skip


async def send(
    system: System, customer_id: int, prefix: str, lines: int, *, units: int = 300
) -> float:
    """Import so many repairs of a customer, over `units` and three years; return lines a second.

    Raises RuntimeError for a rejected line.
    """
    return await post(system, _chunks(customer_id, prefix, lines, units), lines)


async def post(system: System, chunks: AsyncIterator[bytes], lines: int) -> float:
    """Import so many lines; return lines a second. Raises RuntimeError for a rejected line."""
    headers = {"Authorization": f"Bearer {system.key}", "Content-Type": "application/x-ndjson"}
    timeout = aiohttp.ClientTimeout(total=None, sock_read=600)
    begun, results, refused = time.perf_counter(), 0, 0
    async with (
        aiohttp.ClientSession(headers=headers, timeout=timeout) as http,
        http.post(f"{system.writer}/v1/repairs/import", data=chunks) as answer,
    ):
        if answer.status != 200:
            raise RuntimeError(
                f"the import answered {answer.status}: {(await answer.text())[:300]}"
            )
        async for line in answer.content:
            results += 1
            refused += b'"refused"' in line
    if refused or results != lines:
        raise RuntimeError(f"{refused} lines refused, {results} results for {lines} lines")
    return lines / (time.perf_counter() - begun)


async def _chunks(customer_id: int, prefix: str, lines: int, units: int) -> AsyncIterator[bytes]:
    """Yield the lines in chunks of some hundred; the same arguments give the same bytes."""
    start = datetime(2023, 11, 1, 8, tzinfo=UTC)
    line: dict[str, Any] = REPAIR | {"customer_id": customer_id}
    template = json.dumps(line | {"unit_number": "@U", "source_ref": "@R", "repair_date": "@D"})
    chunk: list[str] = []
    for number in range(lines):
        at = start + timedelta(minutes=number * 997 % (3 * 365 * 1440))
        text = template.replace("@U", f"B-{number % units:04d}").replace("@R", f"{prefix}-{number}")
        chunk.append(text.replace("@D", at.strftime("%Y-%m-%dT%H:%M:%SZ")))
        if len(chunk) == 400:
            yield ("\n".join(chunk) + "\n").encode()
            chunk = []
    if chunk:
        yield ("\n".join(chunk) + "\n").encode()


async def _floor(url: str, rows: int) -> float:
    """Return rows a second of the bare writing."""
    connection = await asyncpg.connect(url)
    try:
        await connection.execute("DROP TABLE IF EXISTS writer.bench_import")
        await connection.execute(
            "CREATE TABLE writer.bench_import (customer_id bigint, revision bigint, id text, payload bytea,"
            " PRIMARY KEY (customer_id, revision))"
        )
        await connection.execute("CREATE INDEX ON writer.bench_import (id)")
        begun = time.perf_counter()
        for start in range(0, rows, LINES_A_TRANSACTION):
            async with connection.transaction():
                for copy in range(3):
                    records = [
                        (copy, start + n, f"{start + n:020d}", b"x" * 600)
                        for n in range(LINES_A_TRANSACTION)
                    ]
                    await connection.copy_records_to_table(
                        "bench_import", schema_name="writer", records=records
                    )
        return rows / (time.perf_counter() - begun)
    finally:
        await connection.execute("DROP TABLE IF EXISTS writer.bench_import")
        await connection.close()
