"""Event streams: open for hours, over connections of their own, and never beyond a session.

A stream does not count as use of the session. Every few seconds its session is read again, in one
batch with those of other requests. When the session has ended, or acts for another customer, the
stream ends too.
"""

import asyncio
from collections import Counter
from collections.abc import Mapping
from typing import Final

from starlette.types import Send

from gateway.answers import AWAY, OVERLOADED, TOO_MANY, Headers, retry_after
from gateway.metrics import OPEN_STREAMS
from gateway.proxy import ServiceRefusedError, kept_headers, note_fault, refuse_status
from gateway.request import Request
from gateway.routes import Route
from gateway.store import Visitor
from gateway.upstream import Call, Reply, Upstream, UpstreamAwayError, UpstreamBrokenError
from gateway.visitor import StoreAwayError, Visitors

RECHECK_SECONDS: Final = 3.0
#: A service sends heartbeats at shorter intervals.
IDLE_SECONDS: Final = 60.0
PER_SESSION: Final = 12
IN_ALL: Final = 1_000
_FOR_NGINX: Final = (b"x-accel-buffering", b"no")


class Streams:
    """A relay of streams until either side, the session or the process ends."""

    def __init__(
        self,
        upstreams: Mapping[str, Upstream],
        visitors: Visitors,
        *,
        recheck_seconds: float = RECHECK_SECONDS,
    ) -> None:
        self._upstreams = upstreams
        self._visitors = visitors
        self._recheck = recheck_seconds
        self._closing = asyncio.Event()
        self._open: Counter[bytes] = Counter()

    async def close(self) -> None:
        """End all streams; browsers reconnect, to another process or to this one's successor."""
        self._closing.set()

    async def relay(
        self,
        request: Request,
        route: Route,
        visitor: Visitor,
        call: Call,
        *,
        send: Send,
        headers: Headers,
    ) -> int:
        """Relay a stream until it ends; return the status that was sent.

        Raises ServiceRefusedError, only before anything is sent.
        """
        self._enter(visitor)
        try:
            reply = await self._begin(call, route)
            try:
                await send(
                    {
                        "type": "http.response.start",
                        "status": reply.status,
                        "headers": [*kept_headers(reply, route), _FOR_NGINX, *headers],
                    }
                )
                await self._until_the_first_end(request, visitor, reply, route, send)
                return reply.status
            finally:
                reply.close()
        finally:
            self._leave(visitor)

    def _enter(self, visitor: Visitor) -> None:
        if self._closing.is_set() or self._open.total() >= IN_ALL:
            raise ServiceRefusedError(OVERLOADED, [retry_after(5)])
        if self._open[visitor.id_hash] >= PER_SESSION:
            raise ServiceRefusedError(TOO_MANY, [retry_after(30)])
        self._open[visitor.id_hash] += 1
        OPEN_STREAMS.inc()

    def _leave(self, visitor: Visitor) -> None:
        self._open[visitor.id_hash] -= 1
        if not self._open[visitor.id_hash]:
            del self._open[visitor.id_hash]
        OPEN_STREAMS.dec()

    async def _begin(self, call: Call, route: Route) -> Reply:
        try:
            reply = await self._upstreams[route.to].send(call)
        except (UpstreamAwayError, UpstreamBrokenError) as error:
            note_fault(route.to, "away", error)
            raise ServiceRefusedError(AWAY) from error
        try:
            refuse_status(reply, route)
        except ServiceRefusedError:
            reply.close()
            raise
        return reply

    async def _until_the_first_end(
        self, request: Request, visitor: Visitor, reply: Reply, route: Route, send: Send
    ) -> None:
        gone = asyncio.create_task(request.gone())
        others = [
            asyncio.create_task(self._pump(reply, route, send)),
            asyncio.create_task(self._until_ended(visitor)),
            asyncio.create_task(self._closing.wait()),
        ]
        try:
            await asyncio.wait([gone, *others], return_when=asyncio.FIRST_COMPLETED)
            client_is_gone = gone.done()
        finally:
            for task in (gone, *others):
                task.cancel()
            await asyncio.gather(gone, *others, return_exceptions=True)
        if not client_is_gone:
            await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _pump(self, reply: Reply, route: Route, send: Send) -> None:
        try:
            async for chunk in reply.chunks():
                await send({"type": "http.response.body", "body": chunk, "more_body": True})
        except (UpstreamAwayError, UpstreamBrokenError) as error:
            note_fault(route.to, "stream-broken", error)

    async def _until_ended(self, visitor: Visitor) -> None:
        """Return when the session has ended; while the store is unavailable, continue."""
        while True:
            await asyncio.sleep(self._recheck)
            try:
                now = await self._visitors.find_by_hash(visitor.id_hash)
            except StoreAwayError:
                continue
            if now is None or (now.user_id, now.customer_id) != (
                visitor.user_id,
                visitor.customer_id,
            ):
                return
