import asyncio
import socket
from typing import Any
from urllib.parse import urlsplit

import pytest

from repair_writer.api.problems import BODY_SECONDS


async def test_what_is_no_json_is_400(writer: Any) -> None:
    for data in (b"", b"{", b"\xff", b"[" * 9_000):
        answer = await writer.call(
            "POST", "/v1/repairs", data=data, headers={"Content-Type": "application/json"}
        )
        assert (answer.status, answer.code) == (400, "malformed")


async def test_another_kind_of_body_is_415(writer: Any) -> None:
    for kind in ("text/plain", "application/x-www-form-urlencoded", "application/jsonx"):
        answer = await writer.call(
            "POST", "/v1/repairs", data=b"{}", headers={"Content-Type": kind}
        )
        assert (answer.status, answer.code) == (415, "media-type")
    charset = {"Content-Type": "application/json; charset=utf-8"}
    answer = await writer.call("POST", "/v1/repairs", data=b"{}", headers=charset)
    assert answer.code == "invalid"


async def test_too_large_a_body_is_413_whether_or_not_it_says_so(writer: Any) -> None:
    async def endless() -> Any:
        for _ in range(40):
            yield b" " * 10_000

    headers = {"Content-Type": "application/json"}
    for data in (b" " * 300_000, endless()):
        answer = await writer.call("POST", "/v1/repairs", data=data, headers=headers)
        assert (answer.status, answer.code) == (413, "too-large")
    assert (await writer.recorded())["revision"] == 2


async def test_a_body_that_takes_too_long_is_408_however_often_a_byte_comes(
    writer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("repair_writer.api.reading.BODY_SECONDS", 0.3)

    async def trickle() -> Any:
        for _ in range(1_000):
            yield b" "
            await asyncio.sleep(0.05)

    headers = {"Content-Type": "application/json"}
    answer = await writer.call("POST", "/v1/repairs", data=trickle(), headers=headers)
    assert (answer.status, answer.code) == (408, "too-slow")
    assert answer.json["detail"].startswith(f"A body arrives within {BODY_SECONDS} seconds")


async def test_the_longest_texts_fit_however_they_are_escaped(writer: Any) -> None:
    truck = "\U0001f69a"
    fields = {
        "description": truck * 4_000, "customer_notes": truck * 4_000,
        "technician_notes": truck * 4_000, "unit_number": truck * 50, "technician": truck * 100,
        "damage_type": truck * 100, "source": truck * 100, "source_ref": truck * 200,
    }  # fmt: skip
    repair = await writer.recorded(**fields)
    assert {name: repair[name] for name in fields} == fields
    size = await writer.pool.fetchval("SELECT max(length(payload)) FROM writer.event")
    assert size < 65_536


async def test_nowhere_and_a_wrong_method_are_problems(writer: Any) -> None:
    for path in ("/", "/v1", "/v2/repairs", "/v1/repairs/", "/customer/api/profile", "/docs"):
        answer = await writer.call("GET", path)
        assert (answer.status, answer.code) == (404, "not-found"), path
    answer = await writer.call("PUT", "/v1/repairs", {})
    assert (answer.status, answer.code) == (405, "method-not-allowed")
    assert set(answer.headers["Allow"].split(", ")) <= {"GET", "POST"}


async def test_an_unknown_parameter_is_named(writer: Any) -> None:
    one = f"/v1/repairs/{(await writer.recorded())['repair_id']}"
    for method, path in (
        ("POST", "/v1/repairs"), ("PATCH", one), ("DELETE", one), ("POST", f"{one}/status"),
        ("PUT", "/v1/customers/7"), ("GET", one), ("GET", "/v1/progress"),
    ):  # fmt: skip
        answer = await writer.call(method, f"{path}?fast=1", {} if method != "GET" else None)
        assert (answer.status, answer.code) == (400, "malformed")
        assert "'fast'" in answer.json["detail"]


async def test_the_document_is_served_to_those_with_a_key(writer: Any) -> None:
    answer = await writer.call("GET", "/openapi.json")
    assert answer.status == 200
    assert answer.json["openapi"].startswith("3.1")


async def test_a_client_that_sends_half_a_body_leaves_nothing(writer: Any) -> None:
    at = urlsplit(writer.url)
    head = (
        f"POST /v1/repairs HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {writer.key}\r\n"
        'Content-Type: application/json\r\nContent-Length: 500\r\n\r\n{"customer_id": 7,'
    )
    for _ in range(5):
        _, stream = await asyncio.open_connection(at.hostname, at.port)
        stream.write(head.encode())
        await stream.drain()
        stream.close()
        await stream.wait_closed()
    assert (await writer.recorded())["revision"] == 2


async def test_a_client_that_does_not_wait_has_its_command_done_or_not_but_never_half(
    writer: Any, check_lists: Any
) -> None:
    at = urlsplit(writer.url)
    body = b'{"customer_id":7,"unit_number":"A1","repair_date":"2026-03-01T14:30:00Z"}'
    head = (
        f"POST /v1/repairs HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {writer.key}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    for _ in range(10):
        _, stream = await asyncio.open_connection(at.hostname, at.port)
        stream.get_extra_info("socket").setsockopt(
            socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00"
        )
        stream.write(head.encode() + body)
        await stream.drain()
        stream.close()
    await writer.recorded()
    await check_lists(writer.pool)


async def test_a_busy_customer_is_503_with_a_time_to_come_back(writer: Any) -> None:
    repair = await writer.recorded()
    path = f"/v1/repairs/{repair['repair_id']}/status"
    async with writer.pool.acquire() as other, other.transaction():
        await other.execute("SELECT FROM writer.customer WHERE customer_id = 7 FOR UPDATE")
        answer = await writer.call("POST", path, {"status": "APPROVED"}, patient=False)
    assert (answer.status, answer.code) == (503, "overloaded")
    assert answer.headers["Retry-After"]
    assert (await writer.call("POST", path, {"status": "APPROVED"})).status == 200


async def test_a_pool_that_is_taken_is_503_within_seconds(writer: Any) -> None:
    taken = [await writer.pool.acquire() for _ in range(12)]
    try:
        call = writer.call("GET", "/v1/customers/7", patient=False)
        answer = await asyncio.wait_for(call, 30)
        assert (answer.status, answer.code) == (503, "overloaded")
        assert answer.headers["Retry-After"]
    finally:
        for connection in taken:
            await writer.pool.release(connection)
    assert (await writer.record()).status == 201


async def test_reset_connections_are_503_and_then_all_is_well_again(writer: Any) -> None:
    await writer.pool.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE usename = 'writer' AND datname = current_database()"
        " AND pid <> pg_backend_pid()"
    )
    answers = [await writer.call("GET", "/v1/customers/7", patient=False) for _ in range(20)]
    assert {answer.status for answer in answers} <= {200, 503}
    assert (await writer.record()).status == 201


async def test_a_statement_that_cannot_work_is_500_without_its_text(writer: Any) -> None:
    await writer.pool.execute("ALTER TABLE writer.customer RENAME COLUMN changed_at TO other")
    answer = await writer.record()
    assert answer.status == 500
    assert answer.code == "internal"
    assert "customer" not in answer.body.decode()
    await writer.pool.execute("ALTER TABLE writer.customer RENAME COLUMN other TO changed_at")
    assert (await writer.record()).status == 201
