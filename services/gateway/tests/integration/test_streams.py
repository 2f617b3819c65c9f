"""Event streams: forwarded at once, and never longer than the session."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

import pytest

from gateway import streams
from gateway.testing.browser import Browser, parse
from gateway.testing.portal import Portal
from gateway.testing.wire import Received, answer

EVENTS = "/customer/api/events/"
HEAD = (
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncache-control: no-store\r\n"
    b"set-cookie: sessionid=evil\r\ntransfer-encoding: chunked\r\n\r\n"
)


class Ticking:
    """A stream that sends a number on command, and notices a departed reader."""

    def __init__(self) -> None:
        self.tell: asyncio.Queue[int] = asyncio.Queue()
        self.left = asyncio.Event()

    async def __call__(self, _: Received, writer: asyncio.StreamWriter) -> None:
        writer.write(HEAD)
        try:
            while not writer.is_closing():
                try:
                    line = f"data: {await asyncio.wait_for(self.tell.get(), 0.05)}\n\n".encode()
                except TimeoutError:
                    line = b": still here\n"  # a write reveals a departed reader
                writer.write(b"%x\r\n%s\r\n" % (len(line), line))
                await writer.drain()
        finally:
            self.left.set()


@asynccontextmanager
async def opened(browser: Browser, **headers: str) -> AsyncIterator[asyncio.StreamReader]:
    at = urlsplit(browser.url)
    reader, writer = await asyncio.open_connection(at.hostname, at.port)
    lines = [f"GET {EVENTS}?from=1 HTTP/1.1", "Host: portal.test"]
    lines += [f"Cookie: sessionid={browser.cookies['sessionid']}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    writer.write("\r\n".join([*lines, "", ""]).encode())
    try:
        yield reader
    finally:
        writer.close()


async def head_of(reader: asyncio.StreamReader) -> bytes:
    async with asyncio.timeout(5):
        return await reader.readuntil(b"\r\n\r\n")


async def rest_of(reader: asyncio.StreamReader) -> bytes:
    """Return the rest of a stream until its proper end."""
    async with asyncio.timeout(5):
        return await reader.readuntil(b"0\r\n\r\n")


async def test_events_pass_as_they_come(gate: Portal) -> None:
    ticking = Ticking()
    gate.query.on(EVENTS, ticking)
    browser = await gate.signed_in()

    async with opened(browser, Last_Event_ID="7", Cookie2="x") as reader:
        head = await head_of(reader)
        for number in (1, 2):
            await ticking.tell.put(number)
            async with asyncio.timeout(5):
                assert b"data: %d\n\n" % number in await reader.readuntil(b"\n\n")

    assert b"200 OK" in head
    assert b"x-accel-buffering: no" in head
    assert b"set-cookie" not in head
    assert b"x-frame-options: DENY" in head
    received = gate.query.received[-1]
    assert received.target == f"{EVENTS}?from=1"
    assert received.header("last-event-id") == "7"
    assert received.header("x-gateway-token")
    assert received.header("cookie") is None


async def test_a_reader_who_leaves_ends_the_stream_behind(gate: Portal) -> None:
    ticking = Ticking()
    gate.query.on(EVENTS, ticking)
    browser = await gate.signed_in()

    async with opened(browser) as reader:
        await head_of(reader)

    async with asyncio.timeout(5):
        await ticking.left.wait()


@pytest.mark.parametrize(
    "change",
    [
        "DELETE FROM gateway.session",
        'UPDATE gateway."user" SET is_active = false',
        "UPDATE gateway.customer_user SET customer_id = 43",
        "DELETE FROM gateway.customer_user",
    ],
)
async def test_a_stream_ends_with_what_it_was_opened_for(gate: Portal, change: str) -> None:
    ticking = Ticking()
    gate.query.on(EVENTS, ticking)
    browser = await gate.signed_in()

    async with opened(browser) as reader:
        await head_of(reader)
        await gate.execute(change)
        await rest_of(reader)

    async with asyncio.timeout(5):
        await ticking.left.wait()


async def test_a_stream_outlives_a_store_that_is_away_for_a_moment(gate: Portal) -> None:
    ticking = Ticking()
    gate.query.on(EVENTS, ticking)
    browser = await gate.signed_in()

    async with opened(browser) as reader:
        await head_of(reader)
        await gate.execute("ALTER TABLE gateway.session RENAME TO moved")
        await asyncio.sleep(0.3)
        await gate.execute("ALTER TABLE gateway.moved RENAME TO session")
        await ticking.tell.put(5)
        async with asyncio.timeout(5):
            assert b"data: 5" in await reader.readuntil(b"\n\n")


async def test_streams_end_when_the_gateway_stops(gate: Portal) -> None:
    gate.query.on(EVENTS, Ticking())
    browser = await gate.signed_in()

    async with opened(browser) as reader:
        await head_of(reader)
        await gate.gateway.streams.close()
        await rest_of(reader)

    assert (await browser.get(EVENTS)).status == 503


async def test_a_stream_is_no_use_of_the_session(gate: Portal) -> None:
    gate.query.on(EVENTS, Ticking())
    browser = await gate.signed_in()
    await gate.execute("UPDATE gateway.session SET last_seen_at = now() - interval '10 minutes'")

    async with opened(browser) as reader:
        await head_of(reader)
    await gate.gateway.visitors.write_touched(gate.gateway.pool)

    rows = await gate.execute(
        "SELECT now() - last_seen_at > interval '9 minutes' FROM gateway.session"
    )
    assert rows[0][0]


async def test_one_session_has_few_streams(gate: Portal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "PER_SESSION", 1)
    gate.query.on(EVENTS, Ticking())
    browser = await gate.signed_in()

    async with opened(browser) as reader:
        await head_of(reader)
        second = await browser.get(EVENTS)

    assert second.status == 429
    assert second.header("retry-after") == "30"
    assert second.header("content-type") == "application/problem+json"


@pytest.mark.parametrize(("status", "seen"), [(500, 500), (503, 503), (401, 502), (404, 404)])
async def test_a_stream_that_is_refused_is_an_ordinary_answer(
    gate: Portal, status: int, seen: int
) -> None:
    gate.query.on(EVENTS, answer(b'{"status": 0}', status, "application/problem+json"))
    browser = await gate.signed_in()

    answered = await browser.get(EVENTS)

    assert answered.status == seen
    assert answered.header("content-type") == "application/problem+json"


async def test_a_stream_whose_service_breaks_off_ends(gate: Portal) -> None:
    async def broken(_: Received, writer: asyncio.StreamWriter) -> None:
        writer.write(HEAD + b"6\r\ndata: \r\n")
        await writer.drain()
        writer.transport.abort()

    gate.query.on(EVENTS, broken)
    browser = await gate.signed_in()

    async with opened(browser) as reader:
        head = await head_of(reader)
        await rest_of(reader)

    assert parse(head, head_only=True).status == 200


async def test_a_stream_without_its_service_is_away(gate: Portal) -> None:
    browser = await gate.signed_in()
    await gate.query.__aexit__()

    answered = await browser.get(EVENTS)

    assert answered.status == 503
    assert answered.header("retry-after")
