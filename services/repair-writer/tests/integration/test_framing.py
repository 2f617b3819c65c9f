"""Framing of requests to the writer: the same rules as at the portal's own port."""

from typing import Any

from service_runtime.testing_framing import FRAMING, converse


async def test_a_message_has_one_beginning_and_one_end(writer: Any) -> None:
    for case in FRAMING:
        await case.check(writer.url)


async def test_a_key_in_a_trailer_is_no_credential(writer: Any) -> None:
    before = await writer.pool.fetchval("SELECT count(*) FROM writer.repair")
    line = b'{"customer_id": 7, "unit_number": "A1", "repair_date": "2026-03-01T10:00:00Z", "status": "PENDING"}'
    head = (
        b"POST /v1/repairs HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
        b"Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
    )
    chunk = b"%x\r\n%s\r\n0\r\n" % (len(line), line)
    trailer = f"Authorization: Bearer {writer.key}\r\n\r\n".encode()

    for parts in ((head + chunk + trailer,), (head + chunk, trailer), (head, chunk + trailer)):
        assert b" 401 " in (await converse(writer.url, parts)).split(b"\r\n")[0]
    assert await writer.pool.fetchval("SELECT count(*) FROM writer.repair") == before
