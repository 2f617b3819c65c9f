"""Session lookup: session, user and customer, read from Postgres at every request.

Requests that arrive together become one lookup. A lookup never answers a request that came after
it began: that is what makes a revocation exact, and one round trip for many what makes it cheap.
"""

import asyncio
import hashlib
from collections.abc import Callable, Sequence
from time import perf_counter
from typing import Final

from gateway import store
from gateway.metrics import LOOKUP_SECONDS, LOOKUPS
from service_runtime.data_loader import DataLoader
from service_runtime.logs import get
from service_runtime.postgres import (
    LookupPool,
    connect,
    is_infrastructure,
    is_not_migrated,
    is_overload,
)

CONNECTIONS: Final = 2
#: From a request's arrival to the answer of the store; beyond it the store counts as unavailable.
LOOKUP_DEADLINE_SECONDS: Final = 0.5
#: Connecting takes four round trips on a slow wire, and goes on when its callers are given up.
CONNECT_SECONDS: Final = 3.0
_BATCH: Final = 500
#: As many as are answered within the deadline with room to spare; the others hear it at once.
_WAITING: Final = 4_000
_MAX_TOUCHED: Final = 10_000
_TOUCH_EVERY_SECONDS: Final = 1.0
#: No session has this hash: a check looks it up as a request would look up its own.
_NOBODYS_HASH: Final = bytes(32)

_HIT: Final = LOOKUPS.labels("hit")
_MISS: Final = LOOKUPS.labels("miss")
_ERROR: Final = LOOKUPS.labels("error")


class StoreAwayError(Exception):
    """The sessions cannot be read now: this says nothing about whether one exists."""


class StoreBusyError(StoreAwayError):
    """The sessions can be read, but not all that are asked for at this moment."""


def hash_of(session_id: bytes) -> bytes:
    """Return what a session is kept under."""
    return hashlib.sha256(session_id).digest()


class Visitors:
    """Reads visitors; `idle_seconds` is how long a session lives without being used."""

    def __init__(self, url: str, *, idle_seconds: float) -> None:
        self._url = url
        self._pool = LookupPool(
            url,
            name="gateway-visitors",
            size=CONNECTIONS,
            connect_seconds=CONNECT_SECONDS,
            statement_seconds=LOOKUP_DEADLINE_SECONDS,
        )
        self._idle = idle_seconds
        #: At most once a minute; oftener only where sessions live for minutes.
        self._touch_after = min(60.0, idle_seconds / 10)
        self._lookups: DataLoader[bytes, store.Visitor, store.Connection] = DataLoader(
            self._pool.connection,
            self._read,
            parallel=CONNECTIONS,
            batch_size=_BATCH,
            waiting=_WAITING,
            deadline_seconds=LOOKUP_DEADLINE_SECONDS,
        )
        self._touched: set[bytes] = set()

    async def open(self) -> None:
        """Connect beforehand, so that the first request need not wait for it.

        A store that is unavailable may come later.
        """
        try:
            await self._pool.open()
        except Exception as error:
            if not is_infrastructure(error):
                raise
            get().warning("session_store_unavailable", error=repr(error))

    async def find(self, session_id: bytes) -> store.Visitor | None:
        """Return the visitor of a session id, or None when there is no such live session.

        Raises StoreAwayError when that cannot be known.
        """
        try:  # as below, without its frame: this is in the path of every request
            return await self._lookups.load(hash_of(session_id))
        except Exception as error:
            raise _refused(error) from error

    async def find_by_hash(self, id_hash: bytes) -> store.Visitor | None:
        """Return the visitor of a session by its hash; as `find`."""
        try:
            return await self._lookups.load(id_hash)
        except Exception as error:
            raise _refused(error) from error

    async def check(self) -> None:
        """Raise unless lookups work, on the path of a request and within its deadline."""
        try:
            await self._lookups.check(_NOBODYS_HASH)
        except Exception as error:
            if is_not_migrated(error):
                raise RuntimeError("the tables are missing: run `gateway migrate`") from error
            raise

    async def check_store(self) -> None:
        """Raise unless a lookup works on a new connection."""
        connection = await connect(self._url, name="gateway-check", connect_seconds=CONNECT_SECONDS)
        try:
            await store.read_visitors(connection, [_NOBODYS_HASH], self._idle, self._touch_after)
        finally:
            connection.terminate()

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

    async def close(self) -> None:
        """End the lookups; callers that still wait get StoreAwayError."""
        await self._lookups.close()
        self._pool.close()

    async def _read(
        self, connection: store.Connection, hashes: Sequence[bytes]
    ) -> dict[bytes, store.Visitor]:
        started = perf_counter()
        try:
            found = await store.read_visitors(connection, hashes, self._idle, self._touch_after)
        except Exception as error:
            get().warning("session_store_unavailable", error=repr(error), sessions=len(hashes))
            raise
        finally:
            LOOKUP_SECONDS.observe(perf_counter() - started)
        # Counted by the batch: a counter's lock costs as much as the rest of a call.
        _HIT.inc(len(found))
        _MISS.inc(len(hashes) - len(found))
        return found


def _refused(error: Exception) -> StoreAwayError:
    """Return what a request is told of a failed lookup: whatever it was, never "anonymous"."""
    _ERROR.inc()
    return (StoreBusyError if is_overload(error) else StoreAwayError)(repr(error))
