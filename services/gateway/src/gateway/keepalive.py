"""Calls to a service over kept connections, optimised because every read passes through here.

A connection carries one call at a time. A GET is retried once, on a new connection, if the first
connection closed before a byte of the response. That happens to a dead connection, or while the
service restarts. No other call is retried.
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

#: Shorter than a service's own idle time (65 s), so the gateway closes first.
_IDLE_SECONDS: Final = 15.0
#: A change is sent once only, so it avoids a connection that may just have closed.
_IDLE_SECONDS_FOR_CHANGES: Final = 1.0


class KeptUpstream:
    """A service, called over at most `connections` concurrent connections.

    `head_seconds` is the time until its response begins; None means FIRST_BYTE_SECONDS.
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
        """Send a call; return when the head of the response has arrived.

        Raises UpstreamAwayError, UpstreamBusyError or UpstreamBrokenError.
        """
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
        """Close the unused connections."""
        for connection in list(self._idle):
            connection.close()
        self._idle.clear()

    def give_back(self, connection: Connection | None) -> None:
        """Release the place of a finished call, and keep its connection if it can be used again."""
        self._room.release()
        if connection is not None:
            connection.idle_since = asyncio.get_running_loop().time()
            self._idle.append(connection)

    def forget(self, connection: Connection) -> None:
        """Remove a connection that has closed."""
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
        """Return the last used connection that is fresh enough, or None.

        Connections that were idle too long are closed.
        """
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
            connection.close()  # it may have opened in the loop turn of the cancellation
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
