"""Admission control: requests beyond the limit are rejected before the application runs."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
import uvloop

from service_runtime.http_limits import HttpLimits
from service_runtime.http_protocol import HttpProtocol
from service_runtime.lifecycle import listen, serve_http
from service_runtime.metrics import REGISTRY
from service_runtime.ops import Health
from service_runtime.testing import eventually

SECURE = ((b"x-frame-options", b"DENY"),)


class Busy:
    """An application that responds on command; /stream begins at once and never ends."""

    def __init__(self) -> None:
        self.released = asyncio.Event()
        self.running = 0
        self.peak = 0

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            for event in ("startup", "shutdown"):
                await receive()
                await send({"type": f"lifespan.{event}.complete"})
            return
        start = {"type": "http.response.start", "status": 200, "headers": [(b"x-app", b"1")]}
        if scope["path"] == "/stream":
            await send(start)
            await send({"type": "http.response.body", "body": b"x", "more_body": True})
            await self.released.wait()
        else:
            self.running += 1
            self.peak = max(self.peak, self.running)
            await self.released.wait()
            self.running -= 1
            await send(start)
        await send({"type": "http.response.body", "body": b"done"})


class Client:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    def send(self, method: str = "GET", path: str = "/", rest: str = "") -> None:
        self.writer.write(f"{method} {path} HTTP/1.1\r\nHost: x\r\n{rest}\r\n".encode())

    async def answer(self, *, head_only: bool = False) -> tuple[int, dict[str, str], bytes]:
        head = (await self.reader.readuntil(b"\r\n\r\n")).decode()
        first, *lines = head[:-4].split("\r\n")
        headers = {k.lower(): v.strip() for k, _, v in (line.partition(":") for line in lines)}
        length = 0 if head_only else int(headers.get("content-length", 0))
        return int(first.split(" ")[1]), headers, await self.reader.readexactly(length)


@asynccontextmanager
async def serving(app: Any, **options: Any) -> AsyncIterator[Callable[[], Awaitable[Client]]]:
    listener, stop = listen("127.0.0.1", 0, None), asyncio.Event()
    server = asyncio.create_task(serve_http(app, listener, stop=stop, health=Health(), **options))
    address, clients = listener.getsockname(), []

    async def connect() -> Client:
        clients.append(Client(*await asyncio.open_connection(*address)))
        return clients[-1]

    try:
        yield connect
    finally:
        for client in clients:
            client.writer.close()
        stop.set()
        await server


def refused() -> float:
    name = "http_requests_refused_total"
    return REGISTRY.get_sample_value(name, {"reason": "overloaded"}) or 0.0


async def test_a_request_beyond_the_bound_is_refused_without_the_application() -> None:
    app, before = Busy(), refused()
    async with serving(app, max_requests=2, refusal_headers=SECURE) as connect:
        first = [await connect() for _ in range(2)]
        for client in first:
            client.send()

        async def both_run() -> bool:
            return app.running == 2

        await eventually(both_run, "two requests run")
        late = await connect()
        for _ in range(3):  # over one connection: a refused GET does not end it
            late.send()
            status, headers, body = await late.answer()
            assert (status, headers["retry-after"]) == (503, "1")
            assert headers["content-type"] == "application/problem+json"
            assert headers["x-frame-options"] == "DENY"
            assert "date" in headers
            assert json.loads(body)["code"] == "overloaded"
        late.send("HEAD")
        assert (await late.answer(head_only=True))[0] == 503
        assert refused() == before + 4
        assert app.peak == 2

        app.released.set()
        for client in first:
            assert (await client.answer())[0] == 200

        async def served_again() -> bool:
            late.send()
            return (await late.answer())[0] == 200

        await eventually(served_again, "requests are served again")


async def test_a_burst_in_one_turn_of_the_event_loop_is_bounded_as_well() -> None:
    app = Busy()
    async with serving(app, max_requests=3) as connect:
        clients = [await connect() for _ in range(20)]
        for client in clients:
            client.send()
        answers = [asyncio.create_task(client.answer()) for client in clients]

        async def all_others_have_their_answer() -> bool:
            return sum(answer.done() for answer in answers) == 17

        await eventually(all_others_have_their_answer, "17 answers")
        assert app.peak == 3
        app.released.set()
        statuses = [(await answer)[0] for answer in answers]
        assert sorted(statuses) == [200] * 3 + [503] * 17


class Reading(Busy):
    """An application that reads the body before it works."""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            while (message := await receive()).get("more_body", False):
                pass
            if message["type"] == "http.disconnect":
                return
        await super().__call__(scope, receive, send)


@pytest.mark.parametrize("framing", ["Content-Length: 5\r\n", "Transfer-Encoding: chunked\r\n"])
async def test_bodies_that_do_not_come_take_no_places(framing: str) -> None:
    app, limits = Reading(), HttpLimits(bodies=5, bodies_per_address=4)
    async with serving(app, max_requests=2, limits=limits) as connect:
        slow = [await connect() for _ in range(6)]
        for client in slow:
            client.send("POST", "/", framing)
        refused_ones = [asyncio.create_task(client.answer()) for client in slow]

        async def two_are_refused() -> bool:
            return sum(answer.done() for answer in refused_ones) == 2

        await eventually(two_are_refused, "a share of one address is bounded")
        quick = [await connect() for _ in range(3)]
        for client in quick[:2]:
            client.send()

        async def both_run() -> bool:
            return app.running == 2

        await eventually(both_run, "requests without bodies run beside them")
        quick[2].send()
        assert (await quick[2].answer())[0] == 503

        waiting = [n for n in range(6) if not refused_ones[n].done()]
        for n in waiting:
            slow[n].writer.write(b"5\r\nabcde\r\n0\r\n\r\n" if "chunked" in framing else b"abcde")

        async def all_run() -> bool:
            return app.running == 6

        await eventually(all_run, "a body that has come is worked on")
        app.released.set()
        for n in waiting:
            assert (await refused_ones[n])[0] == 200
        for client in quick[:2]:
            assert (await client.answer())[0] == 200


async def test_bodies_that_have_come_or_gone_are_counted_no_longer() -> None:
    app, limits = Reading(), HttpLimits(bodies=1)
    app.released.set()
    async with serving(app, limits=limits) as connect:
        for _ in range(3):
            client = await connect()
            client.send("POST", "/", "Content-Length: 5\r\n")
            await asyncio.sleep(0)
            client.writer.write(b"abcde")
            assert (await client.answer())[0] == 200

            async def admitted() -> bool:
                gone = await connect()
                gone.send("POST", "/", "Content-Length: 5\r\n")
                gone.writer.write(b"ab")
                answer = asyncio.create_task(gone.answer())
                done, _ = await asyncio.wait([answer], timeout=0.05)
                gone.writer.transport.abort()
                await asyncio.wait([answer])
                answer.exception() if not done else None
                return not done

            await eventually(admitted, "the next one is let in")


def test_connections_that_wait_in_the_kernel_are_accepted_many_at_a_time() -> None:
    """With one accepted connection in each turn of the loop, the last would wait for as many turns."""
    burst = 200

    async def turns() -> int:
        app, count = Busy(), 0
        async with serving(app, max_requests=burst) as connect:
            address = (await connect()).writer.get_extra_info("peername")
            clients = [socket.create_connection(address) for _ in range(burst)]
            for client in clients:
                client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            while app.running < burst and count < 2 * burst:
                await asyncio.sleep(0)
                count += 1
            app.released.set()
            for client in clients:
                client.close()
        return count

    assert uvloop.run(turns()) < burst // 4


async def test_a_refusal_keeps_the_connection_when_the_body_has_come_with_its_head() -> None:
    app = Busy()
    async with serving(app, max_requests=0) as connect:
        client = await connect()
        for _ in range(3):
            client.writer.write(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello")
            status, headers, body = await client.answer()
            assert (status, json.loads(body)["code"]) == (503, "overloaded")
            assert "connection" not in headers
        client.send()
        assert (await client.answer())[0] == 503
    assert app.peak == 0


async def test_a_refused_get_is_not_parsed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Parsing is the dearest part of a refusal. Counted, because a time would be the machine's."""
    parsed = 0
    begin = HttpProtocol.on_message_begin

    def count(protocol: HttpProtocol) -> None:
        nonlocal parsed
        parsed += 1
        begin(protocol)

    monkeypatch.setattr(HttpProtocol, "on_message_begin", count)
    async with serving(Busy(), max_requests=0) as connect:
        client = await connect()
        for _ in range(3):
            client.send()
            assert (await client.answer())[0] == 503
        assert parsed == 0
        client.writer.write(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n")
        assert (await client.answer())[0] == 503
    assert parsed == 1


@pytest.mark.parametrize(
    ("head", "status"),
    [
        ("GET / HTTP/1.1\r\nHost: x\r\n", 503),
        ("GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n", 503),
        ("GET / HTTP/1.0\r\nHost: x\r\n", 503),
        ("GET / HTTP/1.1\r\nHost: x\r\ncontent-LENGTH: 31\r\n", 503),
        ("GET / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n", 503),
        ("GET / HTTP/1.1\nHost: x\r\nTransfer-Encoding: chunked\n\r\n", 400),
        ("DELETE / HTTP/1.1\r\nHost: x\r\n", 503),
    ],
)
async def test_no_byte_of_a_refused_message_is_a_request(head: str, status: int) -> None:
    """The bytes behind the head are a body, or the connection closes: one response, unless both are requests."""
    app = Busy()
    async with serving(app, max_requests=0) as connect:
        client = await connect()
        client.writer.write(f"{head}\r\nGET /hidden HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        found, headers, _ = await client.answer()
        assert (found, headers.get("connection")) == (status, "close")
        assert await client.reader.read() == b""
    assert app.peak == 0


async def test_a_refusal_before_the_body_closes_the_connection() -> None:
    """The unread rest could be taken for the next request."""
    app = Busy()
    async with serving(app, max_requests=0) as connect:
        for rest in ("Content-Length: 5\r\n", "Transfer-Encoding: chunked\r\n"):
            client = await connect()
            client.send("POST", "/", rest)
            status, headers, _ = await client.answer()
            assert (status, headers["connection"]) == (503, "close")
            assert await client.reader.read() == b""


async def test_open_streams_are_not_counted() -> None:
    app = Busy()
    async with serving(app, max_requests=1) as connect:
        streams = [await connect() for _ in range(5)]
        for stream in streams:
            stream.send(path="/stream")
            assert b"200" in await stream.reader.readline()
        client = await connect()
        client.send()

        async def it_runs() -> bool:
            return app.running == 1

        await eventually(it_runs, "the request runs")
        app.released.set()
        assert (await client.answer())[0] == 200
