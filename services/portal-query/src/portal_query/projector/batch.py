"""Input of one transaction, built from records: parts by customer, rows, packed text. Pure.

All work that needs no customer lock happens here, while the previous transaction runs.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from operator import attrgetter
from typing import Final

import msgspec

from portal_query.counting import Buckets, UncountableError, place
from portal_query.projector.arrived import Arrived, BadRecord, read
from portal_query.projector.positions import Mark
from portal_query.read_model.folding import Profile, Step
from portal_query.read_model.letters import Letter
from portal_query.read_model.rows import EventRow, pack
from repair_events.event import MAJOR, Event
from repair_events.month import Months
from repair_events.repair import Customer, Repair
from service_runtime.kafka import ConsumerRecord

_BY_REVISION: Final = attrgetter("arrived.revision")


class _Entry(msgspec.Struct, frozen=True, gc=False):
    """One event of a batch under construction."""

    arrived: Arrived
    row: EventRow | None
    profile: Customer | None
    uncountable: bool = False


@dataclass(slots=True)
class Part:
    """One customer's share of a batch: its events ascending by revision, each once.

    `uncountable_at` is the highest revision with an uncountable repair, 0 for none. It has no row.
    """

    customer_id: int
    arrived: list[Arrived] = field(default_factory=list)
    profile: Customer | None = None
    uncountable_at: int = 0

    @property
    def step(self) -> Step:
        """Return the customer's position after all of these events."""
        last = self.arrived[-1]
        return Step(self.customer_id, last.revision, last.id, last.time)


@dataclass(slots=True)
class Batch:
    """Events that are applied together, ordered by customer.

    `packed` holds the rows of all parts for one statement. `marks` holds each partition's position
    after this batch. `records` counts all records, bad ones and duplicates included.
    """

    parts: dict[int, Part]
    bad: list[BadRecord]
    records: int
    marks: Mapping[int, Mark]
    packed: bytes


def prepare(records: Sequence[ConsumerRecord], marks: Mapping[int, Mark], months: Months) -> Batch:
    """Build a batch from records, which may be in any order and redelivered."""
    by_customer: dict[int, list[_Entry]] = {}
    bad: list[BadRecord] = []
    for record in records:
        found = _entry(record, months)
        if isinstance(found, _Entry):
            by_customer.setdefault(found.arrived.customer_id, []).append(found)
        else:
            bad.append(found)
    parts: dict[int, Part] = {}
    rows: list[EventRow] = []
    for customer in sorted(by_customer):
        parts[customer] = _part(customer, _ascending(by_customer.pop(customer)), rows)
    return Batch(parts, bad, len(records), marks, pack(rows))


def pack_again(parts: Iterable[Part], months: Months) -> bytes:
    """Return the packed rows of parts that are only a share of their batch."""
    rows: list[EventRow] = []
    for part in parts:
        again = [_entry(one.record, months) for one in part.arrived]
        _part(part.customer_id, [one for one in again if isinstance(one, _Entry)], rows)
    return pack(rows)


def without(part: Part, skip: int) -> Part:
    """Return the part without its first `skip` events."""
    return Part(part.customer_id, part.arrived[skip:], part.profile, part.uncountable_at)


def row_of(event: Event, repair: Repair, fact: str, placed: Buckets) -> EventRow:
    """Return the row of one event of a repair that counts in `placed`.

    Fields that a customer must not see are left out: technician, technician notes, and reasons
    given by the company.
    """
    data = event.data
    by_customer = data.actor.startswith("customer:")
    return EventRow(
        customer_id=data.customer_id,
        revision=data.revision,
        event_id=event.id,
        fact=fact,
        accepted_at=event.time,
        by="customer" if by_customer else "company",
        repair_id=repair.repair_id,
        unit_number=placed.unit,
        repair_date=repair.repair_date,
        month=placed.month,
        status=placed.status,
        description=repair.description,
        damage_type=repair.damage_type,
        cost=repair.cost,
        customer_notes=repair.customer_notes,
        requested_by=repair.requested_by,
        removed=repair.removed,
        newest=True,
        occurred_at=None if data.occurred_at == event.time else data.occurred_at,
        reason=data.reason if by_customer else None,
        batch_id=repair.batch_id,
    )


def profile_of(customer: Customer) -> Profile:
    """Return the profile as the read model stores it."""
    return Profile(
        customer.customer_id,
        customer.name,
        customer.email,
        customer.phone,
        customer.address,
        customer.city,
        customer.state,
        customer.postal_code,
    )


def letter_of(record: BadRecord) -> Letter:
    """Return the dead letter of a bad record."""
    return dead_letter(
        record.record, record.reason, record.customers[0] if record.customers else None
    )


def dead_letter(record: ConsumerRecord, reason: str, customer_id: int | None) -> Letter:
    """Return the dead letter of a record."""
    return Letter(
        record.topic,
        record.partition,
        record.offset,
        record.key,
        record.value,
        reason,
        customer_id,
    )


def _entry(record: ConsumerRecord, months: Months) -> _Entry | BadRecord:
    """Return the parts of a record that a batch needs. The event itself is dropped."""
    found = read(record)
    if isinstance(found, BadRecord):
        return found
    arrived, event, fact = found
    repair = event.data.repair
    if repair is None or arrived.major != MAJOR:
        return _Entry(arrived, None, event.data.customer)
    try:
        placed = place(repair, months)
    except UncountableError:
        return _Entry(arrived, None, None, uncountable=True)
    return _Entry(arrived, row_of(event, repair, fact, placed), None)


def _part(customer_id: int, entries: Sequence[_Entry], rows: list[EventRow]) -> Part:
    """Return the part of these entries, ascending by revision. Append their rows to `rows`."""
    part = Part(customer_id, [one.arrived for one in entries])
    newest: dict[str, EventRow] = {}
    for one in entries:
        row = one.row
        if row is None:
            part.profile = one.profile or part.profile
            if one.uncountable:
                part.uncountable_at = one.arrived.revision
            continue
        before = newest.get(row.repair_id)
        if before is not None:
            before.newest = False
            row.recorded_at = before.recorded_at or before.accepted_at
        newest[row.repair_id] = row
        rows.append(row)
    return part


def _ascending(entries: list[_Entry]) -> list[_Entry]:
    """Return the entries by revision, each once. Entries that differ only in their id both stay.

    The first copy of a repeated event counts, as it does across batches: a later copy may have
    another body.
    """
    last = 0
    for one in entries:
        if one.arrived.revision <= last:
            break
        last = one.arrived.revision
    else:
        return entries
    once: dict[tuple[int, str], _Entry] = {}
    for one in entries:
        once.setdefault((one.arrived.revision, one.arrived.id), one)
    return sorted(once.values(), key=_BY_REVISION)
