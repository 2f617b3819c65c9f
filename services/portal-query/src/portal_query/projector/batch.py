"""What one transaction needs, made from what arrived: parts by customer, rows, packed text. Pure.

Everything that can be done before the customers are locked is done here, while the transaction
before it runs.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from operator import attrgetter
from typing import Final

from portal_query.counting import Buckets, UncountableError, place
from portal_query.projector.arrived import Arrived, BadRecord
from portal_query.projector.positions import Mark
from portal_query.read_model.folding import Profile, Step
from portal_query.read_model.letters import Letter
from portal_query.read_model.rows import EventRow, pack
from repair_events.event import MAJOR, Event
from repair_events.month import Months
from repair_events.repair import Customer, Repair
from service_runtime.kafka import ConsumerRecord

_BY_REVISION: Final = attrgetter("event.data.revision")


@dataclass(slots=True)
class Part:
    """One customer's share of a batch: its events ascending by revision, and their rows.

    `uncountable_at` is the highest revision whose repair cannot be counted; it has no row.
    """

    customer_id: int
    arrived: list[Arrived] = field(default_factory=list)
    rows: list[EventRow] = field(default_factory=list)
    profile: Customer | None = None
    uncountable_at: int = 0

    @property
    def step(self) -> Step:
        """Where the customer stands when all of this has been applied."""
        event = self.arrived[-1].event
        return Step(self.customer_id, event.data.revision, event.id, event.time)


@dataclass(slots=True)
class Batch:
    """What is applied together.

    `marks` says, per partition, up to where records have come when this has been applied.
    """

    parts: dict[int, Part]
    bad: list[BadRecord]
    records: int
    marks: Mapping[int, Mark]
    packed: str = ""


def prepare(
    items: Sequence[Arrived | BadRecord],
    marks: Mapping[int, Mark],
    months: Months,
) -> Batch:
    """Make a batch of these records, which may come in any order and more than once."""
    parts: dict[int, Part] = {}
    bad: list[BadRecord] = []
    for item in items:
        if isinstance(item, Arrived):
            customer = item.event.data.customer_id
            part = parts.get(customer)
            if part is None:
                part = parts[customer] = Part(customer)
            part.arrived.append(item)
        else:
            bad.append(item)
    ordered = dict(sorted(parts.items()))
    for part in ordered.values():
        _fill(part, months)
    return Batch(ordered, bad, len(items), marks, pack_parts(ordered.values()))


def pack_parts(parts: Iterable[Part]) -> str:
    """Return the rows of these parts as one statement takes them."""
    return pack([row for part in parts for row in part.rows])


def without(part: Part, skip: int) -> Part:
    """Return the part without its first `skip` events."""
    arrived = part.arrived[skip:]
    first = arrived[0].event.data.revision
    rows = [row for row in part.rows if row.revision >= first]
    return Part(part.customer_id, arrived, rows, part.profile, part.uncountable_at)


def row_of(event: Event, repair: Repair, fact: str, placed: Buckets) -> EventRow:
    """Return the row of one event of a repair that stands at `placed`.

    What a customer must not see (the technician and their notes, reasons that are the company's
    own) is not copied.
    """
    data = event.data
    by_customer = data.actor.startswith("customer:")
    return EventRow(
        customer_id=data.customer_id,
        revision=data.revision,
        event_id=event.id,
        fact=fact,
        occurred_at=data.occurred_at,
        accepted_at=event.time,
        by="customer" if by_customer else "company",
        reason=data.reason if by_customer else None,
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
        batch_id=repair.batch_id,
        removed=repair.removed,
        recorded_at=event.time,
    )


def profile_of(customer: Customer) -> Profile:
    """Return the profile as the read model keeps it."""
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
    """Return a record as a dead letter."""
    return Letter(
        record.topic,
        record.partition,
        record.offset,
        record.key,
        record.value,
        reason,
        customer_id,
    )


def _fill(part: Part, months: Months) -> None:
    """Order the part's events, drop repetitions, and make the rows."""
    part.arrived = _ascending(part.arrived)
    newest: dict[str, EventRow] = {}
    for one in part.arrived:
        data = one.event.data
        if data.customer is not None:
            part.profile = data.customer
        if data.repair is None or one.major != MAJOR:
            continue
        try:
            placed = place(data.repair, months)
        except UncountableError:
            part.uncountable_at = data.revision
            continue
        row = row_of(one.event, data.repair, one.fact, placed)
        before = newest.get(row.repair_id)
        if before is not None:
            before.newest = False
            row.recorded_at = before.recorded_at
        newest[row.repair_id] = row
        part.rows.append(row)


def _ascending(arrived: list[Arrived]) -> list[Arrived]:
    """Return the events by revision, each once; two that share a revision but no id both stay."""
    last = 0
    for one in arrived:
        if one.event.data.revision <= last:
            break
        last = one.event.data.revision
    else:
        return arrived
    once = {(one.event.data.revision, one.event.id): one for one in arrived}
    return sorted(once.values(), key=_BY_REVISION)
