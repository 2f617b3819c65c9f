"""Calls to a service over kept connections: what every read goes through, so it is made for that.

One connection carries one call at a time. A GET is asked once more, on a new connection, if the
first closed before a byte of answer came (a kept one was dead, or the service was just being
replaced); nothing else is.
"""

import asyncio
from typing import Final
from urllib.parse import urlsplit

from gateway.connection import Connection, KeptReply, StaleError
from gateway.upstream import (
    CONNECT_SECONDS,
    FIRST_BYTE_SECONDS,
    POOL_WAIT_SECONDS,
    Call,
    UpstreamAwayError,
    UpstreamBusyError,
)

#: Shorter than a service keeps an idle connection (65 s), so that it is we who close.
_IDLE_SECONDS: Final = 15.0
#: A change is never sent twice, so it is not sent over a connection that may just have died.
_IDLE_SECONDS_FOR_CHANGES: Final = 1.0


class KeptUpstream:
    """One service, asked over at most `connections` connections at once.

    `head_seconds` is how long it may take until its answer begins, if not as long as any other.
    """

    def __init__(self, url: str, *, connections: int, head_seconds: float | None = None) -> None:
        at = urlsplit(url)
        self._host = at.hostname or ""
        self._port = at.port or 80
        self._prefix = b" HTTP/1.1\r\nhost: " + at.netloc.encode() + b"\r\n"
        self._head_seconds = head_seconds
        self._room = asyncio.Semaphore(connections)
        self._idle: list[Connection] = []

    async def send(self, call: Call) -> KeptReply:
        """Ask, and return when the head of the answer is there."""
        data = self._encode(call)
        try:
            return await self._attempt(data, call, fresh=False)
        except StaleError as error:
            if not call.may_repeat:
                raise UpstreamAwayError(repr(error)) from error
        try:
            return await self._attempt(data, call, fresh=True)
        except StaleError as error:
            raise UpstreamAwayError(repr(error)) from error

    async def close(self) -> None:
        """Close the connections that nobody uses."""
        for connection in list(self._idle):
            connection.close()
        self._idle.clear()

    def give_back(self, connection: Connection | None) -> None:
        """Take note that a call has ended, and of the connection if it can be used again."""
        self._room.release()
        if connection is not None:
            connection.idle_since = asyncio.get_running_loop().time()
            self._idle.append(connection)

    def forget(self, connection: Connection) -> None:
        """Take note that a connection has closed."""
        if connection in self._idle:
            self._idle.remove(connection)

    async def _attempt(self, data: bytes, call: Call, *, fresh: bool) -> KeptReply:
        await self._enter()
        connection = None if fresh else self._kept(call)
        if connection is None:
            try:
                connection = await self._connect()
            except BaseException:
                self._room.release()
                raise
        return await connection.ask(data, self._head_seconds or FIRST_BYTE_SECONDS)

    async def _enter(self) -> None:
        if not self._room.locked():
            await self._room.acquire()
            return
        try:
            async with asyncio.timeout(POOL_WAIT_SECONDS):
                await self._room.acquire()
        except TimeoutError as error:
            raise UpstreamBusyError("all connections are in use") from error

    def _kept(self, call: Call) -> Connection | None:
        """Return the connection that was used last; older ones are closed when they are too old."""
        now = asyncio.get_running_loop().time()
        while self._idle and now - self._idle[0].idle_since > _IDLE_SECONDS:
            self._idle.pop(0).close()
        limit = _IDLE_SECONDS if call.may_repeat else _IDLE_SECONDS_FOR_CHANGES
        if self._idle and now - self._idle[-1].idle_since <= limit:
            connection = self._idle.pop()
            return connection if connection.is_open else None
        return None

    async def _connect(self) -> Connection:
        loop = asyncio.get_running_loop()
        connection = Connection(self)
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                await loop.create_connection(lambda: connection, self._host, self._port)
        except BaseException as error:
            connection.close()  # it may have been made in the turn in which it was given up
            if isinstance(error, OSError):
                raise UpstreamAwayError(repr(error)) from error
            raise
        return connection

    def _encode(self, call: Call) -> bytes:
        parts = [call.method.encode(), b" ", call.target, self._prefix]
        for name, value in call.headers:
            parts += (name, b": ", value, b"\r\n")
        if call.body is not None:
            parts += (b"content-length: %d\r\n\r\n" % len(call.body), call.body)
        else:
            parts.append(b"\r\n")
        return b"".join(parts)
