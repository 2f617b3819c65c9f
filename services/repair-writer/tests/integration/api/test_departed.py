"""Departed clients: before the decision of their command nothing happens, afterwards it happened
once.
"""

import asyncio
import json
from typing import Any
from urllib.parse import urlsplit

import pytest

KEY = "visit-1"
BODY = {
    "customer_id": 7,
    "unit_number": "A1",
    "repair_date": "2026-03-01T14:30:00Z",
    "source_ref": "1",
}
#: Far beyond the patience of `eventually`: Postgres never ends a wait in these tests.
PATIENT = {"lock_seconds": 120, "statement_seconds": 120}

COMMANDS: dict[str, tuple[str, str, Any]] = {
    "record": ("POST", "/v1/repairs", BODY),
    "status": ("POST", "/v1/repairs/{id}/status", {"status": "APPROVED"}),
    "correct": ("PATCH", "/v1/repairs/{id}", {"cost": "1.00"}),
    "remove": ("DELETE", "/v1/repairs/{id}", {"reason": "x"}),
    "profile": ("PUT", "/v1/customers/7", {"name": "Renamed"}),
}


async def send(
    writer: Any, command: tuple[str, str, Any], kind: str = "application/json", key: str = KEY
) -> asyncio.StreamWriter:
    """Send a whole request and return the connection without reading from it."""
    (method, path, body), at = command, urlsplit(writer.url)
    data = json.dumps(body).encode()
    _, stream = await asyncio.open_connection(at.hostname, at.port)
    head = (
        f"{method} {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {writer.key}\r\n"
        f"Idempotency-Key: {key}\r\nContent-Type: {kind}\r\nContent-Length: {len(data)}\r\n\r\n"
    )
    stream.write(head.encode() + data)
    await stream.drain()
    return stream


async def waiting(writer: Any) -> int:
    """Count the writer's statements that wait for a lock."""
    count: int = await writer.pool.fetchval(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
        " AND application_name = 'test-writer' AND wait_event_type = 'Lock'"
    )
    return count


@pytest.mark.parametrize("name", [*COMMANDS, "import"])
async def test_a_client_that_leaves_before_the_decision_changes_nothing(
    serve: Any, name: str, eventually: Any, check_lists: Any
) -> None:
    async with serve(pool_limits=PATIENT) as writer:
        await writer.put_customer(7)
        repair = await writer.recorded(source_ref="0")
        method, path, body = COMMANDS.get(name, ("POST", "/v1/repairs/import", BODY))
        path = path.format(id=repair["repair_id"])
        kind = "application/x-ndjson" if name == "import" else "application/json"
        before = await writer.events()

        async def is_waiting() -> bool:
            return await waiting(writer) == 1

        async def has_been_given_up() -> bool:
            return await waiting(writer) == 0

        async with writer.pool.acquire() as other, other.transaction():
            await other.execute("SELECT FROM writer.customer WHERE customer_id = 7 FOR UPDATE")
            stream = await send(writer, (method, path, body), kind)
            await eventually(is_waiting)
            stream.close()
            await eventually(has_been_given_up)
        assert await writer.events() == before
        if name != "import":
            again = await writer.call(method, path, body, idempotency_key=KEY)
            assert again.status in {200, 201}
            assert "Idempotent-Replayed" not in again.headers
            assert len(await writer.events()) == len(before) + 1
        await check_lists(writer.pool)


async def test_a_client_that_leaves_after_the_decision_gets_its_answer_by_the_key(
    writer: Any, eventually: Any, check_lists: Any
) -> None:
    stream = await send(writer, COMMANDS["record"])

    async def is_recorded() -> bool:
        return bool(await writer.pool.fetchval("SELECT count(*) FROM writer.repair"))

    await eventually(is_recorded)
    stream.close()
    again = await writer.call("POST", "/v1/repairs", BODY, idempotency_key=KEY)
    assert (again.status, again.headers["Idempotent-Replayed"]) == (201, "true")
    assert await writer.pool.fetchval("SELECT count(*) FROM writer.repair") == 1
    await check_lists(writer.pool)


async def test_clients_that_leave_give_back_their_connections(serve: Any, eventually: Any) -> None:
    async with serve(pool_limits=PATIENT) as writer:
        await writer.put_customer(7)

        async def all_wait() -> bool:
            return await waiting(writer) == 10

        async def none_waits() -> bool:
            return await waiting(writer) == 0

        for _ in range(3):
            async with writer.pool.acquire() as other, other.transaction():
                await other.execute("SELECT FROM writer.customer WHERE customer_id = 7 FOR UPDATE")
                streams = [
                    await send(
                        writer, ("POST", "/v1/repairs", BODY | {"source_ref": str(n)}), key=str(n)
                    )
                    for n in range(10)
                ]
                await eventually(all_wait)
                for stream in streams:
                    stream.close()
                await eventually(none_waits)
        assert (await writer.record()).json["revision"] == 2
