"""Missing schema of the writer: 503 with Retry-After naming the migrator, and recovery with the
tables.
"""

from typing import Any

import asyncpg
import pytest

from repair_writer.schema import check_migrated
from repair_writer.store.transaction import reading


async def test_missing_tables_are_a_503(writer: Any, database: Any) -> None:
    owner = await asyncpg.connect(database.owner_url)
    try:
        await owner.execute("ALTER SCHEMA writer RENAME TO lost")
        for method, path, body in (
            ("POST", "/v1/repairs", {"customer_id": 7, "unit_number": "A1"}),
            ("GET", "/v1/customers/7", None),
            ("GET", "/v1/heads?after=0&limit=10", None),
            ("GET", "/v1/progress", None),
        ):
            answer = await writer.call(method, path, body, patient=False)
            assert (answer.status, answer.code) == (503, "unavailable"), (path, answer.body)
            assert answer.headers["Retry-After"], path
            assert "repair-writer migrate" in answer.json["detail"], path
        with pytest.raises(RuntimeError, match="repair-writer migrate"):
            await check_migrated(reading(writer.pool))

        await owner.execute("ALTER SCHEMA lost RENAME TO writer")
        assert (await writer.record()).status == 201
    finally:
        await owner.close()
