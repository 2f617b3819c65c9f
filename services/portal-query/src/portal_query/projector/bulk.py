"""Work on many customers, several at a time, for the command line."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterable
from datetime import datetime
from typing import Final, NamedTuple, TypeVar

from portal_query.projector.lists import WriterLists
from portal_query.projector.refold import Outcome, Refolder
from portal_query.read_model import standing
from portal_query.read_model.counts import load_counts, render_all
from portal_query.read_model.postgres import Line
from portal_query.read_model.redis import CacheAwayError, DocumentCache
from service_runtime.backoff import Backoff

WorkerT = TypeVar("WorkerT")
_BUSY_SECONDS: Final = 0.2
_AHEAD: Final = 1_000


class Known(NamedTuple):
    """A customer of the writer or of the read model.

    `events` is the length of its stream, 0 when the writer has none. `refold` is the epoch of its
    last rebuild. It is None without a row in the read model, and None for a frozen customer. A
    killed rebuild leaves the customer frozen, and its epoch then proves nothing.
    """

    customer_id: int
    events: int
    refold: int | None


async def everybody(lists: WriterLists, line: Line, *, first: int = 1) -> AsyncIterator[Known]:
    """Yield all customers from `first` on, ascending by id. One page is in memory at a time."""
    after: int | None = first - 1
    while after is not None:
        page = await lists.heads(after=after)
        async with line.connection() as connection:
            held = await standing.standing_between(connection, after, page.next_after)
        events = {head.customer_id: head.revision for head in page.heads}
        for customer in sorted(events.keys() | held.keys()):
            one = held.get(customer)
            yield Known(
                customer, events.get(customer, 0), one.refold if one and not one.still else None
            )
        after = page.next_after


async def these(customers: Collection[int], lists: WriterLists, line: Line) -> AsyncIterator[Known]:
    """Yield these customers, ascending by id, unknown ones included."""
    async with line.connection() as connection:
        held = await standing.standing(connection, list(customers))
    for customer in sorted(set(customers)):
        page = await lists.heads(after=customer - 1, limit=1)
        events = {head.customer_id: head.revision for head in page.heads}
        one = held.get(customer)
        yield Known(
            customer, events.get(customer, 0), one.refold if one and not one.still else None
        )


def refolded_since(one: Known, moment: datetime) -> bool:
    """Return whether the customer was rebuilt since `moment`. Epochs are times in milliseconds."""
    return one.refold is not None and one.refold >= int(moment.timestamp() * 1000)


async def for_each(
    customers: AsyncIterator[Known],
    workers: Iterable[WorkerT],
    work: Callable[[WorkerT, Known], Awaitable[None]],
) -> None:
    """Pass each customer to the next free worker. The first failure ends all work."""
    workers = list(workers)
    waiting: asyncio.Queue[Known | None] = asyncio.Queue(_AHEAD)

    async def fill() -> None:
        async for one in customers:
            await waiting.put(one)
        for _ in workers:
            await waiting.put(None)

    async def go(worker: WorkerT) -> None:
        while (one := await waiting.get()) is not None:
            await work(worker, one)

    async with asyncio.TaskGroup() as group:
        group.create_task(fill())
        for worker in workers:
            group.create_task(go(worker))


async def refold(
    refolder: Refolder, line: Line, cache: DocumentCache, customer: int
) -> tuple[Outcome, bool]:
    """Rebuild a customer even if it agrees with its stream, then publish it.

    Return the outcome, and False when Redis was unavailable. Wait while another process rebuilds
    the customer.
    """
    backoff = Backoff(f"refold {customer}", longest=_BUSY_SECONDS)
    while True:
        outcome = await refolder.look_after(customer, force=True)
        if outcome is not Outcome.BUSY:
            break
        await backoff.failed(RuntimeError("another process is refolding this customer"))
    async with line.connection() as connection:
        counts = await load_counts(connection, [customer])
    try:
        await cache.put_many(await render_all(counts))
    except CacheAwayError:
        return outcome, False
    return outcome, True
