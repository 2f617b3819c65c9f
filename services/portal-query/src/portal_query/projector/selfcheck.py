"""Looks once a minute whether what must always hold does hold, for some of our customers at a time.

Those published lately first, then the next page of all: a million customers cost as much a minute
as a thousand do. Each fact is cheap and says something that no single defect can make true by
itself: counts against repairs, our revision against the writer's, Redis against Postgres.
A customer for whom one is broken is counted, named in the log and made again from its list.
"""

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from enum import StrEnum
from typing import Final

from portal_query.document import Version
from portal_query.projector import metrics
from portal_query.projector.chain import Trouble
from portal_query.projector.freshness import Freshness
from portal_query.projector.lately import Lately
from portal_query.projector.lists import WriterAwayError, WriterLists
from portal_query.projector.patience import Patience
from portal_query.projector.refolds import Refolds
from portal_query.read_model import invariants
from portal_query.read_model.invariants import Tallied
from portal_query.read_model.postgres import Line, is_infrastructure, is_too_slow
from portal_query.read_model.redis import CacheAwayError, DocumentCache
from service_runtime.clock import Clock
from service_runtime.logs import get

_CHUNK: Final = 50
#: A round ends after this much time, however large the customers are.
_ROUND_SECONDS: Final = 5.0


class Invariant(StrEnum):
    """What must hold, by the name that its metric has."""

    SUMS_EQUAL = "sums-equal"
    COUNTS_ARE_REPAIRS = "counts-are-repairs"
    NOT_BELOW_ZERO = "not-below-zero"
    NOT_AHEAD_OF_WRITER = "not-ahead-of-writer"
    REDIS_NOT_AHEAD = "redis-not-ahead"


for _one in Invariant:
    # A counter that appears with its first violation has, for Prometheus, never increased.
    metrics.INVARIANT_VIOLATIONS.labels(_one.value)


def broken(one: Tallied, document: Version | None) -> list[Invariant]:
    """Return what does not hold for a customer; `document` is what Redis held before it was tallied."""
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
    """Checks customers of our partitions: at most `customers` in each period of `seconds`."""

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
        """Check for ever; waits while Postgres is away."""
        patience = Patience("self-check")
        while True:
            await asyncio.sleep(self._seconds)
            try:
                await self.round()
            except Exception as error:
                if not (is_infrastructure(error) or is_too_slow(error)):
                    raise
                await patience.failed(error)
            else:
                patience.worked()

    async def round(self) -> None:
        """Check those published lately, with up to half of the customers of a round, then a page."""
        deadline = self._clock.monotonic() + _ROUND_SECONDS
        lately = [one for one in self._lately.take(self._customers // 2) if self._owns(one)]
        checked = 0
        for chunk in _chunks(lately):
            if self._clock.monotonic() < deadline:
                checked += len(await self._check(chunk))
        checked += await self._page(self._customers - checked, set(lately), deadline)
        metrics.INVARIANT_CHECKED.set(checked)

    async def _page(self, limit: int, seen: set[int], deadline: float) -> int:
        """Check the next page without those seen, as far as the time goes; return how many that were."""
        begin = self._after
        async with self._line.connection() as connection:
            page = await invariants.customers_after(connection, begin, limit)
        tallied: list[Tallied] = []
        for chunk in _chunks(page):
            # Before it is looked at: one that takes too long must not be the first again for ever.
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
        # First the copy, then what it is a copy of: that can only have gone on meanwhile.
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
        """Compare with heads that are read after the customers were: a list only grows.

        After a restore it does not. Then the comparison of heads comes first, and its customers
        are looked after already.
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


def _chunks(customers: Sequence[int]) -> Iterator[Sequence[int]]:
    for start in range(0, len(customers), _CHUNK):
        yield customers[start : start + _CHUNK]
