"""Connections of the HTTP server: framing on real sockets, and deadlines at exact moments."""

import asyncio
import ipaddress
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import pytest
import uvicorn
from uvicorn.server import ServerState

from service_runtime.http_limits import HttpLimits, ServerLoad
from service_runtime.http_protocol import HttpProtocol
from service_runtime.lifecycle import listen, serve_http
from service_runtime.metrics import REGISTRY
from service_runtime.ops import Health
from service_runtime.testing import eventually
from service_runtime.testing_framing import FRAMING, FramingCase, converse

LIMITS = HttpLimits()
GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"


class Echo:
    """An application that records its requests; POST /echo/ reads its body, /large/ sends 4 MB."""

    def __init__(self) -> None:
        self.requests: list[tuple[str, bytes, dict[str, str]]] = []
        self.left = 0

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            for event in ("startup", "shutdown"):
                await receive()
                await send({"type": f"lifespan.{event}.complete"})
            return
        body, more = b"", scope["path"] == "/echo/"
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                self.left += 1
                return
            body += message["body"]
            more = message["more_body"]
        headers = {name.decode(): value.decode() for name, value in scope["headers"]}
        self.requests.append((scope["method"], body, headers))
        size = b"4000000" if scope["path"] == "/large/" else b"2"
        start = {
            "type": "http.response.start",
            "status": 200,
            "headers": [(b"content-length", size)],
        }
        await send(start)
        await send({"type": "http.response.body", "body": b"x" * int(size)})


class Port:
    """A server whose deadlines the test checks by hand, at moments of its choice."""

    def __init__(self, app: Echo, limits: HttpLimits) -> None:
        self.app = app
        self.state = ServerState()
        self.load = ServerLoad(limits, 100, [])
        self.config = uvicorn.Config(app, ws="none", lifespan="off", log_config=None)
        self.config.load()
        self._writers: list[asyncio.StreamWriter] = []

    def protocol(self) -> HttpProtocol:
        return HttpProtocol(self.load, config=self.config, server_state=self.state, app_state={})

    async def connect(
        self, data: bytes = b""
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter, HttpProtocol]:
        """Return a connection of a client that has sent this, and the server's side of it."""
        before = set(self.state.connections)
        reader, writer = await asyncio.open_connection(*self.address)
        self._writers.append(writer)
        writer.write(data)

        async def accepted() -> bool:
            return bool(self.state.connections - before)

        await eventually(accepted, "the connection is accepted")
        (connection,) = self.state.connections - before
        assert isinstance(connection, HttpProtocol)
        return reader, writer, connection

    def check(self, seconds: float) -> None:
        """Check every deadline as if so many seconds had passed."""
        now = asyncio.get_running_loop().time() + seconds
        for connection in tuple(self.state.connections):
            assert isinstance(connection, HttpProtocol)
            connection.check(now)

    @asynccontextmanager
    async def listening(self) -> AsyncIterator["Port"]:
        server = await asyncio.get_running_loop().create_server(self.protocol, "127.0.0.1", 0)
        self.address = server.sockets[0].getsockname()
        try:
            yield self
        finally:
            server.close()
            for writer in self._writers:
                writer.transport.abort()
            await eventually(self._is_empty, "all connections are gone")
            assert not self.load._of_address

    async def _is_empty(self) -> bool:
        return not self.state.connections


@pytest.fixture
async def port() -> AsyncIterator[Port]:
    async with Port(Echo(), LIMITS).listening() as listening:
        yield listening


@asynccontextmanager
async def serving(app: Any, limits: HttpLimits = LIMITS) -> AsyncIterator[str]:
    listener, stop = listen("127.0.0.1", 0, None), asyncio.Event()
    server = asyncio.create_task(
        serve_http(app, listener, stop=stop, health=Health(), limits=limits)
    )
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        stop.set()
        await server


def refused(reason: str) -> float:
    return REGISTRY.get_sample_value("http_requests_refused_total", {"reason": reason}) or 0.0


@pytest.mark.parametrize("case", FRAMING, ids=lambda case: case.name)
async def test_framing(port: Port, case: FramingCase) -> None:
    await case.check(f"http://{port.address[0]}:{port.address[1]}")
    assert all(body != b"hidden" for _, body, _ in port.app.requests)


async def test_the_body_beside_an_ignored_upgrade_reaches_the_application(port: Port) -> None:
    head = (
        b"POST /echo/ HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n"
        b"Content-Length: 10\r\n\r\n"
    )
    url = f"http://{port.address[0]}:{port.address[1]}"
    for parts in ((head, b"01234", b"56789"), (head + b"0123456789",)):
        assert b" 200 " in await converse(url, parts)
    assert [body for _, body, _ in port.app.requests] == [b"0123456789"] * 2


async def test_trailers_never_become_headers(port: Port) -> None:
    data = (
        b"POST /echo/ HTTP/1.1\r\nHost: x\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n"
        b"Trailer: Authorization\r\n\r\n3\r\nabc\r\n0\r\nAuthorization: Bearer secret\r\n\r\n"
    )
    url = f"http://{port.address[0]}:{port.address[1]}"
    for parts in ((data,), (data[:-40], data[-40:])):
        await converse(url, parts)
    for _, body, headers in port.app.requests:
        assert body == b"abc"
        assert "authorization" not in headers


async def test_small_chunks_are_no_overhead(port: Port) -> None:
    chunks = b"1\r\nx\r\n" * 20_000
    head = b"POST /echo/ HTTP/1.1\r\nHost: x\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n"
    url = f"http://{port.address[0]}:{port.address[1]}"
    assert b" 200 " in await converse(url, (head + chunks + b"0\r\n\r\n",))
    assert port.app.requests[0][1] == b"x" * 20_000


async def test_a_chunk_costs_one_call(port: Port) -> None:
    """A read of 256 kB brings forty thousand chunks of one byte."""
    _, _, connection = await port.connect(
        b"POST /echo/ HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    )

    async def awaits_its_body() -> bool:
        return connection._phase.name == "BODY"

    await eventually(awaits_its_body, "the head has arrived")
    calls = 0

    def count(_: Any, event: str, __: Any) -> None:
        nonlocal calls
        calls += event == "call"

    sys.setprofile(count)
    try:
        connection.data_received(b"1\r\nx\r\n" * 1_000)
    finally:
        sys.setprofile(None)
    assert calls < 3_100  # `on_body`, uvicorn's own, and what wakes the application


async def test_many_chunks_are_parsed_in_short_steps(port: Port) -> None:
    """Others get their turns in between, and no more is read than is parsed."""
    reader, writer, connection = await port.connect(
        b"POST /echo/ HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    )

    async def awaits_its_body() -> bool:
        return connection._phase.name == "BODY"

    await eventually(awaits_its_body, "the head has arrived")
    longest = most = 0
    parse = connection._read_body

    def step() -> None:
        nonlocal longest, most
        before = connection._body_bytes
        parse()
        longest = max(longest, connection._body_bytes - before)
        most = max(most, len(connection._buffer))

    connection._read_body = step  # type: ignore[method-assign]
    writer.write(b"1\r\nx\r\n" * 300_000 + b"0\r\n\r\n")
    assert b" 200 " in await reader.readuntil(b"xx")
    assert len(port.app.requests[0][1]) == 300_000
    assert longest < 6_000
    assert most < 600_000
    writer.write(GET)
    assert b" 200 " in await reader.readuntil(b"xx")


@pytest.mark.parametrize("value", ["100-continue", "100-continue ", "100-Continue \t"])
async def test_a_body_that_waits_to_be_asked_for_is_asked_for(port: Port, value: str) -> None:
    reader, writer, _ = await port.connect(
        f"POST /echo/ HTTP/1.1\r\nHost: x\r\nExpect: {value}\r\nContent-Length: 2\r\n\r\n".encode()
    )
    async with asyncio.timeout(5):
        assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
    writer.write(b"ab")
    assert b" 200 " in await reader.readuntil(b"xx")


async def test_a_silent_connection_ends_at_the_limit_of_a_head(port: Port) -> None:
    reader, _, _ = await port.connect()
    port.check(LIMITS.head_seconds - 1)
    assert len(port.state.connections) == 1
    port.check(LIMITS.head_seconds)
    assert await reader.read() == b""


async def test_a_head_that_drips_is_answered_408_at_the_limit(port: Port) -> None:
    before = refused("late")
    reader, writer, connection = await port.connect(b"GET / HTTP/1.1\r\n")
    for n in range(5):
        writer.write(b"X-%d: y\r\n" % n)
        await eventually(partial(has, connection, b"X-%d" % n), "the header has arrived")
    port.check(LIMITS.head_seconds - 1)
    assert not reader.at_eof()
    port.check(LIMITS.head_seconds)
    assert b" 408 " in await reader.read()
    assert refused("late") == before + 1


async def has(connection: HttpProtocol, text: bytes) -> bool:
    return text in connection._buffer


async def test_a_later_head_has_its_own_limit_and_an_idle_connection_a_longer_one(
    port: Port,
) -> None:
    reader, writer, connection = await port.connect(GET)
    await reader.readuntil(b"xx")
    port.check(LIMITS.idle_seconds - 1)
    assert port.state.connections
    writer.write(b"GET / HTTP/1.1\r\n")
    await eventually(partial(has, connection, b"GET"), "the line has arrived")
    port.check(LIMITS.head_seconds)
    assert b" 408 " in await reader.read()

    reader, _, _ = await port.connect(GET)
    await reader.readuntil(b"xx")
    port.check(LIMITS.idle_seconds)
    assert await reader.read() == b""


async def test_empty_lines_keep_no_connection_open(port: Port) -> None:
    reader, writer, connection = await port.connect(GET)
    await reader.readuntil(b"xx")
    idle_until = connection._deadline
    for part in (b"\r\n", b"\r", b"\n", b"\r\n"):
        writer.write(part)
        await eventually(partial(came, connection, part), "the line has arrived")
    assert connection._deadline == idle_until
    writer.write(b"GET / HT")
    await eventually(partial(has, connection, b"GET"), "the line has arrived")
    assert connection._deadline < idle_until


async def came(connection: HttpProtocol, part: bytes) -> bool:
    return connection._buffer == (part if part == b"\r" else b"")


async def test_a_body_below_the_rate_is_answered_408_and_one_above_it_is_not(port: Port) -> None:
    head = b"POST /echo/ HTTP/1.1\r\nHost: x\r\nContent-Length: 60000\r\n\r\n"
    enough = int(LIMITS.body_rate * LIMITS.body_seconds)
    reader, writer, connection = await port.connect(head)
    for part in range(1, 4):
        writer.write(b"x" * enough)
        await eventually(partial(read, connection, part * enough), "the part has arrived")
        port.check(LIMITS.body_seconds)
    assert not reader.at_eof()
    writer.write(b"x")
    await eventually(partial(read, connection, 3 * enough + 1), "the byte has arrived")
    port.check(2 * LIMITS.body_seconds)
    port.check(3 * LIMITS.body_seconds)
    assert b" 408 " in await reader.read()

    async def application_has_left() -> bool:
        return port.app.left == 1

    await eventually(application_has_left, "the application saw the end")
    assert not port.app.requests


async def read(connection: HttpProtocol, count: int) -> bool:
    return connection._body_bytes == count


async def test_a_client_that_never_reads_is_cut(port: Port) -> None:
    for ending in (b"", b"Connection: close\r\n"):
        _, writer, connection = await port.connect()
        writer.transport.pause_reading()  # type: ignore[attr-defined]
        writer.write(b"GET /large/ HTTP/1.1\r\nHost: x\r\n" + ending + b"\r\n")

        async def waits(connection: HttpProtocol = connection) -> bool:
            return connection.transport.get_write_buffer_size() > 0

        await eventually(waits, "the answer waits for its client")
        port.check(LIMITS.idle_seconds)
        assert connection in port.state.connections
        port.check(LIMITS.idle_seconds + LIMITS.write_seconds - 1)
        assert connection in port.state.connections
        port.check(LIMITS.idle_seconds + LIMITS.write_seconds)

        async def is_gone(connection: HttpProtocol = connection) -> bool:
            return connection not in port.state.connections

        await eventually(is_gone, "the connection is cut")


class HeldTransport:
    """The transport of a connection whose client reads nothing, or everything, on command."""

    def __init__(self, transport: Any) -> None:
        self._transport = transport
        self.unsent = 0
        self.aborted = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def get_write_buffer_size(self) -> int:
        return self.unsent

    def abort(self) -> None:
        self.aborted = True


async def test_each_answer_that_waits_has_its_own_time() -> None:
    """Two long answers of one connection may wait with the same number of bytes."""
    async with Port(Stuck(), LIMITS).listening() as port:
        _, _, connection = await port.connect(GET)

        async def runs() -> bool:
            return bool(port.state.tasks)

        await eventually(runs, "the request runs")
        held = HeldTransport(connection.transport)
        connection.transport = held  # type: ignore[assignment]
        for began in (0.0, 2 * LIMITS.write_seconds):
            held.unsent = 100_000
            connection.pause_writing()
            port.check(began)
            port.check(began + LIMITS.write_seconds - 1)
            assert not held.aborted
            held.unsent = 0
            connection.resume_writing()
            port.check(began + LIMITS.write_seconds)
        held.unsent = 100_000
        connection.pause_writing()
        port.check(4 * LIMITS.write_seconds)
        port.check(5 * LIMITS.write_seconds)
        assert held.aborted


class Stuck(Echo):
    """An application that never responds."""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:  # noqa: ARG002
        while (await receive())["type"] != "http.disconnect":
            pass


async def test_a_slow_reader_gets_its_whole_answer(port: Port) -> None:
    reader, writer, connection = await port.connect()
    small = connection.transport.get_extra_info("socket")
    small.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 65_536)
    writer.write(b"GET /large/ HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    await reader.readuntil(b"\r\n\r\n")
    taken, seconds, unsent = 0, 0.0, -1
    while part := await reader.read(65_536):
        taken += len(part)
        if unsent != (unsent := connection.transport.get_write_buffer_size()):
            seconds += LIMITS.write_seconds - 1  # so long after the part before was taken
            port.check(seconds)
    assert taken == 4_000_000
    assert seconds > 3 * LIMITS.write_seconds


async def test_who_ignores_the_end_of_an_early_answer_is_cut(port: Port) -> None:
    reader, writer, connection = await port.connect(
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n"
    )
    assert b"connection: close" in await reader.read()
    writer.write(b"x" * 50_000)  # no reset: it is read and dropped
    port.check(LIMITS.linger_seconds)

    async def is_gone() -> bool:
        return connection not in port.state.connections

    await eventually(is_gone, "the connection is cut")


async def test_what_is_sent_ahead_is_bounded() -> None:
    released = asyncio.Event()

    class Slow(Echo):
        async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
            await released.wait()
            await super().__call__(scope, receive, send)

    async with Port(Slow(), LIMITS).listening() as port:
        reader, writer, connection = await port.connect(GET)
        writer.write(GET * 200_000)
        await writer.drain()
        largest = 0

        async def all_came() -> bool:
            nonlocal largest
            largest = max(largest, len(connection._buffer))
            return not writer.transport.get_write_buffer_size()

        await eventually(all_came, "everything was taken", every=0.001)
        assert largest <= LIMITS.pipelined_bytes
        released.set()
        answers = await reader.read()
        assert answers.count(b"HTTP/1.1 200") == len(port.app.requests) == 1


async def test_connections_are_limited_in_all_and_for_an_address() -> None:
    trusted = (ipaddress.ip_network("127.0.0.2"),)
    limits = HttpLimits(max_connections=4, max_connections_per_address=2, trusted=trusted)
    async with Port(Echo(), limits).listening() as port:
        mine = [await port.connect() for _ in range(2)]
        for host, status in (
            (None, b" 429 "),
            ("127.0.0.2", None),
            ("127.0.0.2", None),
            ("127.0.0.2", b" 503 "),
        ):
            source = None if host is None else (host, 0)
            reader, writer = await asyncio.open_connection(*port.address, local_addr=source)
            port._writers.append(writer)
            if status is None:
                writer.write(GET)
                assert b" 200 " in await reader.readuntil(b"xx")
            else:
                answer = await reader.read()
                assert status in answer
                assert b"Retry-After: 1" in answer
                writer.close()

                async def has_left() -> bool:
                    return len(port.state.connections) <= 4

                await eventually(has_left, "the refused connection is gone")
        mine[0][1].close()

        async def there_is_room() -> bool:
            return len(port.state.connections) < 4

        await eventually(there_is_room, "one has left")
        reader, _, _ = await port.connect(GET)
        assert b" 200 " in await reader.readuntil(b"xx")


async def test_the_refused_connections_of_one_address_take_no_places() -> None:
    limits = HttpLimits(max_connections=4, max_connections_per_address=2)
    async with Port(Echo(), limits).listening() as port:
        for _ in range(2):
            await port.connect()
        refused_ones = []
        for _ in range(80):  # none of them reads its answer, nor leaves
            reader, writer = await asyncio.open_connection(*port.address)
            port._writers.append(writer)
            refused_ones.append(reader)
        before = refused("connections")
        reader, writer = await asyncio.open_connection(*port.address, local_addr=("127.0.0.2", 0))
        port._writers.append(writer)
        writer.write(GET)
        assert b" 200 " in await reader.readuntil(b"xx")
        assert refused("connections") == before

        async def few_are_left() -> bool:
            return len(port.state.connections) <= 3 + 64

        await eventually(few_are_left, "what is too much even for refusals is cut")


@pytest.mark.parametrize(
    ("host", "key"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
    ],
)
def test_a_site_with_ipv6_is_one_address(host: str, key: str) -> None:
    assert ServerLoad(LIMITS, 1, []).enter(host) == (key, None)


async def test_the_server_checks_its_connections_by_itself() -> None:
    limits = HttpLimits(head_seconds=0.1, sweep_seconds=0.02)
    async with serving(Echo(), limits) as url:
        assert b" 408 " in await converse(url, (b"GET / HTTP/1.1\r\n",))
