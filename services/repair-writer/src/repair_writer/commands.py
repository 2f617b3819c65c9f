"""Commands on one repair or profile: load under the lock, decide, save; one transaction each."""

from collections.abc import Callable

import msgspec

from repair_events.event import PROFILE_CHANGED, RECORDED, REMOVED, REQUESTED
from repair_events.repair import Customer, Repair
from repair_writer.asking import (
    Ask,
    Outcome,
    RaceLostError,
    RefusedError,
    customer_unknown,
    kept_outcome,
    key_running,
    lock,
    precondition_failed,
    until_won,
    visible,
)
from repair_writer.history import Author, History
from repair_writer.repair import (
    MOVED_AWAY,
    Change,
    Command,
    Correct,
    Decision,
    Record,
    Refusal,
    Unchanged,
    decide,
)
from repair_writer.store.answers import keep_outcome
from repair_writer.store.customers import make_customer, read_customer, save_profile
from repair_writer.store.repairs import Loaded, load_by_id, lock_and_load
from repair_writer.store.rows import Head, HeldCustomer, HeldRepair
from repair_writer.store.transaction import Connection, Pool


class _Profile(msgspec.Struct, frozen=True, kw_only=True):
    """A profile before a change (None: the customer is new) and after it."""

    before: HeldCustomer | None
    after: Customer


async def record_repair(pool: Pool, ask: Ask, repair: Repair) -> Outcome:
    """Record a new repair, which already has its id, and return the outcome.

    Raises RefusedError for an unknown customer and for a reference in use.
    Raises it also for a repair outside the binding.
    """
    ask.check_repair(repair)

    async def once(connection: Connection) -> Outcome:
        found = await lock_and_load(connection, repair, ask.key_digest, ask.key_lock)
        if found is None:
            raise RefusedError(key_running())
        heads, loaded = found
        kept = kept_outcome(ask, loaded)
        if kept is not None:
            return kept
        if repair.customer_id not in heads:
            raise RefusedError(customer_unknown(repair.customer_id))
        if loaded.held is not None:
            ask.check_repair(loaded.held.repair)
        decision = decide(_repair_of(loaded.held), Record(repair=repair))
        return await _save(connection, ask, heads, loaded, decision)

    return await until_won(pool, once)


async def change_repair(pool: Pool, ask: Ask, repair_id: str, command: Command) -> Outcome:
    """Change one repair and return the outcome. A correction may move it to another customer.

    The target customer must exist. Raises RefusedError when the change is not allowed.
    """
    target = command.given.get("customer_id") if isinstance(command, Correct) else None
    targets = [target] if isinstance(target, int) else []
    for customer_id in targets:
        ask.check_customer(customer_id)

    async def once(connection: Connection) -> Outcome:
        heads = await lock(connection, ask, targets, owning=repair_id)
        loaded = await load_by_id(connection, ask.key_digest, repair_id)
        kept = kept_outcome(ask, loaded)
        if kept is not None:
            return kept
        held = visible(ask, loaded.held)
        if held is not None:
            if held.repair.customer_id not in heads:
                raise RaceLostError
            ask.check_repair(held.repair)
            _check_expected(ask, held.event_id)
        decision = decide(_repair_of(held), command)
        return await _save(connection, ask, heads, loaded, decision)

    return await until_won(pool, once)


async def put_profile(
    pool: Pool,
    ask: Ask,
    customer_id: int,
    profile_after: Callable[[Customer | None], Customer],
    profile_tag: Callable[[Customer], str],
    *,
    may_make: bool = False,
) -> Outcome:
    """Save the profile that `profile_after` returns for the current one. Return the outcome.

    `profile_tag` returns the ETag of a profile, to compare with If-Match.
    With `may_make` a missing customer is created, at revision 1.
    Otherwise raises RefusedError for a missing customer, and in both cases for a wrong ETag.
    """
    ask.check_customer(customer_id)

    async def once(connection: Connection) -> Outcome:
        heads = await lock(connection, ask, [customer_id])
        made = customer_id not in heads and may_make
        if made:
            made = await make_customer(connection, customer_id)
            heads = await lock(connection, ask, [customer_id])
        loaded = await load_by_id(connection, ask.key_digest, None)
        kept = kept_outcome(ask, loaded)
        if kept is not None:
            return kept
        if customer_id not in heads:
            raise RefusedError(customer_unknown(customer_id))
        before = None if made else await read_customer(connection, customer_id)
        if before is not None:
            _check_expected(ask, profile_tag(before.customer))
        elif ask.expected is not None:
            raise RefusedError(precondition_failed())
        profile = _Profile(
            before=before, after=profile_after(None if before is None else before.customer)
        )
        return await _save_profile(connection, ask, heads, loaded, profile)

    return await until_won(pool, once)


def _repair_of(held: HeldRepair | None) -> Repair | None:
    return None if held is None else held.repair


def _check_expected(ask: Ask, tag: str) -> None:
    if ask.expected is not None and tag not in ask.expected and "*" not in ask.expected:
        raise RefusedError(precondition_failed())


async def _save(
    connection: Connection, ask: Ask, heads: dict[int, Head], loaded: Loaded, decision: Decision
) -> Outcome:
    if isinstance(decision, Refusal):
        raise RefusedError(decision)
    if isinstance(decision, Unchanged):
        assert loaded.held is not None  # noqa: S101 - what is unchanged is there
        outcome = Outcome(revision=loaded.held.revision, repair=loaded.held)
        return await _unchanged(connection, ask, loaded, outcome)
    history = History(heads.values(), loaded.now)
    if history.head(decision.repair.customer_id) is None:
        raise RefusedError(customer_unknown(decision.repair.customer_id))
    head = append_change(history, ask.author, decision, ask.occurred_at)
    outcome = Outcome(
        revision=head.revision,
        created=loaded.held is None,
        repair=held_after(history, head, decision.repair, loaded.held),
    )
    await history.save(connection, ask.keep(outcome))
    return outcome


def append_change(
    history: History, author: Author, change: Change, occurred_at: str | None
) -> Head:
    """Append a change and return its head.

    After a move, the removal is appended first, to the old customer's stream.
    """
    if change.left is not None:
        history.append(author, REMOVED, change.left, reason=MOVED_AWAY, occurred_at=occurred_at)
    head = history.append(
        author, change.fact, change.repair, reason=change.reason, occurred_at=occurred_at
    )
    new = change.left is None and change.fact in {RECORDED, REQUESTED}
    history.state(change.repair, head, new=new)
    return head


def held_after(
    history: History, head: Head, repair: Repair, before: HeldRepair | None
) -> HeldRepair:
    """Return a repair in its stored form after the event of `head`."""
    return HeldRepair(
        repair=repair,
        revision=head.revision,
        event_id=str(head.event_id),
        created_at=before.created_at if before else history.accepted_text,
        changed_at=history.accepted_text,
    )


async def _unchanged(connection: Connection, ask: Ask, loaded: Loaded, outcome: Outcome) -> Outcome:
    kept = ask.keep(outcome)
    if kept is not None:
        await keep_outcome(connection, kept, loaded.now)
    return outcome


async def _save_profile(
    connection: Connection, ask: Ask, heads: dict[int, Head], loaded: Loaded, profile: _Profile
) -> Outcome:
    before, after = profile.before, profile.after
    if before is not None and after == before.customer:
        outcome = Outcome(revision=before.revision, customer=before)
        return await _unchanged(connection, ask, loaded, outcome)
    history = History(heads.values(), loaded.now)
    head = history.append(ask.author, PROFILE_CHANGED, after, occurred_at=ask.occurred_at)
    changed = HeldCustomer(customer=after, revision=head.revision, changed_at=history.accepted_text)
    outcome = Outcome(revision=head.revision, created=before is None, customer=changed)
    await save_profile(connection, after)
    await history.save(connection, ask.keep(outcome))
    return outcome
