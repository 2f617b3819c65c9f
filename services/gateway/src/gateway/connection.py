"""A kept connection to a service and its responses, one at a time.

A connection is used again only after a response that ended where it announced. In every other
case it is cut.
"""

import asyncio
from collections.abc import AsyncIterator
from typing import Final, Protocol, cast

import httptools

from gateway.upstream import (
    MAX_HEADER_BYTES,
    Headers,
    UpstreamAwayError,
    UpstreamBrokenError,
)

_SILENCE_SECONDS: Final = 10.0
_BUFFERED: Final = 524_288
_NO_BODY: Final = frozenset({204, 304})


class Pool(Protocol):
    """The owner of kept connections."""

    def give_back(self, connection: "Connection | None") -> None:
        """Release the place of a finished call, and keep its connection if it can be used again."""
        ...

    def forget(self, connection: "Connection") -> None:
        """Remove a connection that has closed."""
        ...


class StaleError(Exception):
    """An error for a connection that closed before the first byte of a response.

    A call that may repeat is sent again.
    """


class KeptReply:
    """A response whose head has arrived; its body goes into a bounded buffer."""

    __slots__ = (
        "_connection", "_error", "_parts", "_waiter", "complete", "head", "headers", "size",
        "status",
    )  # fmt: skip

    def __init__(self, connection: "Connection", head: "asyncio.Future[None]") -> None:
        self._connection = connection
        self._parts: list[bytes] = []
        self._waiter: asyncio.Future[None] | None = None
        self._error: Exception | None = None
        self.head = head
        self.headers: Headers = []
        self.status = 0
        self.size = 0
        self.complete = False

    async def beginning(self, limit: int) -> tuple[bytes, bool]:
        """Return the body's first bytes, and whether that is all."""
        while not self.complete and self._error is None and self.size <= limit:
            await self._more()
        return self._take(), self.complete

    async def chunks(self) -> AsyncIterator[bytes]:
        """Return the rest of the body as it arrives."""
        while True:
            part = self._take()
            if part:
                yield part
            elif self.complete:
                return
            else:
                await self._more()

    def close(self) -> None:
        """Give the response up; cut the connection if the response is incomplete."""
        if not self.complete:
            self._connection.cut(self)

    def add(self, part: bytes) -> int:
        """Buffer a part of the body; return the number of buffered bytes."""
        self._parts.append(part)
        self.size += len(part)
        self._wake()
        return self.size

    def end(self) -> None:
        """Mark the body as complete."""
        self.complete = True
        self._wake()

    def fail(self, error: Exception) -> None:
        """Mark the response as failed: no more arrives, or what arrived cannot be used."""
        self._error = error
        if not self.head.done():
            self.head.set_exception(error)
        self._wake()

    def _take(self) -> bytes:
        if self._error is not None:
            raise self._error
        parts = self._parts
        body = parts[0] if len(parts) == 1 else b"".join(parts)
        self._parts = []
        self.size = 0
        self._connection.resume(self)
        return body

    async def _more(self) -> None:
        if self._error is not None:
            raise self._error
        self._waiter = asyncio.get_running_loop().create_future()
        try:
            async with asyncio.timeout(_SILENCE_SECONDS):
                await self._waiter
        except TimeoutError as error:
            raise UpstreamAwayError("silent in the midst of its answer") from error

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


class Connection(asyncio.Protocol):
    """A connection; the parser calls its `on_...` methods."""

    def __init__(self, pool: "Pool") -> None:
        self._pool = pool
        self._loop = asyncio.get_running_loop()
        self._parser = httptools.HttpResponseParser(self)
        self._transport: asyncio.Transport | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._reply: KeptReply | None = None
        self._header_bytes = 0
        self._heard = False
        self._framed = False
        self._paused = False
        self._keep = False
        self.idle_since = 0.0

    @property
    def is_open(self) -> bool:
        """True if the connection can be used."""
        return self._transport is not None and not self._transport.is_closing()

    async def ask(self, data: bytes, head_seconds: float) -> KeptReply:
        """Send a request; return when the head of its response has arrived, within `head_seconds`.

        Raises StaleError, UpstreamAwayError (too late) or UpstreamBrokenError.
        """
        reply = self._reply = KeptReply(self, self._loop.create_future())
        self._header_bytes = 0
        self._heard = self._framed = False
        try:
            if self._transport is None or self._transport.is_closing():
                self._end(StaleError("closed"), keep=False)
            else:
                self._timer = self._loop.call_later(head_seconds, self._late)
                self._transport.write(data)
            await reply.head
        except BaseException:
            self.cut(reply)  # for any error: the place in the pool is released once
            raise
        return reply

    def cut(self, reply: KeptReply) -> None:
        """Give a response up and close its connection."""
        if self._reply is reply:
            self._end(UpstreamBrokenError("given up"), keep=False)

    def close(self) -> None:
        """Close an unused connection."""
        if self._transport is not None:
            self._transport.abort()

    def resume(self, reply: KeptReply) -> None:
        """Resume reading after the buffer was emptied."""
        if self._paused and self._reply is reply and self._transport is not None:
            self._paused = False
            self._transport.resume_reading()

    def _late(self) -> None:
        self._end(UpstreamAwayError("no answer in time"), keep=False)

    def _end(self, error: Exception | None, *, keep: bool) -> None:
        """End the call in progress exactly once.

        Its connection is kept for the next call, or closed.
        """
        reply, self._reply = self._reply, None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if error is not None and reply is not None:
            reply.fail(error)
        if not keep:
            self.close()
        if reply is not None:
            self._pool.give_back(self if keep else None)

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Store the transport."""
        self._transport = cast("asyncio.Transport", transport)  # TCP gives no other

    def data_received(self, data: bytes) -> None:
        """Parse the next bytes of the response in progress."""
        reply = self._reply
        if reply is None:  # no call is in progress: later bytes cannot be trusted either
            self.close()
            return
        self._heard = True
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            self._end(UpstreamBrokenError(repr(error)), keep=False)
            return
        if reply.complete and self._reply is reply:
            self._end(None, keep=self._keep)

    def connection_lost(self, exc: Exception | None) -> None:
        """End the call in progress, if there is one."""
        self._pool.forget(self)
        if self._reply is None:
            return
        error: Exception = UpstreamBrokenError("closed in the midst of its answer")
        if not self._heard:
            why = repr(exc) if exc else "closed without an answer"
            error = StaleError(why)
        self._end(error, keep=False)

    # httptools

    def on_message_begin(self) -> None:
        """Reject a second response to the same call."""
        if self._reply is not None and self._reply.complete:
            raise ValueError("more than it said")

    def on_header(self, name: bytes, value: bytes) -> None:
        """Store a header; all headers together are bounded."""
        self._header_bytes += len(name) + len(value)
        if self._header_bytes > MAX_HEADER_BYTES:
            raise ValueError("too many headers")
        name = name.lower()
        if name in {b"content-length", b"transfer-encoding"}:
            self._framed = True
        if self._reply is not None:
            self._reply.headers.append((name, value))

    def on_headers_complete(self) -> None:
        """Check status and framing, then mark the head as arrived."""
        status = self._parser.get_status_code()
        if status < 200:  # noqa: PLR2004 - we ask for nothing that would be answered so
            raise ValueError("an answer before the answer")
        if not self._framed and status not in _NO_BODY:
            # It would end with the connection: a half of it would look like the whole.
            raise ValueError("a body without a length")
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        reply = self._reply
        if reply is not None:
            reply.status = status
            if not reply.head.done():
                reply.head.set_result(None)

    def on_body(self, body: bytes) -> None:
        """Buffer a part of the body; pause reading while the buffer is full."""
        reply = self._reply
        if reply is not None and reply.add(body) > _BUFFERED and not self._paused:
            self._paused = True
            if self._transport is not None:
                self._transport.pause_reading()

    def on_message_complete(self) -> None:
        """Mark the body as complete."""
        self._keep = self._parser.should_keep_alive()  # the parser resets this a moment later
        if self._reply is not None:
            self._reply.end()
