"""Commands: load under the customer's lock, decide, save; one transaction each.

Whatever is refused is raised as `RefusedError` and leaves nothing behind. Transactions that lost
a race (a repair that moved meanwhile, a reference recorded twice at once) are done again.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

import msgspec

from repair_events.event import PROFILE_CHANGED, RECORDED, REMOVED, REQUESTED
from repair_events.repair import Customer, Repair
from repair_writer.history import Author, History
from repair_writer.idempotency import IdempotencyKey
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
from repair_writer.store.changes import Kept
from repair_writer.store.customers import (
    lock_customers,
    make_customer,
    read_customer,
    save_profile,
)
from repair_writer.store.repairs import Loaded, load_by_id, lock_and_load
from repair_writer.store.rows import Head, HeldCustomer, HeldRepair
from repair_writer.store.transaction import Connection, Pool, is_lost_race, transaction
from service_runtime.failpoints import fp

_ATTEMPTS: Final = 5


class RefusedError(Exception):
    """The command is refused, and why."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.code)
        self.refusal = refusal


class Ask(msgspec.Struct, frozen=True, kw_only=True):
    """How a command was asked.

    `only_of` is the one customer whose repairs the caller may know of. `expected` are the tags of
    If-Match: event ids of the repair, or what `profile_tag` gives; `*` stands for any.
    """

    author: Author
    occurred_at: str | None = None
    only_of: int | None = None
    expected: tuple[str, ...] | None = None
    key: IdempotencyKey | None = None

    @property
    def key_digest(self) -> bytes | None:
        """What the outcome of the key is kept under."""
        return None if self.key is None else self.key.digest

    @property
    def key_lock(self) -> int | None:
        """The number of the key's advisory lock."""
        return None if self.key is None else self.key.lock

    def keep(self, outcome: "Outcome") -> Kept | None:
        """Return what is to be kept of the outcome; None without a key."""
        return None if self.key is None else self.key.keep(msgspec.json.encode(outcome))


class Outcome(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a command led to; it is kept under the idempotency key, so it says all of it.

    `revision` is the customer's revision to wait for in order to see it.
    """

    revision: int
    created: bool = False
    repair: HeldRepair | None = None
    customer: HeldCustomer | None = None
    replayed: bool = False


class _Profile(msgspec.Struct, frozen=True, kw_only=True):
    """A profile before (None: it was made just now) and after a change."""

    before: HeldCustomer | None
    after: Customer


class _RaceLostError(Exception):
    """What was read before the lock is not what holds under it."""


_outcomes = msgspec.json.Decoder(Outcome)


async def record_repair(pool: Pool, ask: Ask, repair: Repair) -> Outcome:
    """Record a repair that came with its new id; its customer must exist."""

    async def once(connection: Connection) -> Outcome:
        found = await lock_and_load(connection, repair, ask.key_digest, ask.key_lock)
        if found is None:
            raise RefusedError(_key_running())
        heads, loaded = found
        kept = _kept_outcome(ask, loaded)
        if kept is not None:
            return kept
        if repair.customer_id not in heads:
            raise RefusedError(customer_unknown(repair.customer_id))
        decision = decide(_repair_of(loaded.held), Record(repair=repair))
        return await _save(connection, ask, heads, loaded, decision)

    return await _until_won(pool, once)


async def change_repair(pool: Pool, ask: Ask, repair_id: str, command: Command) -> Outcome:
    """Change one repair; a correction may move it to another customer that exists."""
    target = command.given.get("customer_id") if isinstance(command, Correct) else None
    targets = [target] if isinstance(target, int) else []

    async def once(connection: Connection) -> Outcome:
        heads = await _lock(connection, ask, targets, owning=repair_id)
        loaded = await load_by_id(connection, ask.key_digest, repair_id)
        kept = _kept_outcome(ask, loaded)
        if kept is not None:
            return kept
        held = _visible(ask, loaded.held)
        if held is not None:
            if held.repair.customer_id not in heads:
                raise _RaceLostError
            _check_expected(ask, held.event_id)
        decision = decide(_repair_of(held), command)
        return await _save(connection, ask, heads, loaded, decision)

    return await _until_won(pool, once)


async def put_profile(
    pool: Pool,
    ask: Ask,
    customer_id: int,
    profile_after: Callable[[Customer | None], Customer],
    profile_tag: Callable[[Customer], str],
    *,
    may_make: bool = False,
) -> Outcome:
    """Give a customer the profile that `profile_after` makes of the one that is there.

    `profile_tag` names a profile as If-Match does. With `may_make` a customer who is not there
    yet is made, at revision 1; otherwise that is refused.
    """

    async def once(connection: Connection) -> Outcome:
        heads = await _lock(connection, ask, [customer_id])
        made = customer_id not in heads and may_make
        if made:
            made = await make_customer(connection, customer_id)
            heads = await _lock(connection, ask, [customer_id])
        loaded = await load_by_id(connection, ask.key_digest, None)
        kept = _kept_outcome(ask, loaded)
        if kept is not None:
            return kept
        if customer_id not in heads:
            raise RefusedError(customer_unknown(customer_id))
        before = None if made else await read_customer(connection, customer_id)
        if before is not None:
            _check_expected(ask, profile_tag(before.customer))
        elif ask.expected is not None:
            raise RefusedError(_precondition_failed())
        profile = _Profile(
            before=before, after=profile_after(None if before is None else before.customer)
        )
        return await _save_profile(connection, ask, heads, loaded, profile)

    return await _until_won(pool, once)


async def _lock(
    connection: Connection, ask: Ask, customer_ids: Sequence[int], *, owning: str | None = None
) -> dict[int, Head]:
    heads = await lock_customers(connection, customer_ids, owning=owning, key_lock=ask.key_lock)
    if heads is None:
        raise RefusedError(_key_running())
    return heads


def _key_running() -> Refusal:
    return Refusal(
        code="key-running",
        detail="A request with this Idempotency-Key is still running; ask again shortly.",
    )


def _kept_outcome(ask: Ask, loaded: Loaded) -> Outcome | None:
    if ask.key is None or loaded.outcome is None:
        return None
    if loaded.request_digest != ask.key.request_digest:
        raise RefusedError(
            Refusal(
                code="key-reused",
                detail="This Idempotency-Key was used for another request; take a new one.",
            )
        )
    return msgspec.structs.replace(_outcomes.decode(loaded.outcome), replayed=True)


def _visible(ask: Ask, held: HeldRepair | None) -> HeldRepair | None:
    """Return what the caller may know of: customers of no removed repair and nobody else's."""
    if held is None or ask.only_of is None:
        return held
    repair = held.repair
    return held if repair.customer_id == ask.only_of and not repair.removed else None


def _repair_of(held: HeldRepair | None) -> Repair | None:
    return None if held is None else held.repair


def _check_expected(ask: Ask, tag: str) -> None:
    if ask.expected is not None and tag not in ask.expected and "*" not in ask.expected:
        raise RefusedError(_precondition_failed())


def _precondition_failed() -> Refusal:
    return Refusal(
        code="precondition-failed",
        detail="It has changed since it was read (If-Match); read it again.",
    )


def customer_unknown(customer_id: int) -> Refusal:
    """Return the refusal for a customer who has no profile yet, with what to call."""
    return Refusal(
        code="customer-unknown",
        detail=f"There is no customer {customer_id}; make the profile first: "
        f"PUT /v1/customers/{customer_id}.",
    )


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
        repair=HeldRepair(
            repair=decision.repair,
            revision=head.revision,
            event_id=str(head.event_id),
            created_at=loaded.held.created_at if loaded.held else history.accepted_text,
            changed_at=history.accepted_text,
        ),
    )
    await history.save(connection, ask.keep(outcome))
    return outcome


def append_change(
    history: History, author: Author, change: Change, occurred_at: str | None
) -> Head:
    """Append a change, and before it the removal from the old customer's list if it moved."""
    if change.left is not None:
        history.append(author, REMOVED, change.left, reason=MOVED_AWAY, occurred_at=occurred_at)
    head = history.append(
        author, change.fact, change.repair, reason=change.reason, occurred_at=occurred_at
    )
    new = change.left is None and change.fact in {RECORDED, REQUESTED}
    history.state(change.repair, head, new=new)
    return head


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


async def _until_won(pool: Pool, once: Callable[[Connection], Awaitable[Outcome]]) -> Outcome:
    """Run `once` in a transaction, again from its beginning when it lost a race."""
    for attempt in range(1, _ATTEMPTS + 1):
        try:
            async with transaction(pool) as connection:
                outcome = await once(connection)
                fp("writer.before_commit")
        except Exception as error:
            lost = isinstance(error, _RaceLostError) or is_lost_race(error)
            if not lost or attempt == _ATTEMPTS:
                raise
        else:
            fp("writer.after_commit")
            return outcome
        await asyncio.sleep(random.uniform(0, 0.01 * attempt))  # noqa: S311 - no secret
    raise AssertionError("unreachable")
