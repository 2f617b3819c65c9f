"""The context and result of a command: locks, idempotency keys, refusals and retries.

A refused command raises `RefusedError` and changes nothing.
A transaction that lost a race is retried. Examples: a repair that moved meanwhile, a reference
recorded twice at the same time.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

import msgspec

from repair_events.repair import Repair
from repair_writer.binding import ANY, KeyBinding
from repair_writer.history import Author
from repair_writer.idempotency import IdempotencyKey
from repair_writer.repair import Refusal
from repair_writer.store.changes import Kept
from repair_writer.store.customers import lock_customers
from repair_writer.store.repairs import Loaded
from repair_writer.store.rows import Head, HeldCustomer, HeldRepair
from repair_writer.store.transaction import Connection, Pool, is_lost_race, transaction
from service_runtime.failpoints import fp

_ATTEMPTS: Final = 5


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """The present state of a repair when a customer's change of it is refused.

    `by` is the side that made the last change, `customer` or `company`.
    `seen` is the state that the customer decided on. None when no tag names a state of this repair.
    """

    held: HeldRepair
    by: str
    seen: Repair | None = None


class RefusedError(Exception):
    """The command is refused. Only customers receive `standing`."""

    def __init__(self, refusal: Refusal, standing: Standing | None = None) -> None:
        super().__init__(refusal.code)
        self.refusal = refusal
        self.standing = standing


class Ask(msgspec.Struct, frozen=True, kw_only=True):
    """The caller and the conditions of a command.

    `only_of` is the one customer whose repairs are visible to the caller.
    `binding` limits an internal system.
    `expected` are the tags of If-Match: event ids of the repair, or the result of `profile_tag`.
    `*` matches any state.
    """

    author: Author
    occurred_at: str | None = None
    only_of: int | None = None
    binding: KeyBinding = ANY
    expected: tuple[str, ...] | None = None
    key: IdempotencyKey | None = None

    def check_repair(self, repair: Repair) -> None:
        """Raise RefusedError for a repair outside the key's binding."""
        _raise(self.binding.check_repair(repair))

    def check_customer(self, customer_id: int) -> None:
        """Raise RefusedError for a customer outside the key's binding."""
        _raise(self.binding.check_customer(customer_id))

    @property
    def key_digest(self) -> bytes | None:
        """Return the digest under which the outcome is stored. None without a key."""
        return None if self.key is None else self.key.digest

    @property
    def key_lock(self) -> int | None:
        """Return the number of the key's advisory lock. None without a key."""
        return None if self.key is None else self.key.lock

    def keep(self, outcome: "Outcome") -> Kept | None:
        """Return the row that stores the outcome. None without a key."""
        return None if self.key is None else self.key.keep(msgspec.json.encode(outcome))


def _raise(refusal: Refusal | None) -> None:
    if refusal is not None:
        raise RefusedError(refusal)


class Result(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The result for one repair among many: the repair, or the refusal."""

    repair_id: str
    held: HeldRepair | None = None
    refusal: Refusal | None = None
    standing: Standing | None = None


class Outcome(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The complete result of a command, as stored under the idempotency key.

    `revision` is the customer's revision at which the result becomes visible to readers.
    One of the other result fields is set.
    """

    revision: int
    created: bool = False
    repair: HeldRepair | None = None
    customer: HeldCustomer | None = None
    visit: tuple[HeldRepair, ...] = ()
    results: tuple[Result, ...] = ()
    replayed: bool = False


class RaceLostError(Exception):
    """The state read before the lock differs from the state under it."""


_outcomes = msgspec.json.Decoder(Outcome)


async def lock(
    connection: Connection, ask: Ask, customer_ids: Sequence[int], *, owning: str | None = None
) -> dict[int, Head]:
    """Lock the key, these customers and the owner of the repair `owning`. Return existing heads.

    Raises RefusedError when the key is in use.
    """
    heads = await lock_customers(connection, customer_ids, owning=owning, key_lock=ask.key_lock)
    if heads is None:
        raise RefusedError(key_running())
    return heads


def key_running() -> Refusal:
    """Return the refusal for a key whose first request is still running."""
    return Refusal(
        code="key-running",
        detail="A request with this Idempotency-Key is still running; send it again shortly.",
    )


def kept_outcome(ask: Ask, loaded: Loaded) -> Outcome | None:
    """Return the stored outcome of the key's first request. None if there is none.

    Raises RefusedError if the first request had other content.
    Raises it also if the stored repair is outside the binding.
    """
    if ask.key is None or loaded.outcome is None:
        return None
    if loaded.request_digest != ask.key.request_digest:
        raise RefusedError(
            Refusal(
                code="key-reused",
                detail="This Idempotency-Key was used for another request; take a new one.",
            )
        )
    outcome = msgspec.structs.replace(_outcomes.decode(loaded.outcome), replayed=True)
    if outcome.repair is not None:
        # The repeated request may use another key of the client, with a narrower binding.
        ask.check_repair(outcome.repair.repair)
    return outcome


def visible(ask: Ask, held: HeldRepair | None) -> HeldRepair | None:
    """Return the repair if the caller may see it, otherwise None.

    A customer sees only its own repairs that are not removed. Internal systems see all.
    """
    if held is None or ask.only_of is None:
        return held
    repair = held.repair
    return held if repair.customer_id == ask.only_of and not repair.removed else None


def precondition_failed() -> Refusal:
    """Return the refusal for a state that does not match If-Match."""
    return Refusal(
        code="precondition-failed",
        detail="It has changed since it was read (If-Match); read it again.",
    )


def customer_unknown(customer_id: int) -> Refusal:
    """Return the refusal for a customer without a profile, with the call that creates it."""
    return Refusal(
        code="customer-unknown",
        detail=f"There is no customer {customer_id}; make the profile first: "
        f"PUT /v1/customers/{customer_id}.",
    )


async def until_won(pool: Pool, once: Callable[[Connection], Awaitable[Outcome]]) -> Outcome:
    """Run `once` in a transaction and return its outcome. Retry it after a lost race.

    Makes five attempts at most, then raises the last error. Other errors are raised at once.
    """
    for attempt in range(1, _ATTEMPTS + 1):
        try:
            async with transaction(pool) as connection:
                outcome = await once(connection)
                fp("writer.before_commit")
        except Exception as error:
            lost = isinstance(error, RaceLostError) or is_lost_race(error)
            if not lost or attempt == _ATTEMPTS:
                raise
        else:
            fp("writer.after_commit")
            return outcome
        await asyncio.sleep(random.uniform(0, 0.01 * attempt))  # noqa: S311 - no secret
    raise AssertionError("unreachable")
