"""Reconciliation: compares stored customers with the heads of the writer's streams.

It proves that no event is missing. It covers all customers after a discontinuity, changed ones
each minute, and all again slowly, without end. Changed are customers with a grown stream, and
customers published since. An unlisted event that fits at the end is applied although no stream
grew. A difference counts only for changes accepted before a time that Kafka's offsets have passed:
later ones are in transit. After a discontinuity the offsets prove less, because an older event may
be lost behind it. The watermark then waits until such an event has arrived, or should have.
"""

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from portal_query.projector import metrics
from portal_query.projector.chain import Trouble
from portal_query.projector.freshness import Freshness
from portal_query.projector.lately import Lately
from portal_query.projector.lists import Head, WriterAwayError, WriterLists
from portal_query.projector.publish import Publisher
from portal_query.projector.refolds import Refolds
from portal_query.read_model import folding, standing
from portal_query.read_model.postgres import Line, is_infrastructure
from portal_query.read_model.standing import Standing
from repair_events import topic
from service_runtime.backoff import Backoff
from service_runtime.clock import Clock
from service_runtime.logs import get

#: Overlap of one comparison of changed heads with the previous one.
_MARGIN: Final = timedelta(seconds=10)
_TICK_SECONDS: Final = 0.25

Until = dict[int, datetime]


@dataclass(slots=True)
class Differences:
    """Customers to reconcile: `behind` lack events or hold others, `ahead` hold more.

    A customer ahead may only have advanced since its head was read. It is compared, but not
    frozen.
    """

    behind: list[int] = field(default_factory=list)
    ahead: list[int] = field(default_factory=list)


class Heads:
    """The reconciliation of the assigned partitions."""

    def __init__(
        self,
        *,
        lists: WriterLists,
        line: Line,
        freshness: Freshness,
        refolds: Refolds,
        publisher: Publisher,
        published: Lately,
        clock: Clock,
        fold_version: str,
        lately_seconds: float = 60.0,
        page_seconds: float = 10.0,
    ) -> None:
        self._lists = lists
        self._line = line
        self._freshness = freshness
        self._refolds = refolds
        self._publisher = publisher
        self._published = published
        self._clock = clock
        self._fold_version = fold_version
        self._lately_seconds = lately_seconds
        self._page_seconds = page_seconds
        self._since: datetime | None = None
        self._sweep_after = 0

    async def run(self) -> None:
        """Compare without end. Wait while the writer or Postgres is unavailable."""
        backoff = Backoff("compare heads")
        lately = sweep = self._clock.monotonic()
        while True:
            await asyncio.sleep(_TICK_SECONDS)
            try:
                await self._after_discontinuity()
                now = self._clock.monotonic()
                if now - lately >= self._lately_seconds:
                    await self.lately()
                    lately = now
                if now - sweep >= self._page_seconds:
                    await self._sweep_page()
                    sweep = now
            except Exception as error:
                if not (isinstance(error, WriterAwayError) or is_infrastructure(error)):
                    raise
                await backoff.failed(error)
            else:
                backoff.worked()

    async def all(self, until: Until) -> list[list[Head]]:
        """Compare all heads of these partitions. Return those in transit, by page."""
        on_their_way = []
        after: int | None = 0
        while after is not None:
            after, heads = await self._page(after, until)
            if heads:
                on_their_way.append(heads)
        return on_their_way

    async def lately(self) -> None:
        """Compare the heads changed since the last call, and the customers published since."""
        until = self._freshness.applied_until()
        if not until:
            return
        published = set(self._published.take())
        try:
            grown = await self._grown_since((self._since or min(until.values())) - _MARGIN, until)
        except BaseException:
            self._published.add(published)
            raise
        for customer in published - grown:
            self._refolds.ask(customer, Trouble.HEADS)
        self._since = min(until.values())

    async def _grown_since(self, since: datetime, until: Until) -> set[int]:
        """Compare the heads changed since `since`. Return their customers."""
        grown: set[int] = set()
        after: int | None = 0
        while after is not None:
            page = await self._lists.heads(after=after, changed_since=since)
            heads = _due(page.heads, until)
            async with self._line.connection() as connection:
                held = await standing.standing(connection, [head.customer_id for head in heads])
            await self._act(compare(heads, held, self._fold_version))
            grown.update(head.customer_id for head in page.heads)
            after = page.next_after
        return grown

    async def _after_discontinuity(self) -> None:
        breaks = self._freshness.uncompared()
        until = {p: t for p, t in self._freshness.applied_until().items() if p in breaks}
        if not until or len(until) < len(breaks):
            return  # wait until each of them has passed Kafka's offsets once
        for heads in await self.all(until):
            await self._arrival(heads, breaks)
        # Readers must see which customers are frozen before the watermark of the others moves.
        await self._publisher.flush()
        self._freshness.compared(breaks)
        get().info("heads_compared", partitions=sorted(until))

    async def _arrival(self, heads: list[Head], breaks: dict[int, int]) -> None:
        """Wait for heads in transit, and compare those that should have arrived.

        Return early when a partition breaks again: the comparison then starts over.
        """
        while heads and self._freshness.uncompared() == breaks:
            due = _due(heads, self._freshness.applied_until())
            async with self._line.connection() as connection:
                held = await standing.standing(connection, [head.customer_id for head in heads])
            # A customer that is ahead has advanced meanwhile.
            await self._act(Differences(compare(due, held, self._fold_version).behind))
            heads = [head for head in _lacking(heads, held) if head not in due]
            if heads:
                await asyncio.sleep(_TICK_SECONDS)

    async def _sweep_page(self) -> None:
        until = self._freshness.applied_until()
        if until:
            after, _ = await self._page(self._sweep_after, until)
            self._sweep_after = after or 0

    async def _page(self, after: int, until: Until) -> tuple[int | None, list[Head]]:
        """Compare one page of heads, and the stored customers in its range of ids.

        Return where the next page begins (None at the end), and the heads in transit.
        """
        page = await self._lists.heads(after=after)
        async with self._line.connection() as connection:
            held = await standing.standing_between(connection, after, page.next_after)
        due = _due(page.heads, until)
        differences = compare(due, held, self._fold_version)
        listed = {head.customer_id for head in page.heads}
        differences.ahead += [
            one.customer_id
            for one in held.values()
            if one.customer_id not in listed
            and one.revision > 0
            and topic.partition(one.customer_id) in until
        ]
        await self._act(differences)
        ours = [head for head in page.heads if topic.partition(head.customer_id) in until]
        return page.next_after, [head for head in _lacking(ours, held) if head not in due]

    async def _act(self, differences: Differences) -> None:
        behind = [one for one in differences.behind if not self._refolds.waits(one)]
        if behind:
            async with self._line.transaction() as connection:
                await folding.insert_new(connection, behind, self._fold_version)
                await standing.freeze(connection, behind)
            self._publisher.changed(behind)
            metrics.HEADS_DIFFERENT.inc(len(behind))
            get().warning("heads_differ", customers=len(behind), first=behind[0])
        for customer in (*behind, *differences.ahead):
            self._refolds.ask(customer, Trouble.HEADS)


def compare(heads: Iterable[Head], held: dict[int, Standing], our_fold_version: str) -> Differences:
    """Return the customers that differ from their heads.

    Frozen customers are left out: they already wait for a rebuild.
    """
    differences = Differences()
    for head in heads:
        metrics.HEADS_COMPARED.inc()
        one = held.get(head.customer_id)
        if one is None:
            differences.behind.append(head.customer_id)
        elif one.still:
            continue
        elif one.fold_version != our_fold_version or one.revision < head.revision:
            differences.behind.append(head.customer_id)
        elif one.revision > head.revision:
            differences.ahead.append(head.customer_id)
        elif one.event_id != head.event_id:
            differences.behind.append(head.customer_id)
    return differences


def _due(heads: Iterable[Head], until: Until) -> list[Head]:
    """Return the heads of assigned partitions that should have arrived."""
    due = []
    for head in heads:
        passed = until.get(topic.partition(head.customer_id))
        if passed is not None and head.changed_at < passed:
            due.append(head)
    return due


def _lacking(heads: Iterable[Head], held: dict[int, Standing]) -> list[Head]:
    """Return the heads not reached yet. Frozen customers are left out, as they are marked stale."""
    lacking = []
    for head in heads:
        one = held.get(head.customer_id)
        if one is None or (
            not one.still and one.revision <= head.revision and one.event_id != head.event_id
        ):
            lacking.append(head)
    return lacking
