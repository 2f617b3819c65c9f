"""The applier: one batch in one transaction. Events that do not follow are left to a rebuild.

The applier retries a batch until Postgres commits it. Only impossible values exclude a customer:
the batch is then applied without it.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from portal_query.projector import metrics
from portal_query.projector.arrived import Arrived, BadRecord
from portal_query.projector.batch import (
    Batch,
    Part,
    letter_of,
    pack_again,
    profile_of,
    without,
)
from portal_query.projector.chain import Trouble, judge
from portal_query.read_model import folding, letters, standing
from portal_query.read_model.postgres import (
    Connection,
    Line,
    is_data_error,
    is_infrastructure,
    is_too_slow,
)
from repair_events.month import Months, fold_version
from service_runtime.backoff import Backoff
from service_runtime.failpoints import fp
from service_runtime.postgres import is_overload

_KNOWN_CUSTOMERS: Final = 200_000
_BELOW_ZERO: Final = "a count fell below zero"


@dataclass(slots=True)
class Outcome:
    """The result of a batch.

    `touched`: customers with possibly outdated cached counts, also after a redelivery.
    `troubles`: customers to compare with the writer's stream, and why.
    `suspects`: their quarantined events, which were not applied.
    `applied`, `parked`: numbers of events.
    """

    touched: set[int] = field(default_factory=set)
    troubles: dict[int, Trouble] = field(default_factory=dict)
    suspects: dict[int, Sequence[Arrived]] = field(default_factory=dict)
    applied: int = 0
    parked: int = 0

    def add(self, other: "Outcome") -> None:
        """Add the result of another share of the same batch."""
        self.touched |= other.touched
        self.troubles |= other.troubles
        self.suspects |= other.suspects
        self.applied += other.applied
        self.parked += other.parked


class _BelowZeroError(Exception):
    def __init__(self, customers: Iterable[int]) -> None:
        super().__init__("a count would fall below zero")
        self.customers = tuple(customers)


class Applier:
    """An applier of batches over one connection. It serves one task at a time."""

    def __init__(self, line: Line, time_zone: str) -> None:
        self._line = line
        self._months = Months(time_zone)
        self._fold_version = fold_version(time_zone)
        self._backoff = Backoff("apply")
        self._known: set[int] = set()

    async def apply(self, batch: Batch) -> Outcome:
        """Apply a batch and return its result. Wait while Postgres is unavailable."""
        outcome = await self._share(batch.parts, batch.packed, batch.bad, {})
        for record in batch.bad:
            outcome.touched.update(record.customers)
            for customer in record.customers:
                outcome.troubles.setdefault(customer, Trouble.BAD_RECORD)
        _count(batch, outcome)
        return outcome

    async def check(self) -> None:
        """Raise ConnectionError while batches fail, unless the cause is a lock or an overload."""
        reason = self._backoff.reason
        if reason is not None and not is_overload(reason):
            raise ConnectionError(f"batches cannot be applied: {reason!r}"[:300])

    async def _share(
        self,
        parts: Mapping[int, Part],
        packed: bytes | None,
        bad: Sequence[BadRecord],
        excluded: Mapping[int, Trouble],
    ) -> Outcome:
        """Apply the parts without the excluded customers.

        Halve them when a value is impossible, or when several parts together are too slow.
        """
        while True:
            try:
                outcome = await self._transaction(parts, packed, bad, excluded)
            except _BelowZeroError as error:
                excluded = {**excluded, **dict.fromkeys(error.customers, Trouble.BELOW_ZERO)}
                continue
            except Exception as error:
                if is_data_error(error) or (is_too_slow(error) and len(parts) > 1):
                    return await self._halves(parts, bad, excluded)
                if not is_infrastructure(error):
                    raise
                await self._backoff.failed(error)
                continue
            self._backoff.worked()
            return outcome

    async def _halves(
        self, parts: Mapping[int, Part], bad: Sequence[BadRecord], excluded: Mapping[int, Trouble]
    ) -> Outcome:
        candidates = [customer for customer in parts if customer not in excluded]
        if not candidates:
            raise RuntimeError("a value that is no customer's cannot be written")
        if len(candidates) == 1:
            marked = {**excluded, **dict.fromkeys(candidates, Trouble.BAD_VALUE)}
            return await self._share(parts, None, bad, marked)
        half = set(candidates[: len(candidates) // 2])
        first = {customer: part for customer, part in parts.items() if customer in half}
        second = {customer: part for customer, part in parts.items() if customer not in half}
        outcome = await self._share(first, None, bad, excluded)
        outcome.add(await self._share(second, None, (), excluded))
        return outcome

    async def _transaction(
        self,
        parts: Mapping[int, Part],
        packed: bytes | None,
        bad: Sequence[BadRecord],
        excluded: Mapping[int, Trouble],
    ) -> Outcome:
        async with self._line.transaction() as connection:
            # A customer that only a bad record names may have no row yet. It is frozen as well.
            named = {customer for record in bad for customer in record.customers}
            held = await self._lock(connection, list(named.union(parts)))
            ready, outcome = self._judge(parts, held, excluded)
            if ready:
                whole = sum(len(part.arrived) for part in ready) == _events(parts)
                text = packed if packed is not None and whole else pack_again(ready, self._months)
                await _write(connection, ready, text)
            await _set_aside(connection, outcome.troubles, bad)
            fp("projector.before_db_commit")
        fp("projector.after_db_commit")
        return outcome

    async def _lock(
        self, connection: Connection, customers: Sequence[int]
    ) -> dict[int, folding.Held]:
        """Lock the customers and insert missing rows. `_known` saves the insert for most."""
        new = [customer for customer in customers if customer not in self._known]
        if new:
            await folding.insert_new(connection, new, self._fold_version)
        held = await folding.lock(connection, customers)
        if len(held) < len(customers):
            # Rows were deleted meanwhile. New ones start at revision 0, so the check finds a gap.
            self._known.clear()
            missing = [customer for customer in customers if customer not in held]
            await folding.insert_new(connection, missing, self._fold_version)
            held |= await folding.lock(connection, missing)
        if len(self._known) > _KNOWN_CUSTOMERS:
            self._known.clear()
        self._known.update(new)
        return held

    def _judge(
        self,
        parts: Mapping[int, Part],
        held: Mapping[int, folding.Held],
        excluded: Mapping[int, Trouble],
    ) -> tuple[list[Part], Outcome]:
        outcome = Outcome(touched=set(parts))
        ready: list[Part] = []
        for customer, part in parts.items():
            if held[customer].parked:
                outcome.parked += len(part.arrived)
                continue
            verdict = judge(held[customer], part.arrived, self._fold_version)
            trouble = excluded.get(customer) or verdict.trouble
            if trouble is None and part.uncountable_at > held[customer].revision:
                trouble = Trouble.UNCOUNTABLE
            if trouble is not None:
                outcome.troubles[customer] = trouble
                outcome.suspects[customer] = part.arrived[verdict.skip :]
                continue
            left = len(part.arrived) - verdict.skip
            if left:
                outcome.applied += left
                ready.append(without(part, verdict.skip) if verdict.skip else part)
        return ready, outcome


async def _write(connection: Connection, ready: Sequence[Part], packed: bytes) -> None:
    below_zero = await folding.apply(connection, packed)
    if below_zero:
        raise _BelowZeroError(below_zero)
    await folding.advance(connection, [part.step for part in ready])
    await folding.put_profiles(
        connection, [profile_of(part.profile) for part in ready if part.profile is not None]
    )


async def _set_aside(
    connection: Connection, troubles: Mapping[int, Trouble], bad: Sequence[BadRecord]
) -> None:
    """Freeze customers in trouble, in the transaction that leaves out their events.

    Store the bad records as dead letters, and park customers with a count below zero.
    """
    frozen = set(troubles)
    for record in bad:
        frozen.update(record.customers)
    if frozen:
        await standing.freeze(connection, sorted(frozen))
    for customer, trouble in troubles.items():
        if trouble is Trouble.BELOW_ZERO:
            await standing.park(connection, customer, _BELOW_ZERO)
    if bad:
        await letters.put(connection, [letter_of(record) for record in bad])


def _events(parts: Mapping[int, Part]) -> int:
    return sum(len(part.arrived) for part in parts.values())


def _count(batch: Batch, outcome: Outcome) -> None:
    """Count the records by result. The remaining ones are duplicates."""
    set_aside = sum(map(len, outcome.suspects.values()))
    became = {
        "applied": outcome.applied,
        "parked": outcome.parked,
        "set-aside": set_aside,
        "bad": len(batch.bad),
    }
    for result, records in became.items():
        metrics.EVENTS.labels(result).inc(records)
    metrics.EVENTS.labels("duplicate").inc(batch.records - sum(became.values()))
    metrics.DEAD_LETTERS.inc(len(batch.bad))
