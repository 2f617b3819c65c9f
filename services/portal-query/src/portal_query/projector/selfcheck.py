"""The self-check: tests once a minute whether the invariants hold, for some assigned customers.

Recently published ones come first, then the next page of all. The cost a minute is the same for a
thousand customers and for a million. Each invariant is cheap, and no single defect can satisfy it
by itself. They compare counts with repairs, revisions with the writer's, and Redis with Postgres.
A customer with a violation is counted, named in the log and rebuilt from its stream.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from typing import Final

from portal_query.chunks import chunks
from portal_query.document import Version
from portal_query.projector import metrics
from portal_query.projector.chain import Trouble
from portal_query.projector.freshness import Freshness
from portal_query.projector.lately import Lately
from portal_query.projector.lists import WriterAwayError, WriterLists
from portal_query.projector.refolds import Refolds
from portal_query.read_model import invariants
from portal_query.read_model.invariants import Tallied
from portal_query.read_model.postgres import Line, is_infrastructure, is_too_slow
from portal_query.read_model.redis import CacheAwayError, DocumentCache
from service_runtime.backoff import Backoff
from service_runtime.clock import Clock
from service_runtime.logs import get

_CHUNK: Final = 50
#: Time limit of a round, however large the customers are.
_ROUND_SECONDS: Final = 5.0


class Invariant(StrEnum):
    """An invariant, by the name in its metric."""

    SUMS_EQUAL = "sums-equal"
    COUNTS_ARE_REPAIRS = "counts-are-repairs"
    NOT_BELOW_ZERO = "not-below-zero"
    NOT_AHEAD_OF_WRITER = "not-ahead-of-writer"
    REDIS_NOT_AHEAD = "redis-not-ahead"


for _one in Invariant:
    # Prometheus sees no increase in a counter that appears with its first violation.
    metrics.INVARIANT_VIOLATIONS.labels(_one.value)


def broken(one: Tallied, document: Version | None) -> list[Invariant]:
    """Return the violated invariants. `document` is Redis's version, read before the tally."""
    found = []
    if not one.units == one.months == one.statuses == one.repairs:
        found.append(Invariant.SUMS_EQUAL)
    if one.different:
        found.append(Invariant.COUNTS_ARE_REPAIRS)
    if one.below_zero:
        found.append(Invariant.NOT_BELOW_ZERO)
    if document is not None and document > one.version:
        found.append(Invariant.REDIS_NOT_AHEAD)
    return found


class SelfCheck:
    """A periodic check of assigned customers: at most `customers` in each period of `seconds`."""

    def __init__(
        self,
        *,
        lately: Lately,
        line: Line,
        cache: DocumentCache,
        lists: WriterLists,
        freshness: Freshness,
        refolds: Refolds,
        owns: Callable[[int], bool],
        clock: Clock,
        seconds: float,
        customers: int,
    ) -> None:
        self._lately = lately
        self._line = line
        self._cache = cache
        self._lists = lists
        self._freshness = freshness
        self._refolds = refolds
        self._owns = owns
        self._clock = clock
        self._seconds = seconds
        self._customers = customers
        self._after = 0

    async def run(self) -> None:
        """Check without end. Wait while Postgres is unavailable."""
        backoff = Backoff("self-check")
        while True:
            await asyncio.sleep(self._seconds)
            try:
                await self.round()
            except Exception as error:
                if not (is_infrastructure(error) or is_too_slow(error)):
                    raise
                await backoff.failed(error)
            else:
                backoff.worked()

    async def round(self) -> None:
        """Check recently published customers, up to half of the round, then a page of all."""
        deadline = self._clock.monotonic() + _ROUND_SECONDS
        lately = [one for one in self._lately.take(self._customers // 2) if self._owns(one)]
        checked = 0
        for chunk in chunks(lately, _CHUNK):
            if self._clock.monotonic() < deadline:
                checked += len(await self._check(chunk))
        checked += await self._page(self._customers - checked, set(lately), deadline)
        metrics.INVARIANT_CHECKED.set(checked)

    async def _page(self, limit: int, seen: set[int], deadline: float) -> int:
        """Check the next page without `seen`, until `deadline`. Return how many were checked."""
        begin = self._after
        async with self._line.connection() as connection:
            page = await invariants.customers_after(connection, begin, limit)
        tallied: list[Tallied] = []
        for chunk in chunks(page, _CHUNK):
            # Advance before the check: a chunk that is too slow must not come first for ever.
            self._after = chunk[-1]
            tallied += await self._check(
                [one for one in chunk if self._owns(one) and one not in seen]
            )
            if self._clock.monotonic() >= deadline:
                break
        else:
            self._after = page[-1] if len(page) == limit else 0
        await self._compare_with_writer(begin, tallied)
        return len(tallied)

    async def _check(self, customers: Sequence[int]) -> list[Tallied]:
        if not customers:
            return []
        # Read the copy first, then its source: only the source can have advanced meanwhile.
        documents = await self._documents(customers)
        async with self._line.connection() as connection:
            tallied = await invariants.tally(connection, customers)
        for one in tallied:
            document = documents.get(one.customer_id)
            found = broken(one, document)
            if found:
                self._violated(one, found, document=document)
        return tallied

    async def _documents(self, customers: Sequence[int]) -> Mapping[int, Version]:
        try:
            return await self._cache.versions(customers)
        except CacheAwayError:
            return {}

    async def _compare_with_writer(self, begin: int, tallied: Sequence[Tallied]) -> None:
        """Compare with heads that are read after the customers: a stream only grows.

        After a restore it may shrink. The comparison of heads comes first then, and its customers
        already wait for a rebuild.
        """
        if not tallied or not self._freshness.ready():
            return
        try:
            page = await self._lists.heads(after=begin)
        except WriterAwayError:
            return
        heads = {head.customer_id: head.revision for head in page.heads}
        for one in tallied:
            if page.next_after is not None and one.customer_id > page.next_after:
                break
            head = heads.get(one.customer_id, 0)
            ours = not one.still and not self._refolds.waits(one.customer_id)
            if ours and one.revision > head:
                self._violated(one, [Invariant.NOT_AHEAD_OF_WRITER], head=head)

    def _violated(self, one: Tallied, found: Sequence[Invariant], **more: object) -> None:
        for invariant in found:
            metrics.INVARIANT_VIOLATIONS.labels(invariant.value).inc()
        get().error(
            "invariant_violated",
            customer_id=one.customer_id,
            invariants=[invariant.value for invariant in found],
            tallied=str(one),
            **{name: str(value) for name, value in more.items()},
        )
        self._refolds.ask(one.customer_id, Trouble.INVARIANT)
