"""Missing schema of the read model: 503 with Retry-After everywhere, and recovery with the tables."""

import asyncio
from typing import Any

import asyncpg
import pytest

from portal_query.migrations import migrate

PATHS = (
    "/customer/api/unit-repair-data/",
    "/customer/api/repair-status-data/",
    "/customer/api/repairs/",
    "/customer/api/units/",
    "/customer/api/figures/",
    "/customer/api/repairs/export.csv",
    "/customer/dashboard/",
    "/customer/repairs/",
)


@pytest.fixture
async def lost(database: Any) -> Any:
    """Drop the schema, and return the operator's command that recreates it."""
    owner = await asyncpg.connect(database.owner_url)
    await owner.execute("DROP SCHEMA portal CASCADE")

    async def restore() -> None:
        await owner.execute(
            "CREATE SCHEMA portal AUTHORIZATION portal; GRANT USAGE ON SCHEMA portal TO query;"
            "ALTER DEFAULT PRIVILEGES FOR ROLE portal IN SCHEMA portal GRANT SELECT ON TABLES TO query"
        )
        await asyncio.to_thread(migrate, database.portal_url)

    yield restore
    await owner.close()


async def test_every_endpoint_answers_503_until_the_migrator_has_run(api: Any, lost: Any) -> None:
    for path in PATHS:
        async with api.ask(path) as answer:
            assert (answer.status, "Retry-After" in answer.headers) == (503, True), path
    with pytest.raises(Exception, match="portal-query migrate"):
        await api.parts.documents.version(0)  # the readiness check

    await lost()

    for path in PATHS:
        async with api.ask(path) as answer:
            assert answer.status == 200, path
    await api.parts.documents.version(0)
