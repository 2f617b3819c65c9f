"""Cached counts in Redis: replaced only by newer ones, read in batches, expired after a minute.

It is this service's only access to Redis. Redis is a copy that may be lost at any moment. Readers
fall back to Postgres on `CacheAwayError`. Writers retain what failed.
"""

import asyncio
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from datetime import datetime
from typing import Final, NamedTuple

from redis.asyncio import Redis

from portal_query.document import VIEWS, Document, Version
from service_runtime.clock import rfc3339
from service_runtime.data_loader import DataLoader
from service_runtime.errors import OverloadedError
from service_runtime.redis import RedisAway, RedisBusy, create_redis

LIFE_SECONDS: Final = 60
AS_OF_KEY: Final = "portal:as_of"
HINT_CHANNEL: Final = "portal:hint"

#: Limits of a call, which blocks Redis for all readers for some two milliseconds at most.
_PUT_CUSTOMERS: Final = 200
_PUT_BYTES: Final = 1 << 20
_PUTS_AT_ONCE: Final = 2
_READ_KEYS: Final = 200
_SLACK_SECONDS: Final = 0.1
_READS_WAITING: Final = 4_000
_HINT_POLL_SECONDS: Final = 5.0
_HINT_NUMBERS: Final = 3

# KEYS: one hash per customer. ARGV: seconds to live, channel, then per customer its id, refold,
# revision, tag, frozen and the three bodies. A frozen document also replaces an unfrozen one of the
# same version. The opposite change always has a higher epoch.
# Numbers are compared as text, the longer one being greater: they have 64 bits, Lua numbers 53.
_PUT: Final = """
local function compare(one, other)
  if #one ~= #other then return #one - #other end
  if one == other then return 0 end
  return one < other and -1 or 1
end
local hints = {}
for i, key in ipairs(KEYS) do
  local at = 3 + (i - 1) * 8
  local refold, revision, frozen = ARGV[at + 1], ARGV[at + 2], ARGV[at + 4]
  local held = redis.call('HMGET', key, 'refold', 'revision', 'frozen')
  local newer = 1
  if held[1] then
    newer = compare(refold, held[1])
    if newer == 0 then newer = compare(revision, held[2]) end
    if newer == 0 and held[3] == '' and frozen ~= '' then newer = 1 end
  end
  if newer > 0 then
    redis.call('HSET', key, 'refold', refold, 'revision', revision, 'tag', ARGV[at + 3],
      'frozen', frozen, 'units', ARGV[at + 5], 'months', ARGV[at + 6], 'statuses', ARGV[at + 7])
    hints[#hints + 1] = ARGV[at] .. ' ' .. refold .. ' ' .. revision
  end
  if newer >= 0 then redis.call('EXPIRE', key, ARGV[1]) end
end
if #hints > 0 then redis.call('PUBLISH', ARGV[2], table.concat(hints, '\\n')) end
return #hints
"""

# KEYS: the watermarks, then one hash per request. ARGV: the view of each request.
# The watermarks are read first, so they never promise more than the documents hold.
_READ: Final = """
local answer = {redis.call('HGETALL', KEYS[1])}
for i = 2, #KEYS do
  answer[i] = redis.call('HMGET', KEYS[i], 'tag', 'frozen', ARGV[i - 1])
end
return answer
"""


class CacheAwayError(Exception):
    """A call that Redis did not answer, or not in time."""


class CacheBusyError(CacheAwayError):
    """A call beyond what this process can read at once. Redis is available."""


@dataclass(frozen=True, slots=True)
class CachedView:
    """One list of one customer as Redis holds it. `as_of` is the watermark of its partition."""

    tag: str
    frozen: str
    body: bytes
    as_of: datetime | None


@dataclass(frozen=True, slots=True)
class Hint:
    """A notice that this version of this customer was published. It may be lost."""

    customer_id: int
    version: Version


class _Asked(NamedTuple):
    customer_id: int
    partition: int
    view: str


#: No customer has this id. A check reads it as a request reads its own.
_NOBODYS: Final = _Asked(0, 0, VIEWS[0])


class DocumentCache:
    """A client that reads and writes cached counts; one for a process, shared by its tasks."""

    def __init__(self, client: Redis, *, timeout: float = 0.3, rest: float = 1.0) -> None:
        """Take a client that returns bytes, and two times in seconds.

        A read waits for `timeout`. After a failure all reads fail at once for `rest`.
        """
        self._client = client
        self._timeout = timeout
        self._rest = rest
        self._put = client.register_script(_PUT)
        self._read = client.register_script(_READ)
        # One call at a time: later requests enlarge the next call instead of the load on Redis.
        self._reads: DataLoader[_Asked, CachedView, None] = DataLoader(
            nullcontext,
            self._fetch,
            parallel=1,
            batch_size=_READ_KEYS,
            waiting=_READS_WAITING,
            # One call may be in flight already. Each has its own time limit.
            deadline_seconds=2 * timeout + _SLACK_SECONDS,
        )
        # A bound on concurrent writes, so that reads find a connection.
        self._putting = asyncio.Semaphore(_PUTS_AT_ONCE)
        self._closed_until = 0.0

    async def put_many(self, documents: Iterable[Document]) -> int:
        """Store each `Document` that is newer than the one in Redis. Return how many were.

        An equally old document only renews the expiry. Raises CacheAwayError. Some may have been
        stored by then, and storing them again does no harm.
        """
        taken = 0
        for part in _parts(documents):
            arguments: list[str | bytes | int] = [LIFE_SECONDS, HINT_CHANNEL]
            for document in part:
                arguments += _fields(document)
            keys = [key_of(document.customer_id) for document in part]
            async with self._putting:
                with _away():
                    taken += int(await self._put(keys=keys, args=arguments))
        return taken

    async def put_as_of(self, times: Mapping[int, datetime]) -> None:
        """Store the watermark of each partition (by its number). Raises CacheAwayError."""
        if times:
            items: list[int | str] = []
            for partition, moment in times.items():
                items += (partition, rfc3339(moment))
            with _away():
                await self._client.hset(AS_OF_KEY, items=items)

    async def read(self, customer_id: int, partition: int, view: str) -> CachedView | None:
        """Return a list of a customer, None when Redis does not hold it.

        Simultaneous calls share one request to Redis. A call never joins a request already in
        flight, so its result is never older than the call. Raises CacheAwayError when Redis is
        unavailable or slow, and at once for `rest` seconds after that.
        """
        with _away():
            return await self._reads.load(_Asked(customer_id, partition, view))

    async def check(self) -> None:
        """Raise CacheAwayError unless the path of a request can read, within its deadline."""
        with _away():
            await self._reads.check(_NOBODYS)

    async def close(self) -> None:
        """End the reads. Waiting callers get CacheAwayError."""
        await self._reads.close()

    async def read_when_rested(
        self, customer_id: int, partition: int, view: str
    ) -> CachedView | None:
        """Return what `read` returns, after the rest that follows a failure of Redis."""
        await asyncio.sleep(self._closed_until - asyncio.get_running_loop().time())
        return await self.read(customer_id, partition, view)

    async def versions(self, customer_ids: Iterable[int]) -> dict[int, Version]:
        """Return the versions that Redis holds of these customers. Missing ones are left out.

        Raises CacheAwayError.
        """
        asked = list(customer_ids)
        with _away():
            async with self._client.pipeline(transaction=False) as pipe:
                for customer_id in asked:
                    pipe.hmget(key_of(customer_id), "refold", "revision")
                rows = await pipe.execute()
        return {
            customer_id: Version(int(refold), int(revision))
            for customer_id, (refold, revision) in zip(asked, rows, strict=True)
            if refold is not None and revision is not None
        }

    async def hints(self) -> AsyncIterator[Hint]:
        """Yield hints without end. Raises CacheAwayError when the connection breaks."""
        with _away():
            async with self._client.pubsub(ignore_subscribe_messages=True) as subscription:
                await subscription.subscribe(HINT_CHANNEL)
                while True:
                    message = await subscription.get_message(timeout=_HINT_POLL_SECONDS)
                    if message is not None:
                        for hint in _hints_of(message["data"]):
                            yield hint

    async def _fetch(self, _: None, asked: Sequence[_Asked]) -> dict[_Asked, CachedView]:
        loop = asyncio.get_running_loop()
        if loop.time() < self._closed_until:
            raise CacheAwayError("Redis failed a moment ago")
        keys = [AS_OF_KEY, *(key_of(one.customer_id) for one in asked)]
        try:
            with _away():
                async with asyncio.timeout(self._timeout):
                    times, *rows = await self._read(keys=keys, args=[one.view for one in asked])
        except CacheBusyError:
            raise
        except CacheAwayError:
            self._closed_until = loop.time() + self._rest
            raise
        as_of = _times(times)
        views = (_view(row, as_of.get(one.partition)) for one, row in zip(asked, rows, strict=True))
        return {one: view for one, view in zip(asked, views, strict=True) if view is not None}


async def check_cache(url: str) -> None:
    """Read cached counts over a new connection. Raises CacheAwayError."""
    client = create_redis(url, connections=1)
    cache = DocumentCache(client)
    try:
        await cache.check()
    finally:
        await cache.close()
        await client.aclose()


def key_of(customer_id: int) -> str:
    """Return the Redis key of a customer."""
    return f"portal:{customer_id}"


@contextmanager
def _away() -> Iterator[None]:
    try:
        yield
    except (RedisBusy, OverloadedError) as error:
        raise CacheBusyError(str(error)) from error
    except RedisAway as error:
        raise CacheAwayError(str(error) or type(error).__name__) from error


def _parts(documents: Iterable[Document]) -> Iterator[list[Document]]:
    part: list[Document] = []
    size = 0
    for document in documents:
        bytes_more = sum(map(len, document.bodies.values()))
        if part and (len(part) >= _PUT_CUSTOMERS or size + bytes_more > _PUT_BYTES):
            yield part
            part, size = [], 0
        part.append(document)
        size += bytes_more
    if part:
        yield part


def _fields(document: Document) -> list[str | bytes | int]:
    return [
        document.customer_id,
        document.refold,
        document.revision,
        document.tag,
        document.frozen,
        *(document.bodies[view] for view in VIEWS),
    ]


def _times(flat: Sequence[bytes]) -> dict[int, datetime]:
    pairs = zip(flat[::2], flat[1::2], strict=True)
    return {int(partition): datetime.fromisoformat(text.decode()) for partition, text in pairs}


def _view(row: Sequence[bytes | None], as_of: datetime | None) -> CachedView | None:
    tag, frozen, body = row
    if tag is None or frozen is None or body is None:
        return None
    return CachedView(tag.decode(), frozen.decode(), body, as_of)


def _hints_of(data: bytes) -> Iterator[Hint]:
    for line in data.splitlines():
        numbers = line.split()
        if len(numbers) == _HINT_NUMBERS and all(number.isdigit() for number in numbers):
            customer, refold, revision = map(int, numbers)
            yield Hint(customer, Version(refold, revision))
