"""Waiting for a customer's next revision: requests with `Portal-Min-Revision`, and open pages.

Hints over Redis are fast and may be lost.
A query of Postgres, once a second, covers the customers with a waiter.
Either only announces a newer version; the reader then reads it.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing, contextmanager
from typing import Final

import orjson
from fastapi import APIRouter, Request
from fastapi.responses import StreamingResponse
from prometheus_client import Gauge
from starlette.types import Receive, Scope, Send

from portal_access.token import Identity
from portal_query.api.answers import Wanted
from portal_query.document import Version
from portal_query.read_model.documents import Documents, ReadModelAwayError
from portal_query.read_model.redis import CacheAwayError, DocumentCache
from service_runtime.errors import Problem
from service_runtime.logs import get
from service_runtime.metrics import REGISTRY

WAIT_SECONDS: Final = 2.0
#: Requests that wait at a time. Each holds one of the 64 connections of its gateway. Requests for a
#: revision that never comes must not hold them all, nor one customer these.
WAITS: Final = 32
WAITS_A_CUSTOMER: Final = 8
HEARTBEAT_SECONDS: Final = 5.0
#: An event, because a page receives no comments; a page that misses two is no longer live.
_ALIVE: Final = b"event: alive\ndata:\n\n"
#: Shortest time between two events of a stream, however fast its customer changes.
_PAUSE_SECONDS: Final = 0.25
_ASK_SECONDS: Final = 1.0
_STREAMS_A_CUSTOMER: Final = 100

_STREAMS = Gauge("repair_sse_streams", "Open streams of revisions.", registry=REGISTRY)


class Watch:
    """One waiter's view of a customer: the newest announced version."""

    def __init__(self) -> None:
        self.version = Version(-1, -1)
        self.closing = False
        self._changed = asyncio.Event()

    def tell(self, version: Version) -> None:
        """Record a version; ignore one that is not newer."""
        if version > self.version:
            self.version = version
            self._changed.set()

    def close(self) -> None:
        """Wake the waiter for the last time."""
        self.closing = True
        self._changed.set()

    async def change(self, seconds: float) -> bool:
        """Wait for a newer version; return False after so many seconds without one."""
        try:
            async with asyncio.timeout(seconds):
                await self._changed.wait()
        except TimeoutError:
            return False
        self._changed.clear()
        return True


class Revisions:
    """All waiters of a process, fed by one subscription and one query a second."""

    def __init__(self, cache: DocumentCache, documents: Documents) -> None:
        self._cache = cache
        self._documents = documents
        self._watches: dict[int, set[Watch]] = {}
        self._waits: Counter[int] = Counter()
        self._closing = False

    async def listen(self) -> None:
        """Forward hints without end; while Redis is unavailable, `ask` alone finds changes."""
        silent = False  # whether the warning has been logged
        while True:
            try:
                async for hint in self._cache.hints():
                    silent = False
                    self._tell(hint.customer_id, hint.version)
            except CacheAwayError as error:
                if not silent:
                    get().warning("no hints", reason=str(error))
                silent = True
            await asyncio.sleep(_ASK_SECONDS)

    async def ask(self) -> None:
        """Query Postgres once a second, without end, for the customers with a waiter."""
        while True:
            await asyncio.sleep(_ASK_SECONDS)
            if not self._watches:
                continue
            try:
                found = await self._documents.versions(self._watches)
            except ReadModelAwayError as error:
                get().info("revisions not known", reason=str(error))
                continue
            for customer_id, version in found.items():
                self._tell(customer_id, version)

    @contextmanager
    def watch(self, customer_id: int) -> Iterator[Watch]:
        """Subscribe to a customer's versions within the block."""
        watch = Watch()
        watch.closing = self._closing
        watches = self._watches.setdefault(customer_id, set())
        watches.add(watch)
        try:
            yield watch
        finally:
            watches.discard(watch)
            if not watches and self._watches.get(customer_id) is watches:
                del self._watches[customer_id]

    async def reached(self, customer_id: int, wanted: Wanted) -> bool:
        """Wait up to two seconds until Postgres or Redis holds `wanted`; return whether.

        A request beyond the bounds of waiting requests returns without waiting.
        """
        with self.watch(customer_id) as watch:
            try:
                async with asyncio.timeout(WAIT_SECONDS):
                    watch.tell(await self._documents.version(customer_id))
                    if not wanted.reached_by(watch.version) and self._may_wait(customer_id):
                        await self._wait(customer_id, watch, wanted)
            except TimeoutError:
                pass
            return wanted.reached_by(watch.version)

    def _may_wait(self, customer_id: int) -> bool:
        return self._waits[customer_id] < WAITS_A_CUSTOMER and self._waits.total() < WAITS

    async def _wait(self, customer_id: int, watch: Watch, wanted: Wanted) -> None:
        self._waits[customer_id] += 1
        try:
            while not wanted.reached_by(watch.version) and not watch.closing:
                await watch.change(WAIT_SECONDS)
        finally:
            self._waits[customer_id] -= 1
            if not self._waits[customer_id]:
                del self._waits[customer_id]

    def watchers(self, customer_id: int) -> int:
        """Return the number of waiters for this customer."""
        return len(self._watches.get(customer_id, ()))

    async def close(self) -> None:
        """End all waits: open streams would delay the server's stop."""
        self._closing = True
        for watches in self._watches.values():
            for watch in watches:
                watch.close()

    def _tell(self, customer_id: int, version: Version) -> None:
        for watch in self._watches.get(customer_id, ()):
            watch.tell(version)


class _Stream(StreamingResponse):
    """One stream of events; the sending task acquires and releases its place."""

    def __init__(self, streams: "Streams", customer_id: int) -> None:
        self._events = streams.events(customer_id)
        super().__init__(
            self._events,
            media_type="text/event-stream",
            headers={"Cache-Control": "no-store", "Vary": "Cookie", "X-Accel-Buffering": "no"},
        )
        self._streams = streams
        self._customer_id = customer_id

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the stream. Raises Problem (503) when all places are taken."""
        with self._streams.place(self._customer_id):
            async with aclosing(self._events):
                await super().__call__(scope, receive, send)


class Streams:
    """The open streams of a process, with their limit."""

    def __init__(self, revisions: Revisions, documents: Documents, limit: int) -> None:
        self._revisions = revisions
        self._documents = documents
        self._limit = limit
        self._open: Counter[int] = Counter()

    @contextmanager
    def place(self, customer_id: int) -> Iterator[None]:
        """Hold a place for a stream. Raises Problem (503) without one; a page then polls."""
        if self._open.total() >= self._limit or self._open[customer_id] >= _STREAMS_A_CUSTOMER:
            raise Problem(
                503,
                "too-many-streams",
                "Too many open streams",
                "Read the counts from time to time instead.",
                headers={"Retry-After": "30"},
            )
        self._open[customer_id] += 1
        _STREAMS.inc()
        try:
            yield
        finally:
            self._open[customer_id] -= 1
            if not self._open[customer_id]:
                del self._open[customer_id]
            _STREAMS.dec()

    async def events(self, customer_id: int) -> AsyncGenerator[bytes, None]:
        """Yield the text of one stream: the current version, then each newer version."""
        with self._revisions.watch(customer_id) as watch:
            yield b"retry: 2000\n\n"
            try:
                watch.tell(await self._documents.version(customer_id))
            except ReadModelAwayError:
                yield b": not known yet\n\n"
            while not watch.closing:
                changed = await watch.change(HEARTBEAT_SECONDS)
                yield (
                    _event(customer_id, watch.version) if changed and not watch.closing else _ALIVE
                )
                await asyncio.sleep(_PAUSE_SECONDS if changed and not watch.closing else 0)
            # The process stops: the page reconnects to another one after this time.
            yield b"retry: 500\n\n"


def _event(customer_id: int, version: Version) -> bytes:
    # 64-bit integers go as text: JavaScript's JSON.parse keeps 53 bits of a number.
    said = {
        "customer": str(customer_id),
        "refold": str(version.refold),
        "revision": version.revision,
    }
    data = orjson.dumps(said)
    return b"id: %d.%d\nevent: revision\ndata: %b\n\n" % (version.refold, version.revision, data)


def live_routes(streams: Streams) -> APIRouter:
    """Return the route of the stream."""
    routes = APIRouter()

    @routes.get("/customer/api/events/")
    async def events(request: Request) -> StreamingResponse:
        identity: Identity = request.state.identity
        return _Stream(streams, identity.customer_id)

    return routes
