"""Effect of each statement of the read model on the rows in memory; named as its function."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

import asyncpg
import msgspec

from portal_query.counting import Dimension
from portal_query.document import Counts, Version
from portal_query.read_model.folding import Held, Profile, Step
from portal_query.read_model.invariants import Tallied
from portal_query.read_model.letters import Letter
from portal_query.read_model.replacing import Differences
from portal_query.read_model.rows import EventRow
from portal_query.read_model.standing import Standing

if TYPE_CHECKING:
    from tests.laws.world.store import Customer, Session

_rows = msgspec.json.Decoder(list[EventRow])
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def insert_new(session: "Session", customers: Sequence[int], fold_version: str) -> None:
    from tests.laws.world.store import Customer

    for one in sorted(customers):
        if session.row(one) is None:
            session.lock([one])
            made = Customer(one, fold_version, session.tables.milliseconds())
            made.version = session.number()
            session.written[one] = made


def lock(session: "Session", customers: Sequence[int]) -> dict[int, Held]:
    found = [row for row in map(session.row, sorted(set(customers))) if row is not None]
    session.lock([row.customer_id for row in found])
    return {
        row.customer_id: Held(
            row.customer_id,
            row.revision,
            row.event_id,
            row.fold_version,
            row.parked_at is not None,
            row.still,
            row.accepted_at,
        )
        for row in found
    }


def apply(session: "Session", packed: bytes) -> list[int]:
    below: set[int] = set()
    for row in _rows.decode(packed):
        held = session.write(row.customer_id)
        assert held is not None
        place = (row.repair_id, row.revision)
        if place in held.history:
            raise asyncpg.UniqueViolationError("repair_history_pkey")
        held.history[place] = row
        if not row.newest:
            continue
        before = held.repairs.get(row.repair_id)
        held.repairs[row.repair_id] = row
        held.recorded.setdefault(row.repair_id, row.recorded_at or row.accepted_at)
        for step, state in ((-1, before), (1, row)):
            for bucket in _buckets(state):
                held.counts[bucket] = held.counts.get(bucket, 0) + step
        if any(n < 0 for n in held.counts.values()):
            below.add(row.customer_id)
    return sorted(below)


def _buckets(row: EventRow | None) -> Iterable[tuple[int, str]]:
    if row is None or row.removed:
        return ()
    return ((0, row.unit_number), (1, row.month), (2, row.status))


def advance(session: "Session", steps: Sequence[Step]) -> None:
    for step in steps:
        held = session.write(step.customer_id)
        if held is not None:
            held.revision, held.event_id = step.revision, step.event_id
            held.accepted_at = datetime.fromisoformat(step.accepted_at)


def put_profiles(session: "Session", profiles: Iterable[Profile]) -> None:
    for one in profiles:
        held = session.write(one.customer_id)
        if held is not None:
            held.name = one.name


def standing(session: "Session", customers: Sequence[int]) -> dict[int, Standing]:
    found = (row for row in map(session.row, customers) if row is not None)
    return {row.customer_id: _standing(row) for row in found}


def standing_between(session: "Session", after: int, last: int | None) -> dict[int, Standing]:
    return {
        row.customer_id: _standing(row)
        for row in session.rows()
        if row.customer_id > after and (last is None or row.customer_id <= last)
    }


def _standing(row: "Customer") -> Standing:
    return Standing(
        row.customer_id,
        row.revision,
        row.event_id,
        row.refold,
        row.fold_version,
        row.parked_at is not None,
        row.still,
        str(row.version),
    )


def lock_standing(session: "Session", customer: int) -> Standing | None:
    row = session.row(customer)
    if row is None:
        return None
    session.lock([customer])
    return _standing(row)


def standing_still(session: "Session", after: int, limit: int) -> list[Standing]:
    found = [row for row in session.rows() if row.still and row.customer_id > after]
    return [_standing(row) for row in found[:limit]]


def freeze(session: "Session", customers: Sequence[int]) -> None:
    for one in customers:
        held = session.write(one)
        if held is not None:
            held.as_of = held.as_of or held.accepted_at or _EPOCH


def thaw(session: "Session", customer: int, version: str) -> bool:
    row = session.row(customer)
    if row is None or str(row.version) != version:
        return False
    held = session.write(customer)
    assert held is not None
    held.as_of = held.parked_at = held.parked_reason = None
    held.refold = max(held.refold + 1, session.tables.milliseconds())
    return True


def park(session: "Session", customer: int, reason: str) -> None:
    held = session.write(customer)
    if held is not None:
        held.parked_at = held.parked_at or session.tables.now()
        held.parked_reason = reason
        held.as_of = held.as_of or held.accepted_at or _EPOCH


def forget(session: "Session", customer: int, version: str) -> None:
    row = session.row(customer)
    if row is not None and row.revision == 0 and str(row.version) == version:
        session.lock([customer])
        session.written[customer] = None


def put_letters(session: "Session", letters: Sequence[Letter]) -> None:
    session.letters += letters


def generation(session: "Session") -> int:
    return 1  # the simulation never drops tables


def put_as_of(session: "Session", topic: str, times: Mapping[int, datetime], tables: int) -> None:
    session.progress |= times


def load_counts(session: "Session", customers: Iterable[int]) -> list[Counts]:
    rows = (row for row in map(session.row, sorted(set(customers))) if row is not None)
    return [_counts(row) for row in rows]


def _counts(row: "Customer") -> Counts:
    by: dict[int, list[tuple[str, int]]] = {0: [], 1: [], 2: []}
    for (dimension, bucket), n in row.counts.items():
        if n > 0:
            by[dimension].append((bucket, n))
    return Counts(
        row.customer_id,
        row.refold,
        row.revision,
        row.event_id,
        accepted_at=row.accepted_at,
        frozen=row.still,
        frozen_as_of=None if row.as_of == _EPOCH else row.as_of,
        units=by[0],
        months=by[1],
        statuses=dict(by[2]),
    )


def load_versions(session: "Session", customers: Iterable[int]) -> dict[int, Version]:
    rows = (row for row in map(session.row, customers) if row is not None)
    return {row.customer_id: Version(row.refold, row.revision) for row in rows}


def load_as_of(session: "Session") -> dict[int, datetime]:
    return dict(session.tables.progress)


def claim(session: "Session", customer: int) -> bool:
    return session.tables.advisory.setdefault(customer, session) is session


def release(session: "Session", customer: int) -> None:
    if session.tables.advisory.get(customer) is session:
        del session.tables.advisory[customer]


def clear_stage(session: "Session") -> None:
    session.stage = []


def stage(session: "Session", packed: bytes) -> None:
    session.stage = session.stage + _rows.decode(packed)


def find(session: "Session", customer: int, counts: Mapping[Any, int]) -> Differences:
    held = session.row(customer)
    assert held is not None
    listed, recorded = _newest(session.stage)
    session.repair_difference = {
        key: (listed.get(key), recorded.get(key, ""))
        for key in {*listed, *held.repairs}
        if _repair(listed.get(key), recorded) != _repair(held.repairs.get(key), held.recorded)
    }
    history = {(row.repair_id, row.revision): row for row in session.stage}
    session.history_difference = {
        key: history.get(key)
        for key in {*history, *held.history}
        if _told(history.get(key)) != _told(held.history.get(key))
    }
    wanted = {(int(dimension), bucket): n for (dimension, bucket), n in counts.items()}
    wrong = {
        (Dimension(key[0]), key[1]): wanted.get(key, 0)
        for key in {*wanted, *held.counts}
        if wanted.get(key, 0) != held.counts.get(key)
    }
    return Differences(len(session.repair_difference), len(session.history_difference), wrong)


def replace(session: "Session", customer: int, differences: Differences) -> None:
    held = session.write(customer)
    assert held is not None
    if differences.repairs or differences.history:
        for key, (row, recorded) in session.repair_difference.items():
            held.repairs.pop(key, None)
            held.recorded.pop(key, None)
            if row is not None:
                held.repairs[key], held.recorded[key] = row, recorded
        for place, told in session.history_difference.items():
            held.history.pop(place, None)
            if told is not None:
                held.history[place] = told
    held.counts |= {(int(key[0]), key[1]): n for key, n in differences.wrong.items()}


def _newest(rows: Iterable[EventRow]) -> tuple[dict[str, EventRow], dict[str, str]]:
    """Return the last row of each repair, and the time of its first event."""
    newest: dict[str, EventRow] = {}
    recorded: dict[str, str] = {}
    for row in rows:
        newest[row.repair_id] = row
        recorded.setdefault(row.repair_id, row.accepted_at)
    return newest, recorded


def _repair(row: EventRow | None, recorded: Mapping[str, str]) -> object:
    """Return the columns that the table of repairs holds of a row."""
    if row is None:
        return None
    named = msgspec.structs.asdict(row)
    for name in ("fact", "by", "newest", "occurred_at", "reason"):
        del named[name]
    return named | {"recorded_at": recorded[row.repair_id]}


def _told(row: EventRow | None) -> object:
    """Return the columns that the table of the history holds of a row."""
    if row is None:
        return None
    occurred = row.occurred_at or row.accepted_at
    return occurred, row.accepted_at, row.event_id, row.fact, row.by, row.status, row.reason


def put_customer(
    session: "Session",
    profile: Profile,
    *,
    revision: int,
    event_id: str | None,
    fold_version: str,
    accepted_at: str | None,
) -> None:
    held = session.write(profile.customer_id)
    assert held is not None
    held.revision, held.event_id, held.fold_version = revision, event_id, fold_version
    held.accepted_at = None if accepted_at is None else datetime.fromisoformat(accepted_at)
    held.as_of = held.parked_at = held.parked_reason = None
    held.refold = max(held.refold + 1, session.tables.milliseconds())
    held.name = profile.name


def tally(session: "Session", customers: Sequence[int]) -> list[Tallied]:
    return [_tallied(row) for row in map(session.row, customers) if row is not None]


def _tallied(row: "Customer") -> Tallied:
    counted: dict[tuple[int, str], int] = {}
    for one in row.repairs.values():
        for bucket in _buckets(one):
            counted[bucket] = counted.get(bucket, 0) + 1
    keys = {*counted, *row.counts}
    units, months, statuses = row.sums()
    return Tallied(
        row.customer_id,
        row.refold,
        row.revision,
        row.still,
        units,
        months,
        statuses,
        sum(not one.removed for one in row.repairs.values()),
        sum(counted.get(key, 0) != row.counts.get(key, 0) for key in keys),
        sum(n < 0 for n in row.counts.values()),
    )


def customers_after(session: "Session", after: int, limit: int) -> list[int]:
    return [row.customer_id for row in session.rows() if row.customer_id > after][:limit]


KNOWN: Final[Mapping[str, Callable[..., Any]]] = {
    "folding.insert_new": insert_new,
    "folding.lock": lock,
    "folding.apply": apply,
    "folding.advance": advance,
    "folding.put_profiles": put_profiles,
    "standing.standing": standing,
    "standing.standing_between": standing_between,
    "standing.lock_standing": lock_standing,
    "standing.standing_still": standing_still,
    "standing.freeze": freeze,
    "standing.thaw": thaw,
    "standing.park": park,
    "standing.forget": forget,
    "letters.put": put_letters,
    "progress.generation": generation,
    "progress.put_as_of": put_as_of,
    "counts.load_counts": load_counts,
    "counts.load_versions": load_versions,
    "counts.load_as_of": load_as_of,
    "replacing.claim": claim,
    "replacing.release": release,
    "replacing.clear_stage": clear_stage,
    "replacing.stage": stage,
    "replacing.find": find,
    "replacing.replace": replace,
    "replacing.put_customer": put_customer,
    "invariants.tally": tally,
    "invariants.customers_after": customers_after,
}


def _ids(_: "Session", customers: Sequence[int], *__: object) -> Sequence[int]:
    return customers


def _one(_: "Session", customer: int, *__: object) -> Sequence[int]:
    return (customer,)


#: Statements that wait for the rows of a customer.
LOCKS: Final[Mapping[str, Callable[..., Sequence[int]]]] = {
    "folding.insert_new": lambda session, customers, *_: [
        one for one in customers if session.row(one) is None
    ],
    "folding.lock": _ids,
    "standing.lock_standing": _one,
    "standing.freeze": _ids,
    "standing.thaw": _one,
    "standing.park": _one,
    "standing.forget": _one,
}


def waits_for(name: str, session: "Session", values: Sequence[Any]) -> Sequence[int]:
    """Return the customers whose rows this statement waits for."""
    rule = LOCKS.get(name)
    return () if rule is None else rule(session, *values)
