"""A service for tests on a real socket; it records each request byte for byte.

A test sets the response of each path. The service can also be silent, break off, or send bytes that
are no HTTP.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Self


@dataclass(frozen=True, slots=True)
class Received:
    """A request as it arrived; header names keep their case."""

    method: str
    target: str
    headers: tuple[tuple[str, str], ...]
    body: bytes

    def header(self, name: str) -> str | None:
        """Return the only header of this name, in any case; None if there is none.

        Raises AssertionError if there are several.
        """
        found = [value for key, value in self.headers if key.lower() == name.lower()]
        if len(found) > 1:
            raise AssertionError(f"{name} came {len(found)} times")
        return found[0] if found else None


Behaviour = Callable[[Received, asyncio.StreamWriter], Awaitable[None]]


def answer(
    body: bytes = b"[]", status: int = 200, content_type: str = "application/json", **headers: str
) -> Behaviour:
    """Return a behaviour that sends this response.

    `portal_revision="3"` becomes `Portal-Revision: 3`.
    """
    named = {"Content-Type": content_type} | {
        name.replace("_", "-").title(): value for name, value in headers.items()
    }
    lines = "".join(f"{name}: {value}\r\n" for name, value in named.items())
    head = f"HTTP/1.1 {status} X\r\n{lines}Content-Length: {len(body)}\r\n\r\n"
    return raw(head.encode() + body)


def raw(data: bytes, *, close: bool = False) -> Behaviour:
    """Return a behaviour that writes exactly these bytes."""

    async def behave(_: Received, writer: asyncio.StreamWriter) -> None:
        writer.write(data)
        await writer.drain()
        if close:
            writer.close()

    return behave


async def silent(_: Received, writer: asyncio.StreamWriter) -> None:
    """Send no response until the other side closes."""
    while not writer.is_closing():  # noqa: ASYNC110 - there is no event to wait for
        await asyncio.sleep(0.05)


@dataclass
class WireService:
    """An HTTP/1.1 server whose responses a test sets; use it as an async context manager."""

    default: Behaviour = field(default_factory=answer)
    received: list[Received] = field(default_factory=list)
    connections: int = 0
    _behaviours: dict[str, Behaviour] = field(default_factory=dict)
    _server: asyncio.Server | None = None
    _writers: set[asyncio.StreamWriter] = field(default_factory=set)
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)

    async def __aenter__(self) -> Self:
        """Begin to listen on a free port of the loopback."""
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0, limit=1_048_576)
        return self

    async def __aexit__(self, *_: object) -> None:
        """Stop listening and cut all open connections."""
        if self._server is not None:
            self._server.close()
        self.drop_connections()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    @property
    def url(self) -> str:
        """The address that it listens on."""
        assert self._server is not None  # noqa: S101 - a mistake of the test
        return f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    def on(self, path: str, behaviour: Behaviour) -> None:
        """Set the response of a path, without its query."""
        self._behaviours[path] = behaviour

    def drop_connections(self) -> None:
        """Cut every open connection."""
        for writer in self._writers:
            writer.transport.abort()

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self._writers.add(writer)
        task = asyncio.get_running_loop().create_task(self._serve(reader, writer))
        self._tasks.add(task)

        def end(task: asyncio.Task[None]) -> None:
            # Not in the task: one that is cancelled before its first step runs no `finally`.
            self._writers.discard(writer)
            self._tasks.discard(task)
            writer.close()

        task.add_done_callback(end)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while not writer.is_closing():
                request = await _read(reader)
                self.received.append(request)
                path = request.target.partition("?")[0]
                await self._behaviours.get(path, self.default)(request, writer)
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass  # the other side has closed, or the test is over


async def _read(reader: asyncio.StreamReader) -> Received:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    first, *lines = head[:-4].split("\r\n")
    method, target, _ = first.split(" ")
    headers = tuple((name, value.strip()) for name, _, value in (li.partition(":") for li in lines))
    length = next((int(v) for name, v in headers if name.lower() == "content-length"), 0)
    return Received(method, target, headers, await reader.readexactly(length))
