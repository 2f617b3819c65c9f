"""Downloads of a list: streamed, limited in number, and never a truncated file that seems complete."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from gateway.testing.browser import Browser, exchange, parse
from gateway.testing.portal import Portal
from gateway.testing.wire import Behaviour, Received, answer

PATH = "/customer/api/repairs/export.csv"
HEAD = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/csv; charset=utf-8\r\n"
    b'Content-Disposition: attachment; filename="repairs-2026-03-01.csv"\r\n'
    b"Transfer-Encoding: chunked\r\n\r\n"
)
PART = b"x" * 65_536


def chunk(part: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(part), part)


class Export:
    """A file of 20 parts that waits before its last one."""

    def __init__(self, *, dies: bool = False) -> None:
        self.go_on = asyncio.Event()
        self.dies = dies

    async def __call__(self, _: Received, writer: asyncio.StreamWriter) -> None:
        writer.write(HEAD)
        for _part in range(19):
            writer.write(chunk(PART))
            await writer.drain()
        await self.go_on.wait()
        if self.dies:
            writer.close()
            return
        writer.write(chunk(PART) + b"0\r\n\r\n")
        await writer.drain()


async def begun(gate: Portal, count: int) -> None:
    async with asyncio.timeout(15):
        while len(gate.query.received) < count:  # noqa: ASYNC110 - the service has no event
            await asyncio.sleep(0.01)


def request(browser: Browser) -> bytes:
    cookie = f"sessionid={browser.cookies['sessionid']}"
    lines = f"GET {PATH} HTTP/1.1\r\nHost: portal.test\r\nConnection: close\r\nCookie: {cookie}"
    return lines.encode() + b"\r\n\r\n"


async def set_behaviour(gate: Portal, behaviour: Behaviour) -> Browser:
    gate.query.on(PATH, behaviour)
    return await gate.signed_in()


@pytest.fixture
async def export() -> AsyncIterator[Export]:
    made = Export()
    yield made
    made.go_on.set()


async def test_a_file_comes_whole_with_its_name(gate: Portal, export: Export) -> None:
    export.go_on.set()
    browser = await set_behaviour(gate, export)
    answered = await browser.get(f"{PATH}?status=PENDING&unit=A1")
    assert (answered.status, answered.body) == (200, PART * 20)
    assert "repairs-2026-03-01.csv" in (answered.header("content-disposition") or "")
    assert answered.header("vary") == "Cookie"
    assert (answered.header("cache-control") or "").startswith("private")
    assert gate.query.received[-1].target == f"{PATH}?status=PENDING&unit=A1"


async def test_a_file_that_breaks_off_is_cut_and_looks_cut(gate: Portal) -> None:
    export = Export(dies=True)
    export.go_on.set()
    browser = await set_behaviour(gate, export)
    said = await exchange(gate.url, request(browser))
    assert said.startswith(b"HTTP/1.1 200")
    with pytest.raises(ValueError, match="chunk"):
        parse(said)


async def test_a_customer_has_two_at_a_time_and_reads_meanwhile(
    gate: Portal, export: Export
) -> None:
    browser = await set_behaviour(gate, export)
    running = [asyncio.create_task(exchange(gate.url, request(browser))) for _ in range(2)]
    await begun(gate, 2)

    third = await browser.get(PATH)
    other = await (await gate.signed_in("bert", 43)).get("/customer/api/unit-repair-data/")
    begun_by_other = asyncio.create_task(exchange(gate.url, request(await gate.sign_in("bert"))))
    await begun(gate, 4)

    assert (third.status, other.status) == (429, 200)
    assert third.header("content-type") == "application/problem+json"
    assert third.header("retry-after")
    export.go_on.set()
    for task in (*running, begun_by_other):
        assert parse(await task).body == PART * 20
    assert (await browser.get(PATH)).status == 200


async def test_a_refusal_or_a_reader_who_leaves_gives_the_place_back(
    gate: Portal, export: Export
) -> None:
    browser = await set_behaviour(gate, answer(b"{}", 400, "application/problem+json"))
    for _ in range(3):
        assert (await browser.get(PATH)).status == 400
    gate.query.on(PATH, export)
    for count in range(4, 7):
        reader, writer = await asyncio.open_connection("127.0.0.1", int(gate.url[-5:]))
        writer.write(request(browser))
        await begun(gate, count)
        await reader.read(1_000)
        writer.transport.abort()
    export.go_on.set()
    async with asyncio.timeout(15):
        while (await browser.get(PATH)).status != 200:  # noqa: ASYNC110 - nor has the gateway
            await asyncio.sleep(0.05)
