"""Cancellation of changes whose client disconnected, so that an overload does no useless work."""

import asyncio
from typing import Final

from fastapi.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service_runtime.errors import CLIENT_CLOSED
from service_runtime.logs import get

_READS: Final = frozenset({"GET", "HEAD", "OPTIONS"})


class CancelDeparted:
    """Middleware that cancels a change when its client disconnects before the response starts.

    It acts after the last byte of the body. The cancelled transaction is rolled back.
    A committed transaction stays, and a repeated Idempotency-Key returns its response.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http" or scope["method"] in _READS:
            await self._app(scope, receive, send)
            return
        request = asyncio.current_task()
        assert request is not None  # noqa: S101 - an application runs in a task
        read = asyncio.Event()
        departed = False

        async def receive_body() -> Message:
            message = await receive()
            if not message.get("more_body", False):
                read.set()
            return message

        async def watch() -> None:
            nonlocal departed
            await read.wait()
            while (await receive())["type"] != "http.disconnect":
                pass
            departed = True
            request.cancel()

        watcher = asyncio.create_task(watch())

        async def answer(message: Message) -> None:
            watcher.cancel()
            await send(message)

        try:
            await self._app(scope, receive_body, answer)
        except asyncio.CancelledError:
            # Any other cancellation, such as a process stop, is passed on.
            if not departed or request.uncancel():
                raise
            get().info("client_departed", path=scope["path"])
            await Response(status_code=CLIENT_CLOSED)(scope, receive, send)
        finally:
            watcher.cancel()
