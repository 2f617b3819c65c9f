"""How a command is asked, and what it led to: the customer's lock, the key, and the races.

Whatever is refused is raised as `RefusedError` and leaves nothing behind. A transaction that lost
a race (a repair that moved meanwhile, a reference recorded twice at once) is done again.
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
    """The state that a refused change of a customer's met.

    `by` is who made it, `customer` or `company`; `seen` is the state that was decided on, None
    when the tag names none of this repair's.
    """

    held: HeldRepair
    by: str
    seen: Repair | None = None


class RefusedError(Exception):
    """The command is refused, and why; `standing` is told to customers alone."""

    def __init__(self, refusal: Refusal, standing: Standing | None = None) -> None:
        super().__init__(refusal.code)
        self.refusal = refusal
        self.standing = standing


class Ask(msgspec.Struct, frozen=True, kw_only=True):
    """How a command was asked.

    `only_of` is the one customer whose repairs the caller may know of; `binding` bounds an
    internal system. `expected` are the tags of
    If-Match: event ids of the repair, or what `profile_tag` gives; `*` stands for any.
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
        """What the outcome of the key is kept under."""
        return None if self.key is None else self.key.digest

    @property
    def key_lock(self) -> int | None:
        """The number of the key's advisory lock."""
        return None if self.key is None else self.key.lock

    def keep(self, outcome: "Outcome") -> Kept | None:
        """Return what is to be kept of the outcome; None without a key."""
        return None if self.key is None else self.key.keep(msgspec.json.encode(outcome))


def _raise(refusal: Refusal | None) -> None:
    if refusal is not None:
        raise RefusedError(refusal)


class Result(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What became of one repair among many: it holds the repair, or the refusal."""

    repair_id: str
    held: HeldRepair | None = None
    refusal: Refusal | None = None
    standing: Standing | None = None


class Outcome(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a command led to; it is kept under the idempotency key, so it says all of it.

    `revision` is the customer's revision to wait for in order to see it. One of the others is set.
    """

    revision: int
    created: bool = False
    repair: HeldRepair | None = None
    customer: HeldCustomer | None = None
    visit: tuple[HeldRepair, ...] = ()
    results: tuple[Result, ...] = ()
    replayed: bool = False


class RaceLostError(Exception):
    """What was read before the lock is not what holds under it."""


_outcomes = msgspec.json.Decoder(Outcome)


async def lock(
    connection: Connection, ask: Ask, customer_ids: Sequence[int], *, owning: str | None = None
) -> dict[int, Head]:
    """Lock the key and these customers (and who owns the repair); return the heads that exist.

    Raises RefusedError when the key is in use.
    """
    heads = await lock_customers(connection, customer_ids, owning=owning, key_lock=ask.key_lock)
    if heads is None:
        raise RefusedError(key_running())
    return heads


def key_running() -> Refusal:
    """Return the refusal for a key whose first request has not ended."""
    return Refusal(
        code="key-running",
        detail="A request with this Idempotency-Key is still running; ask again shortly.",
    )


def kept_outcome(ask: Ask, loaded: Loaded) -> Outcome | None:
    """Return what the key's first request led to; raises RefusedError if that was another one."""
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
        # Another key of the client, with a narrower binding, may have sent this.
        ask.check_repair(outcome.repair.repair)
    return outcome


def visible(ask: Ask, held: HeldRepair | None) -> HeldRepair | None:
    """Return what the caller may know of: customers of no removed repair and nobody else's."""
    if held is None or ask.only_of is None:
        return held
    repair = held.repair
    return held if repair.customer_id == ask.only_of and not repair.removed else None


def precondition_failed() -> Refusal:
    """Return the refusal for a state that is another one than the caller has seen."""
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


async def until_won(pool: Pool, once: Callable[[Connection], Awaitable[Outcome]]) -> Outcome:
    """Run `once` in a transaction, again from its beginning when it lost a race."""
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
