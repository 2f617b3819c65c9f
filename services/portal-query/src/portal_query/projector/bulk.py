"""The same work for many customers, several at a time: what the command line does."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from datetime import datetime
from typing import TypeVar

from portal_query.document import render
from portal_query.projector.lists import WriterLists
from portal_query.projector.patience import Patience
from portal_query.projector.refold import Outcome, Refolder
from portal_query.read_model.counts import load_counts
from portal_query.read_model.postgres import Line
from portal_query.read_model.redis import CacheAwayError, DocumentCache
from portal_query.read_model.standing import Standing, standing_between

WorkerT = TypeVar("WorkerT")
_BUSY_SECONDS = 0.2


async def for_each(
    customers: Iterable[int],
    workers: Iterable[WorkerT],
    work: Callable[[WorkerT, int], Awaitable[None]],
) -> None:
    """Give each customer to the next worker that is free; the first failure ends it all."""
    waiting = iter(list(customers))

    async def go(worker: WorkerT) -> None:
        for customer in waiting:
            await work(worker, customer)

    async with asyncio.TaskGroup() as group:
        for worker in workers:
            group.create_task(go(worker))


async def everybody(lists: WriterLists, line: Line) -> dict[int, Standing | None]:
    """Return all customers that the writer or the read model knows, with where they stand."""
    known: dict[int, Standing | None] = {}
    after: int | None = 0
    while after is not None:
        page = await lists.heads(after=after)
        known |= dict.fromkeys(head.customer_id for head in page.heads)
        after = page.next_after
    async with line.connection() as connection:
        known |= await standing_between(connection, 0, None)
    return dict(sorted(known.items()))


def not_refolded_since(known: dict[int, Standing | None], moment: datetime) -> list[int]:
    """Return whom a refold of all has still to do: refold numbers are times in milliseconds."""
    limit = int(moment.timestamp() * 1000)
    return [customer for customer, one in known.items() if one is None or one.refold < limit]


async def refold(
    refolder: Refolder, line: Line, cache: DocumentCache, customer: int
) -> tuple[Outcome, bool]:
    """Refold a customer whatever its list says, and publish it; False when Redis did not take it.

    Waits while another process is at the customer.
    """
    patience = Patience(f"refold {customer}", longest=_BUSY_SECONDS)
    while True:
        outcome = await refolder.look_after(customer, force=True)
        if outcome is not Outcome.BUSY:
            break
        await patience.failed(RuntimeError("another process is refolding this customer"))
    async with line.connection() as connection:
        counts = await load_counts(connection, [customer])
    try:
        await cache.put_many([render(one) for one in counts])
    except CacheAwayError:
        return outcome, False
    return outcome, True
