"""Missing schema of the gateway: 503 with Retry-After; readiness names the migrator; the process
continues.
"""

from typing import Any

import asyncpg
import pytest

from gateway.testing.portal import Portal


async def test_missing_tables_are_a_503_and_no_end(gate: Portal, database: Any) -> None:
    browser = await gate.signed_in()
    owner = await asyncpg.connect(database.owner_url)
    try:
        await owner.execute("ALTER SCHEMA gateway RENAME TO lost")
        for path in ("/customer/dashboard/", "/customer/api/figures/", "/accounts/session/"):
            answered = await browser.get(path)
            assert answered.status == 503, path
            assert answered.header("retry-after"), path
        assert (await gate.browser().sign_in("anna", "correct horse battery")).status == 503
        with pytest.raises(RuntimeError, match="gateway migrate"):
            await gate.gateway.visitors.check()
        await gate.gateway.audit.write_waiting(gate.gateway.pool)  # waits, and raises nothing

        await owner.execute("ALTER SCHEMA lost RENAME TO gateway")
        assert (await browser.get("/accounts/session/")).status == 200
        await gate.gateway.visitors.check()
    finally:
        await owner.close()
