"""The reader of cached counts: from Redis while it is available, otherwise from Postgres.

Either way the watermark is read before the counts, so it never promises more than they hold.
"""

import asyncio
from collections.abc import Awaitable, Coroutine, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from functools import lru_cache
from typing import Any, Final, TypeVar

from portal_query.chunks import chunks
from portal_query.document import (
    FROZEN_UNKNOWN,
    Document,
    State,
    Version,
    nothing_yet,
    version_of,
)
from portal_query.read_model.counts import (
    Connection,
    Pool,
    load_as_of,
    load_counts,
    load_versions,
    render_all,
)
from portal_query.read_model.redis import CacheAwayError, CachedView, DocumentCache
from repair_events import topic
from service_runtime.data_loader import DataLoader
from service_runtime.logs import get
from service_runtime.postgres import (
    connect,
    is_infrastructure,
    is_not_migrated,
    is_overload,
    lease,
)

DEADLINE_SECONDS: Final = 2.0
_CUSTOMERS_A_READ: Final = 20
_READS_AT_ONCE: Final = 3
_VERSIONS_A_READ: Final = 1_000
_WAITING: Final = 2_000
#: Concurrent write-backs to Redis. Further counts are written back when they are read again.
_PUT_BACK_AT_ONCE: Final = 200
#: Comparisons of written-back counts with the tables. After these they are left to expire.
_PUT_BACK_ROUNDS: Final = 3
_TIMES_SECONDS: Final = 1.0

Result = TypeVar("Result")


NO_TABLES: Final = "the read model's tables are missing: run `portal-query migrate`"


class ReadModelAwayError(Exception):
    """A read that neither Redis nor Postgres answered in time. The request may be retried."""


class ReadModelBusyError(ReadModelAwayError):
    """A read that Postgres refused because it is overloaded. It is available."""


@dataclass(frozen=True, slots=True)
class Answer:
    """One list of one customer as bytes, with its state."""

    state: State
    body: bytes


@dataclass(frozen=True, slots=True)
class _Stored:
    document: Document
    as_of: datetime | None


class Documents:
    """A reader of counts for the API; one instance for a process."""

    def __init__(self, cache: DocumentCache, pool: Pool) -> None:
        self._cache = cache
        self._pool = pool
        self._stored: DataLoader[int, _Stored, Connection] = DataLoader(
            lambda: lease(pool),
            self._load,
            parallel=_READS_AT_ONCE,
            batch_size=_CUSTOMERS_A_READ,
            waiting=_WAITING,
            deadline_seconds=DEADLINE_SECONDS,
        )
        self._versions: DataLoader[int, Version, Connection] = DataLoader(
            lambda: lease(pool),
            load_versions,
            parallel=1,
            batch_size=_VERSIONS_A_READ,
            waiting=_WAITING,
            deadline_seconds=DEADLINE_SECONDS,
        )
        self._working: set[asyncio.Task[None]] = set()
        self._times: dict[int, datetime] | None = None
        self._times_good_until = 0.0

    async def read(self, customer_id: int, view: str) -> Answer:
        """Return a list of a customer, an empty one when nothing has been folded yet.

        Raises ReadModelAwayError.
        """
        partition = _partition(customer_id)
        remembered = self._times
        try:
            cached = await self._cache.read(customer_id, partition, view)
        except CacheAwayError:
            try:
                return _answer(await self._load_one(customer_id), view)
            except ReadModelAwayError:
                cached = await self._read_once_more(customer_id, partition, view)
        if cached is None:
            stored = await self._load_one(customer_id)
            if stored.document.refold and len(self._working) < _PUT_BACK_AT_ONCE:
                # Without a row nothing is known. From Redis the empty lists would count as known.
                self._later(self._put_back(stored.document))
            return _answer(stored, view)
        if cached.as_of is None and not cached.frozen:
            # Redis lost the watermarks. Those read from Postgres before these counts still hold.
            self._refresh_times()
            if remembered is None:
                return _answer(await self._load_one(customer_id), view)
            cached = replace(cached, as_of=remembered.get(partition))
        return _cached_answer(cached)

    async def read_stored(self, customer_id: int, view: str) -> Answer:
        """Return a list of a customer from Postgres. Raises ReadModelAwayError."""
        return _answer(await self._load_one(customer_id), view)

    async def read_all(self, customer_id: int, views: Iterable[str]) -> list[Answer]:
        """Return several lists of a customer, all of one version. Raises ReadModelAwayError."""
        asked = list(views)
        # Simultaneous reads reach Redis in one call. Only a failure of Redis separates them.
        answers = await asyncio.gather(*(self.read(customer_id, view) for view in asked))
        if len({answer.state.tag for answer in answers}) == 1:
            return answers
        stored = await self._load_one(customer_id)
        return [_answer(stored, view) for view in asked]

    async def version(self, customer_id: int) -> Version:
        """Return a customer's version in Postgres, 0 without a row. Raises ReadModelAwayError."""
        with _refused():
            found = await self._versions.load(customer_id)
        return found or Version(0, 0)

    async def versions(self, customer_ids: Iterable[int]) -> dict[int, Version]:
        """Return the versions of these customers in Postgres. Those without a row are left out.

        Raises ReadModelAwayError.
        """
        asked = list(customer_ids)
        found: dict[int, Version] = {}
        for part in chunks(asked, _VERSIONS_A_READ):
            found |= await in_time(self._load_versions(part))
        return found

    async def check(self) -> None:
        """Raise ReadModelAwayError unless the paths of requests can read, within their deadline."""
        with _refused():
            await asyncio.gather(self._stored.check(0), self._versions.check(0))

    async def finish(self) -> None:
        """Wait for the work in progress beside the requests."""
        await asyncio.gather(*self._working, return_exceptions=True)

    async def close(self) -> None:
        """Wait for the work in progress beside the requests, then end the reads."""
        await self.finish()
        await self._stored.close()
        await self._versions.close()

    async def _read_once_more(self, customer_id: int, partition: int, view: str) -> CachedView:
        """Retry Redis while Postgres is unavailable: a slow answer of Redis is soon over.

        Raises ReadModelAwayError.
        """
        try:
            cached = await self._cache.read_when_rested(customer_id, partition, view)
        except CacheAwayError as error:
            raise ReadModelAwayError("neither Redis nor Postgres answers") from error
        if cached is None:
            raise ReadModelAwayError("Redis does not hold it, and Postgres does not answer")
        return cached

    async def _load_one(self, customer_id: int) -> _Stored:
        with _refused():
            stored = await self._stored.load(customer_id)
        if stored is None:  # pragma: no cover - _load answers for each customer
            raise ReadModelAwayError("Postgres gave no answer")
        return stored

    async def _load(
        self, connection: Connection, customer_ids: Sequence[int]
    ) -> dict[int, _Stored]:
        times = self._times = await load_as_of(connection)
        found = await load_counts(connection, customer_ids)
        by_id = {counts.customer_id: counts for counts in found}
        documents = await render_all(by_id.get(one) or nothing_yet(one) for one in customer_ids)
        return {
            document.customer_id: _Stored(document, times.get(_partition(document.customer_id)))
            for document in documents
        }

    async def _load_versions(self, customer_ids: Sequence[int]) -> dict[int, Version]:
        async with lease(self._pool) as connection:
            return await load_versions(connection, customer_ids)

    def _later(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._working.add(task)
        task.add_done_callback(self._working.discard)

    def _refresh_times(self) -> None:
        now = asyncio.get_running_loop().time()
        if now >= self._times_good_until:
            self._times_good_until = now + _TIMES_SECONDS
            self._later(self._load_times())

    async def _load_times(self) -> None:
        async def load() -> None:
            async with lease(self._pool) as connection:
                self._times = await load_as_of(connection)

        try:
            await in_time(load())
        except ReadModelAwayError as error:
            get().info("times not known", reason=str(error))

    async def _put_back(self, document: Document) -> None:
        """Write expired counts back to Redis, then check for newer ones in Postgres.

        Redis may take and lose newer counts between the read and the write. The older ones would
        then remain. Publishers commit before they publish, so the check finds the newer counts.
        """
        try:
            for _ in range(_PUT_BACK_ROUNDS):
                await self._cache.put_many([document])
                if await self.version(document.customer_id) <= document.version:
                    return
                document = (await self._load_one(document.customer_id)).document
        except (CacheAwayError, ReadModelAwayError) as error:
            get().info("document not put back", reason=str(error))


async def in_time(work: Awaitable[Result], seconds: float = DEADLINE_SECONDS) -> Result:
    """Return the result of `work`, which may take `seconds`.

    Raises ReadModelAwayError when Postgres is unavailable, slow or busy.
    """
    with _refused():
        async with asyncio.timeout(seconds):
            return await work


async def check_store(url: str) -> None:
    """Read counts over a new connection. Raise what the driver raises."""
    connection = await connect(url, name="portal-query-check")
    try:
        await load_as_of(connection)
        await load_counts(connection, [0])
    finally:
        connection.terminate()


@contextmanager
def _refused() -> Iterator[None]:
    """Raise ReadModelAwayError or ReadModelBusyError for errors of an unavailable Postgres."""
    try:
        yield
    except Exception as error:
        if is_not_migrated(error):
            raise ReadModelAwayError(NO_TABLES) from error
        if is_overload(error):
            raise ReadModelBusyError(f"Postgres: {error}") from error
        if is_infrastructure(error):
            reason = str(error) or "did not answer in time"
            raise ReadModelAwayError(f"Postgres: {reason}") from error
        raise


@lru_cache(maxsize=65_536)
def _partition(customer_id: int) -> int:
    return topic.partition(customer_id)


def _cached_answer(cached: CachedView) -> Answer:
    as_of = cached.as_of
    if cached.frozen:
        known = cached.frozen != FROZEN_UNKNOWN
        as_of = datetime.fromisoformat(cached.frozen) if known else None
    state = State(_version_of(cached.tag), cached.tag, as_of, bool(cached.frozen))
    return Answer(state, cached.body)


def _answer(stored: _Stored, view: str) -> Answer:
    document = stored.document
    cached = CachedView(document.tag, document.frozen, document.bodies[view], stored.as_of)
    return _cached_answer(cached)


_version_of = lru_cache(maxsize=16_384)(version_of)
