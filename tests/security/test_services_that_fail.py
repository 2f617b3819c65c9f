"""Faulty, dead or slow services cost a response but never cause a wrong one."""

import asyncio

import pytest

from gateway import keepalive
from gateway.testing.portal import Portal
from gateway.testing.wire import Received, answer, raw, silent

UNITS = "/customer/api/unit-repair-data/"
REPAIRS = "/customer/api/repairs/"

BROKEN = (
    raw(b"HTTP/1.1 200 OK\r\ncontent-length: 50\r\n\r\nshort", close=True),
    raw(
        b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n[]HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}"
    ),
    raw(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nx: a\rSet-Cookie: b\r\n\r\n[]"),
    raw(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nx: " + b"y" * 1_000_000 + b"\r\n\r\n[]"),
    raw(b"nothing of the kind\r\n\r\n"),
)


async def test_case_43_an_answer_with_two_readings_is_a_502(gate: Portal) -> None:
    browser = await gate.signed_in()

    for behaviour in BROKEN:
        gate.query.on(UNITS, behaviour)
        before = gate.query.connections
        answered = await browser.get(UNITS)
        assert answered.status == 502
        assert answered.body == b'{"error": "Server error"}'
        gate.query.on(UNITS, answer(b"[1]"))
        assert (await browser.get(UNITS)).body == b"[1]"
        assert gate.query.connections > before


async def test_case_44_a_service_that_sleeps_is_away_and_nothing_is_sent_twice(
    gate: Portal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keepalive, "FIRST_BYTE_SECONDS", 0.2)
    gate.query.on(UNITS, silent)
    gate.writer.on(REPAIRS, silent)
    browser = await gate.signed_in()

    read = await browser.get(UNITS)
    changed = await browser.ask(
        "POST", REPAIRS, body=b"{}", X_CSRFToken=browser.cookies["csrftoken"]
    )

    for answered in (read, changed):
        assert answered.status == 503
        assert answered.header("retry-after")
    assert len(gate.writer.received) == 1


async def test_case_44_a_service_that_is_gone_is_away(gate: Portal) -> None:
    browser = await gate.signed_in()
    await browser.get(UNITS)
    await gate.query.__aexit__()

    answers = [await browser.get(UNITS) for _ in range(2)]
    page = await browser.get("/customer/dashboard/")

    assert {answered.status for answered in answers} == {503}
    assert answers[0].body == b'{"error": "Service temporarily unavailable"}'
    assert page.status == 503
    assert "cannot be reached" in page.text


async def test_case_44_a_change_whose_connection_dies_is_not_repeated(gate: Portal) -> None:
    async def die(_: Received, writer: asyncio.StreamWriter) -> None:
        writer.transport.abort()

    browser = await gate.signed_in()
    token = browser.cookies["csrftoken"]
    await browser.ask("POST", REPAIRS, body=b"{}", X_CSRFToken=token)
    gate.writer.on(REPAIRS, die)

    answered = await browser.ask("POST", REPAIRS, body=b"{}", X_CSRFToken=token)

    assert answered.status == 503
    assert len(gate.writer.received) == 2


async def test_case_44_a_full_pool_is_away(gate: Portal) -> None:
    gate.query.on(UNITS, silent)
    browser = await gate.signed_in()
    slow = [asyncio.create_task(browser.get(UNITS)) for _ in range(64)]
    for _ in range(500):
        if len(gate.query.received) == 64:
            break
        await asyncio.sleep(0.01)

    answered = await browser.get("/customer/api/repair-cost-data/")

    assert answered.status == 503
    assert answered.header("retry-after")
    for task in slow:
        task.cancel()
    await asyncio.gather(*slow, return_exceptions=True)


async def test_case_82_a_trace_stays_inside(gate: Portal) -> None:
    gate.query.on(UNITS, answer(b"Traceback (most recent call last)", 500, "text/plain"))
    browser = await gate.signed_in()

    answered = await browser.get(UNITS)

    assert (answered.status, answered.body) == (500, b'{"error": "Server error"}')
    assert answered.header("x-request-id")
