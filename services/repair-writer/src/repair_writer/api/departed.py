"""Changes whose client has gone: given up before they are decided, so that overload does no work for nobody."""

import asyncio
from typing import Final

from fastapi.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service_runtime.logs import get

_READS: Final = frozenset({"GET", "HEAD", "OPTIONS"})
#: nginx's status for a client that closed its connection; for the log and the metric alone.
_CLIENT_CLOSED: Final = 499


class CancelDeparted:
    """Cancels a change whose client closes the connection between its last byte and the answer.

    The cancelled transaction is rolled back. One that has been committed stays, and the request's
    Idempotency-Key returns its answer.
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
            # Another cancellation, as of a process that stops, goes on.
            if not departed or request.uncancel():
                raise
            get().info("client_departed", path=scope["path"])
            await Response(status_code=_CLIENT_CLOSED)(scope, receive, send)
        finally:
            watcher.cancel()
