"""Who asks: session, user and customer, read from Postgres at every request.

Requests that arrive together are asked together: those that come while two readings are under
way wait for the next one, so that a reading never answers a request that came after it began.
That is what makes a revocation exact, and one round trip for many what makes it cheap.
"""

import asyncio
import hashlib
from collections.abc import Awaitable, Callable
from typing import Final

from gateway import store
from gateway.metrics import LOOKUP_SECONDS, LOOKUPS
from service_runtime.logs import get
from service_runtime.postgres import connect, is_infrastructure

LANES: Final = 2
#: From a request's arrival to the answer of the store; beyond it the store counts as away.
LOOKUP_DEADLINE_SECONDS: Final = 0.5
#: A deadline that is noticed so much later says that nothing ran here meanwhile.
_STALLED_SECONDS: Final = 0.1
#: Nobody waits for it longer than for the store, and it is four ways there and back on a slow wire.
CONNECT_SECONDS: Final = 3.0
_MAX_BATCH: Final = 500
_MAX_TOUCHED: Final = 10_000
_TOUCH_EVERY_SECONDS: Final = 1.0

_HIT: Final = LOOKUPS.labels("hit")
_MISS: Final = LOOKUPS.labels("miss")
_ERROR: Final = LOOKUPS.labels("error")


class StoreAwayError(Exception):
    """The sessions cannot be read now: this says nothing about whether one exists."""


def hash_of(session_id: bytes) -> bytes:
    """Return what a session is kept under."""
    return hashlib.sha256(session_id).digest()


class _Batch:
    """Requests that will be answered by one reading."""

    __slots__ = ("began", "deadline", "reading", "waiting")

    def __init__(self, began: float) -> None:
        self.began = began
        self.waiting: dict[bytes, list[asyncio.Future[store.Visitor | None]]] = {}
        self.deadline: asyncio.TimerHandle | None = None
        self.reading: asyncio.Task[None] | None = None

    def settle(self, found: dict[bytes, store.Visitor]) -> None:
        for id_hash, futures in self.waiting.items():
            visitor = found.get(id_hash)
            (_MISS if visitor is None else _HIT).inc(len(futures))
            for future in futures:
                if not future.done():
                    future.set_result(visitor)
        self._close()

    def fail(self, reason: str) -> None:
        for futures in self.waiting.values():
            _ERROR.inc(len(futures))
            for future in futures:
                if not future.done():
                    future.set_exception(StoreAwayError(reason))
        self._close()

    def _close(self) -> None:
        self.waiting = {}
        if self.deadline is not None:
            self.deadline.cancel()


class _Lane:
    """One connection for readings, opened when it is needed and again after it broke."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._connection: store.Connection | None = None
        self._connecting: asyncio.Task[store.Connection] | None = None

    async def connection(self) -> store.Connection:
        """Return the connection. A reading that is given up does not give up connecting.

        Where that takes most of a reading's time, there would never be a connection again.
        """
        if self._connection is not None and not self._connection.is_closed():
            return self._connection
        if self._connecting is None:
            self._connecting = asyncio.get_running_loop().create_task(self._connect())
            self._connecting.add_done_callback(_hear)
        return await asyncio.shield(self._connecting)

    async def _connect(self) -> store.Connection:
        try:
            self._connection = await connect(
                self._url,
                name="gateway-visitors",
                connect_seconds=CONNECT_SECONDS,
                statement_seconds=LOOKUP_DEADLINE_SECONDS,
            )
        finally:
            self._connecting = None
        return self._connection

    def drop(self) -> None:
        if self._connection is not None:
            self._connection.terminate()
            self._connection = None

    def close(self) -> None:
        if self._connecting is not None:
            self._connecting.cancel()
        self.drop()


def _hear(connecting: asyncio.Task[store.Connection]) -> None:
    """Take note of how it ended: who waited for it may have given up."""
    if not connecting.cancelled():
        connecting.exception()


class Visitors:
    """Reads visitors; `idle_seconds` is how long a session lives without being used."""

    def __init__(self, url: str, *, idle_seconds: float) -> None:
        self._idle = idle_seconds
        #: At most once a minute; oftener only where sessions live for minutes.
        self._touch_after = min(60.0, idle_seconds / 10)
        self._free = [_Lane(url) for _ in range(LANES)]
        self._lanes = tuple(self._free)
        self._pending: _Batch | None = None
        self._touched: set[bytes] = set()

    async def open(self) -> None:
        """Connect beforehand, so that the first request need not wait; a store away may come."""
        for lane in self._lanes:
            try:
                await lane.connection()
            except Exception as error:
                if not is_infrastructure(error):
                    raise
                get().warning("session-store-away", error=repr(error), waiting=0)
                return

    async def find(self, session_id: bytes) -> store.Visitor | None:
        """Return the visitor of a session id, or None when there is no such live session.

        Raises StoreAwayError when that cannot be known.
        """
        return await self.find_by_hash(hash_of(session_id))

    def find_by_hash(self, id_hash: bytes) -> Awaitable[store.Visitor | None]:
        """Return the visitor of a session by its hash; as `find`."""
        loop = asyncio.get_running_loop()
        batch = self._pending
        if batch is None or len(batch.waiting) >= _MAX_BATCH:
            if batch is not None:
                batch.fail("more requests than the store can be asked for")
            batch = self._pending = _Batch(loop.time())
            batch.deadline = loop.call_later(LOOKUP_DEADLINE_SECONDS, self._give_up, batch)
            loop.call_soon(self._flush)
        future: asyncio.Future[store.Visitor | None] = loop.create_future()
        batch.waiting.setdefault(id_hash, []).append(future)
        return future

    def used(self, visitor: store.Visitor) -> None:
        """Note that a person uses the session; it is written later, off the request's path."""
        if visitor.stale and len(self._touched) < _MAX_TOUCHED:
            self._touched.add(visitor.id_hash)

    async def write_touches(self, pool: store.Pool, beat: Callable[[], None]) -> None:
        """Write down once a second which sessions were used; runs until it is cancelled."""
        while True:
            beat()
            await asyncio.sleep(_TOUCH_EVERY_SECONDS)
            await self.write_touched(pool)

    async def write_touched(self, pool: store.Pool) -> None:
        """Write down which sessions were used since the last time; try again if it fails."""
        if not self._touched:
            return
        touched, self._touched = self._touched, set()
        try:
            await store.touch_sessions(pool, list(touched), self._idle)
        except Exception as error:
            if not is_infrastructure(error):
                raise
            self._touched |= touched
            get().warning("touch-failed", sessions=len(touched), error=repr(error))

    def close(self) -> None:
        """Drop the connections; who still waits is told that the store is away."""
        if self._pending is not None:
            self._pending.fail("the gateway is stopping")
            self._pending = None
        for lane in self._lanes:
            lane.close()

    def _flush(self) -> None:
        batch = self._pending
        if batch is None or not self._free:
            return
        self._pending = None
        batch.reading = asyncio.get_running_loop().create_task(self._read(batch, self._free.pop()))

    async def _read(self, batch: _Batch, lane: _Lane) -> None:
        started = asyncio.get_running_loop().time()
        try:
            found = await store.read_visitors(
                await lane.connection(), list(batch.waiting), self._idle, self._touch_after
            )
            batch.settle(found)
        except asyncio.CancelledError:
            lane.drop()
        except Exception as error:  # noqa: BLE001 - whatever it is, it is never "anonymous"
            lane.drop()
            get().warning("session-store-away", error=repr(error), waiting=len(batch.waiting))
            batch.fail(repr(error))
        finally:
            LOOKUP_SECONDS.observe(asyncio.get_running_loop().time() - started)
            self._free.append(lane)
            self._flush()

    def _give_up(self, batch: _Batch) -> None:
        loop = asyncio.get_running_loop()
        if loop.time() - batch.began > LOOKUP_DEADLINE_SECONDS + _STALLED_SECONDS:
            # This process stood still, not the store: its answer may be here, and not yet read.
            batch.began = loop.time() - LOOKUP_DEADLINE_SECONDS
            batch.deadline = loop.call_later(_STALLED_SECONDS / 2, self._give_up, batch)
            return
        if self._pending is batch:
            self._pending = None
        batch.fail("no answer in time")
        if batch.reading is not None:
            batch.reading.cancel()
