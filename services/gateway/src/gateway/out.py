"""Answers on their way out to the client."""

import asyncio
from collections.abc import Awaitable
from typing import Final

from starlette.types import Send

from gateway.answers import Answer, Headers
from gateway.proxy import LongAnswer, note_fault
from gateway.upstream import UpstreamAwayError, UpstreamBrokenError

#: How long a client may take over one part of a long answer.
_TAKEN_SECONDS: Final = 30.0


class Out:
    """Sends one answer; `status` is what was sent, `begun` whether anything was."""

    __slots__ = ("always", "begun", "send", "status")

    def __init__(self, send: Send, always: tuple[tuple[bytes, bytes], ...]) -> None:
        self.send = send
        self.always = always
        self.begun = False
        self.status = 500

    async def whole(
        self, answer: Answer, headers: Headers | None = None, *, body: bool = True
    ) -> None:
        """Send an answer with its length; without its body for a HEAD."""
        await self._start(answer.status, [*answer.with_length(), *(headers or ())])
        await self.send({"type": "http.response.body", "body": answer.body if body else b""})

    async def long(
        self, answer: LongAnswer, headers: Headers, *, body: bool, gone: Awaitable[None]
    ) -> None:
        """Send an answer as it comes; one that breaks off ends the connection, never silently.

        `gone` returns when the client has left: the server itself would let us talk on.
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
            # Returning without the last part makes the server cut the connection.
            note_fault("any", "broken-off", error)
        finally:
            answer.reply.close()  # first: waiting for the tasks may be cancelled in its turn
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
