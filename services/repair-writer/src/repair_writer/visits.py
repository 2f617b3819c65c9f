"""Visit requests of customers: one new repair for each break, in one transaction."""

from collections.abc import Sequence

from repair_events.repair import Repair
from repair_writer.asking import (
    Ask,
    Outcome,
    RefusedError,
    customer_unknown,
    kept_outcome,
    lock,
    until_won,
)
from repair_writer.commands import append_change, held_after
from repair_writer.history import History
from repair_writer.repair import Change, Record, decide
from repair_writer.store.repairs import load_by_id
from repair_writer.store.rows import HeldRepair
from repair_writer.store.transaction import Connection, Pool


async def request_visit(
    pool: Pool, ask: Ask, customer_id: int, repairs: Sequence[Repair]
) -> Outcome:
    """Record new repairs of one customer, in their order, all or none.

    Return the outcome with the last revision. Raises RefusedError when the customer has no profile.
    Raises it also when the idempotency key is running or was used for another request.
    """

    async def once(connection: Connection) -> Outcome:
        heads = await lock(connection, ask, [customer_id])
        loaded = await load_by_id(connection, ask.key_digest, None)
        kept = kept_outcome(ask, loaded)
        if kept is not None:
            return kept
        if customer_id not in heads:
            raise RefusedError(customer_unknown(customer_id))
        history = History(heads.values(), loaded.now)
        visit = tuple(_recorded(history, ask, repair) for repair in repairs)
        outcome = Outcome(revision=visit[-1].revision, created=True, visit=visit)
        await history.save(connection, ask.keep(outcome))
        return outcome

    return await until_won(pool, once)


def _recorded(history: History, ask: Ask, repair: Repair) -> HeldRepair:
    change = decide(None, Record(repair=repair))
    assert isinstance(change, Change)  # noqa: S101 - there is nothing that it could repeat
    head = append_change(history, ask.author, change, None)
    return held_after(history, head, repair, None)
