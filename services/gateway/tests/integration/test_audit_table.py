"""The audit is append-only: the gateway's own role cannot change it, grant itself rights, or drop
it.
"""

import asyncpg
import pytest

from gateway import store
from gateway.testing.portal import Portal

INSERT = (
    "INSERT INTO gateway.audit_event (at, kind, outcome, request_id, peer)"
    " VALUES (now() - make_interval(days => $1), 'login', 'ok', 'r', '203.0.113.9')"
)
LEFT = (
    "SELECT round(extract(epoch FROM now() - at) / 86400)::int FROM gateway.audit_event ORDER BY 1"
)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE gateway.audit_event SET kind = 'other'",
        "DELETE FROM gateway.audit_event",
        "TRUNCATE gateway.audit_event",
        "DROP TABLE gateway.audit_event",
        "ALTER TABLE gateway.audit_event DROP COLUMN peer",
        "ALTER TABLE gateway.audit_event RENAME TO gone",
        "ALTER TABLE gateway.audit_event SET SCHEMA public",
        "ALTER TABLE gateway.audit_event OWNER TO gateway",
        "CREATE RULE quiet AS ON INSERT TO gateway.audit_event DO INSTEAD NOTHING",
        "DROP FUNCTION gateway.forget_audit(integer)",
        "DROP SCHEMA gateway CASCADE",
        "SET ROLE gateway_owner",
    ],
)
async def test_the_gateways_role_cannot(gate: Portal, statement: str) -> None:
    await gate.execute(INSERT, 1)
    with pytest.raises(asyncpg.PostgresError) as caught:
        await gate.execute(statement)
    assert caught.value.sqlstate == "42501"  # insufficient_privilege
    assert len(await gate.execute(LEFT)) == 1


async def test_it_cannot_give_itself_rights(gate: Portal) -> None:
    await gate.execute("GRANT ALL ON gateway.audit_event TO gateway")  # Postgres only warns
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await gate.execute("DELETE FROM gateway.audit_event")


async def test_rows_go_by_age_alone_and_never_before_thirty_days(gate: Portal) -> None:
    for days in (1, 29, 31, 399, 401):
        await gate.execute(INSERT, days)
    await store.sweep(gate.gateway.pool, 7_200, 400)
    assert [row[0] for row in await gate.execute(LEFT)] == [1, 29, 31, 399]
    await gate.execute("SELECT gateway.forget_audit(-1000)")
    assert [row[0] for row in await gate.execute(LEFT)] == [1, 29]
