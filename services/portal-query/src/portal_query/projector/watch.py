"""The watermark loop: reads progress and offsets each second, and stores what follows from them."""

import asyncio
from datetime import datetime
from typing import Final

from portal_query.projector import metrics
from portal_query.projector.freshness import Freshness
from portal_query.projector.intake import Intake
from portal_query.projector.known_topic import NoTopicError
from portal_query.projector.lists import WriterAwayError, WriterLists
from portal_query.read_model.documents import NO_TABLES
from portal_query.read_model.postgres import Line, is_infrastructure
from portal_query.read_model.progress import generation, put_as_of
from portal_query.read_model.redis import CacheAwayError, DocumentCache
from service_runtime.backoff import Backoff
from service_runtime.clock import Clock
from service_runtime.kafka import is_infrastructure as kafka_is_away
from service_runtime.logs import get

_PERIOD_SECONDS: Final = 1.0
#: The generation of a read model without tables: no table has this number.
_NO_TABLES: Final = 0
#: Records sent a moment ago are usually published within this time.
_SETTLE_SECONDS: Final = 0.15


class NoTablesError(RuntimeError):
    """A read model without tables. The migrator creates them."""


class FreshnessLoop:
    """The loop that advances each partition's watermark, as far as is true."""

    def __init__(
        self,
        *,
        freshness: Freshness,
        intake: Intake,
        lists: WriterLists,
        line: Line,
        cache: DocumentCache,
        clock: Clock,
    ) -> None:
        self._freshness = freshness
        self._intake = intake
        self._lists = lists
        self._line = line
        self._cache = cache
        self._clock = clock
        self._writer = Backoff("freshness")
        self._redis_away = False
        self._tables: int | None = None

    def check_tables(self) -> None:
        """Raise NoTablesError when the read model had no tables at the last check."""
        if self._tables == _NO_TABLES:
            raise NoTablesError(NO_TABLES)

    async def run(self) -> None:
        """Advance without end. Watermarks stop while a dependency is unavailable."""
        while True:
            try:
                await self.period()
            except Exception as error:
                if not (
                    isinstance(error, (WriterAwayError, NoTopicError, NoTablesError))
                    or is_infrastructure(error)
                    or kafka_is_away(error)
                ):
                    raise
                self._measure()
                await self._writer.failed(error)
                continue
            self._writer.worked()
            await asyncio.sleep(_PERIOD_SECONDS - _SETTLE_SECONDS)

    async def period(self) -> None:
        """Read progress and offsets, wait for records in transit, then store the watermarks."""
        await self._look_for_new_tables()
        progress = await self._lists.progress()
        self._freshness.refused(progress.refused_rows)
        self._freshness.sent(progress.sent_until, await self._intake.ends())
        await asyncio.sleep(_SETTLE_SECONDS)
        await self._intake.settle_idle()
        # All records read so far are of this topic. No await may come before they are recorded.
        await self._intake.look_for_new_topic()
        self._freshness.advance()
        self._measure()
        times = self._freshness.as_of()
        if times:
            await self._tell_redis(times)
            async with self._line.connection() as connection:
                await put_as_of(connection, self._intake.topic, times, self._tables or _NO_TABLES)

    async def _look_for_new_tables(self) -> None:
        """Compare all heads again when the read model was dropped: new tables are empty.

        Raises NoTablesError while there are none.
        """
        async with self._line.connection() as connection:
            found = await generation(connection) or _NO_TABLES
        before, self._tables = self._tables, found
        if before not in (None, found):
            self._freshness.all_broken()
            get().warning("discontinuity", why="the read model's tables are missing or new")
        self.check_tables()

    async def _tell_redis(self, times: dict[int, datetime]) -> None:
        try:
            await self._cache.put_as_of(times)
        except CacheAwayError as error:
            if not self._redis_away:
                get().warning("as_of_not_in_redis", error=str(error))
            self._redis_away = True
        else:
            self._redis_away = False

    def _measure(self) -> None:
        times = self._freshness.as_of().values()
        if times:
            metrics.AS_OF_SECONDS.set((self._clock.now() - min(times)).total_seconds())
        self._intake.measure_lag()
