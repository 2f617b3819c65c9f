"""The publisher: sends the counts of changed customers to Redis, beside the apply loop.

The set of changed customers grows while Redis is slow and shrinks while it is fast. The applier
never waits for it. Customers of a failed round remain in the set.
"""

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Final

from portal_query.chunks import chunks
from portal_query.projector import metrics
from portal_query.projector.positions import Mark, Positions
from portal_query.read_model.counts import load_counts, render_all
from portal_query.read_model.postgres import Line, is_infrastructure
from portal_query.read_model.redis import CacheAwayError, DocumentCache
from service_runtime.backoff import Backoff
from service_runtime.failpoints import fp
from service_runtime.ops import Health

_CHUNK: Final = 100
#: While catching up all customers change all the time. A rest after each round limits publishing
#: to a tenth of the time. While live there is no rest.
_REST: Final = 9
_LONGEST_REST_SECONDS: Final = 5.0
_LOOK_SECONDS: Final = 0.1
_IDLE_SECONDS: Final = 5.0


class Publisher:
    """A set of changed customers, published in rounds."""

    def __init__(
        self,
        line: Line,
        cache: DocumentCache,
        positions: Positions,
        behind: Callable[[], bool],
        published: Callable[[Collection[int]], None] = lambda _: None,
    ) -> None:
        """Take the parts of a round. `published` receives the customers put into Redis."""
        self._line = line
        self._cache = cache
        self._positions = positions
        self._behind = behind
        self._published = published
        self._changed: set[int] = set()
        self._marks: dict[int, Mark] = {}
        self._begun = 0
        self._done = 0
        self._wake = asyncio.Event()
        self._round_ended = asyncio.Event()
        self._backoff = Backoff("publish", longest=2.0)

    def changed(self, customers: Collection[int]) -> None:
        """Add these customers to the next round."""
        self._changed.update(customers)
        self._wake.set()

    def applied(self, customers: Collection[int], marks: Mapping[int, Mark]) -> None:
        """Add these customers to the next round. Its success publishes these marks too."""
        self._marks.update(marks)
        self.changed(customers)

    async def run(self, health: Health) -> None:
        """Publish without end. Retry after a failure."""
        loop = asyncio.get_running_loop()
        while True:
            health.beat("publish")
            await self._woken()
            begun = loop.time()
            await self.round()
            self._round_ended.set()
            self._round_ended = asyncio.Event()
            rest = min(_LONGEST_REST_SECONDS, _REST * (loop.time() - begun))
            while rest > 0 and self._behind():
                await asyncio.sleep(min(rest, _LOOK_SECONDS))
                rest -= _LOOK_SECONDS

    async def flush(self) -> None:
        """Wait until all changes so far have been published, without a time limit."""
        wanted = self._begun + 1
        while self._done < wanted:
            self._wake.set()
            await self._round_ended.wait()

    async def round(self) -> bool:
        """Publish all changes so far. Return False when a failure left some in the set."""
        self._wake.clear()
        self._begun += 1
        number = self._begun
        waiting, self._changed = self._changed, set()
        marks = dict(self._marks)
        metrics.UNPUBLISHED.set(len(waiting))
        try:
            for chunk in chunks(sorted(waiting), _CHUNK):
                await self._publish(chunk)
                waiting.difference_update(chunk)
        except BaseException as error:
            self._changed |= waiting
            metrics.UNPUBLISHED.set(len(self._changed))
            if not (isinstance(error, CacheAwayError) or is_infrastructure(error)):
                raise
            metrics.PUBLISH_FAILURES.inc()
            self._wake.set()
            await self._backoff.failed(error)
            return False
        self._backoff.worked()
        metrics.UNPUBLISHED.set(len(self._changed))
        self._positions.published(marks)
        self._done = number
        return True

    async def _publish(self, customers: Sequence[int]) -> None:
        async with self._line.connection() as connection:
            counts = await load_counts(connection, customers)
        fp("projector.before_redis")
        await self._cache.put_many(await render_all(counts))
        metrics.PUBLISHED.inc(len(counts))
        self._published([one.customer_id for one in counts])

    async def _woken(self) -> None:
        try:
            async with asyncio.timeout(_IDLE_SECONDS):
                await self._wake.wait()
        except TimeoutError:
            return
