"""Responses on their way to the client."""

import asyncio
from collections.abc import Awaitable
from typing import Final

from starlette.types import Send

from gateway.answers import Answer, Headers
from gateway.proxy import LongAnswer, note_fault
from gateway.upstream import UpstreamAwayError, UpstreamBrokenError

#: The time in which a client must take one part of a long response (seconds).
_TAKEN_SECONDS: Final = 30.0


class Out:
    """A sender of one response, with the sent `status`; `begun` is True once anything is sent."""

    __slots__ = ("always", "begun", "send", "status")

    def __init__(self, send: Send, always: tuple[tuple[bytes, bytes], ...]) -> None:
        self.send = send
        self.always = always
        self.begun = False
        self.status = 500

    async def whole(
        self, answer: Answer, headers: Headers | None = None, *, body: bool = True
    ) -> None:
        """Send a response with its length; omit its body for a HEAD."""
        await self._start(answer.status, [*answer.with_length(), *(headers or ())])
        await self.send({"type": "http.response.body", "body": answer.body if body else b""})

    async def long(
        self, answer: LongAnswer, headers: Headers, *, body: bool, gone: Awaitable[None]
    ) -> None:
        """Send a response as it arrives; if it breaks off, cut the connection.

        `gone` returns when the client has left, because the server would let the sending continue.
        """
        leaving = asyncio.ensure_future(gone)
        sending: asyncio.Future[None] | None = None
        try:
            await self._start(answer.status, [*answer.headers, *headers])
            if not body:
                await self.send({"type": "http.response.body", "body": b""})
                return
            sending = asyncio.ensure_future(self._parts(answer))
            async with asyncio.timeout(answer.seconds):
                await asyncio.wait({sending, leaving}, return_when=asyncio.FIRST_COMPLETED)
            if sending.done():
                sending.result()
        except (UpstreamAwayError, UpstreamBrokenError, TimeoutError) as error:
            # A return without the last part makes the server cut the connection.
            note_fault("any", "broken-off", error)
        finally:
            answer.reply.close()  # first: the wait for the tasks may itself be cancelled
            tasks = [task for task in (sending, leaving) if task is not None]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _parts(self, answer: LongAnswer) -> None:
        await self._part(answer.first)
        async for chunk in answer.reply.chunks():
            await self._part(chunk)
        await self.send({"type": "http.response.body", "body": b""})

    async def _part(self, chunk: bytes) -> None:
        async with asyncio.timeout(_TAKEN_SECONDS):
            await self.send({"type": "http.response.body", "body": chunk, "more_body": True})

    async def _start(self, status: int, headers: Headers) -> None:
        self.begun = True
        self.status = status
        await self.send(
            {
                "type": "http.response.start",
                "status": status,
                "headers": [*headers, *self.always],
            }
        )
