"""Session lookup: session, user and customer, read from Postgres at every request.

Requests that arrive together share one lookup. A request never joins a lookup that has already
begun, so a revocation takes effect at the next request. One round trip serves many requests.
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
#: Seconds from a request's arrival to the store's result; beyond it the store counts as
#: unavailable.
LOOKUP_DEADLINE_SECONDS: Final = 0.5
#: A connect takes four round trips on a slow network, and continues when its callers give up.
CONNECT_SECONDS: Final = 3.0
_BATCH: Final = 500
#: The bound on waiting requests: the store serves these within the deadline, with a margin. Further
#: requests are rejected at once.
_WAITING: Final = 4_000
_MAX_TOUCHED: Final = 10_000
_TOUCH_EVERY_SECONDS: Final = 1.0
#: No session has this hash. A check looks it up as a request looks up its own.
_NOBODYS_HASH: Final = bytes(32)

_HIT: Final = LOOKUPS.labels("hit")
_MISS: Final = LOOKUPS.labels("miss")
_ERROR: Final = LOOKUPS.labels("error")


class StoreAwayError(Exception):
    """An error for sessions that cannot be read now; the session may or may not exist."""


class StoreBusyError(StoreAwayError):
    """An error for a lookup beyond the number that the store serves at this moment."""


def hash_of(session_id: bytes) -> bytes:
    """Return the SHA-256 under which a session is stored."""
    return hashlib.sha256(session_id).digest()


class Visitors:
    """The lookup of visitors; `idle_seconds` is the lifetime of a session without use."""

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
        #: A use is written at most once a minute; more often only if sessions live for minutes.
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
        """Connect in advance, so that the first request need not wait.

        An unavailable store is logged; lookups connect again later.
        """
        try:
            await self._pool.open()
        except Exception as error:
            if not is_infrastructure(error):
                raise
            get().warning("session_store_unavailable", error=repr(error))

    async def find(self, session_id: bytes) -> store.Visitor | None:
        """Return the visitor of a session id, or None if there is no such live session.

        Raises StoreAwayError if the store cannot be read, StoreBusyError if it is overloaded.
        """
        try:  # as in `find_by_hash`, without its frame: this is in the path of every request
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
        """Raise unless a lookup works, on the path of a request and within its deadline."""
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
        """Note that a person uses the session; the write follows off the request's path."""
        if visitor.stale and len(self._touched) < _MAX_TOUCHED:
            self._touched.add(visitor.id_hash)

    async def write_touches(self, pool: store.Pool, beat: Callable[[], None]) -> None:
        """Write once a second which sessions were used, until it is cancelled."""
        while True:
            beat()
            await asyncio.sleep(_TOUCH_EVERY_SECONDS)
            await self.write_touched(pool)

    async def write_touched(self, pool: store.Pool) -> None:
        """Write which sessions were used since the last call; keep them for a retry if it fails."""
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
        # One count a batch: a counter's lock costs as much as the rest of a call.
        _HIT.inc(len(found))
        _MISS.inc(len(hashes) - len(found))
        return found


def _refused(error: Exception) -> StoreAwayError:
    """Return the error of a failed lookup; a failure never counts as "anonymous"."""
    _ERROR.inc()
    return (StoreBusyError if is_overload(error) else StoreAwayError)(repr(error))
