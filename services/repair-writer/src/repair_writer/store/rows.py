"""Rows of the tables, as typed values."""

from datetime import UTC, datetime

import asyncpg
import msgspec

from repair_events.repair import Customer, Repair


class Head(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A customer's last revision (0: none yet), its event id, and the time of the change."""

    customer_id: int
    revision: int
    event_id: str | None
    changed_at: datetime


class EventRow(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One numbered event. `payload` is stored and sent byte for byte."""

    customer_id: int
    revision: int
    event_id: str
    repair_id: str | None
    type: str
    payload: bytes


class HeldRepair(msgspec.Struct, frozen=True, kw_only=True):
    """A repair with the revision and event of its last change. Times are RFC 3339, UTC."""

    repair: Repair
    revision: int
    event_id: str
    created_at: str
    changed_at: str


class HeldCustomer(msgspec.Struct, frozen=True, kw_only=True):
    """A customer's profile and the last revision of its stream."""

    customer: Customer
    revision: int
    changed_at: str


def moment_text(moment: datetime) -> str:
    """Return the canonical text of a moment: RFC 3339, UTC, without a fraction of zero."""
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


#: The columns of `writer.repair r` in the order in which `held_repair` reads them.
REPAIR_COLUMNS = """
    r.repair_id, r.customer_id, r.unit_number, r.repair_date, r.status, r.description,
    r.damage_type, r.cost, r.technician, r.customer_notes, r.technician_notes, r.requested_by,
    r.batch_id, r.source, r.source_ref, r.removed, r.revision, r.event_id, r.created_at,
    r.changed_at
"""


def held_repair(row: asyncpg.Record) -> HeldRepair:
    """Return the repair of a row with REPAIR_COLUMNS."""
    repair = Repair(
        repair_id=str(row["repair_id"]),
        customer_id=row["customer_id"],
        unit_number=row["unit_number"],
        repair_date=moment_text(row["repair_date"]),
        status=row["status"],
        description=row["description"],
        damage_type=row["damage_type"],
        cost=str(row["cost"]),
        technician=row["technician"],
        customer_notes=row["customer_notes"],
        technician_notes=row["technician_notes"],
        requested_by=row["requested_by"],
        batch_id=None if row["batch_id"] is None else str(row["batch_id"]),
        source=row["source"],
        source_ref=row["source_ref"],
        removed=row["removed"],
    )
    return HeldRepair(
        repair=repair,
        revision=row["revision"],
        event_id=str(row["event_id"]),
        created_at=moment_text(row["created_at"]),
        changed_at=moment_text(row["changed_at"]),
    )


#: The columns of `writer.customer` that `held_customer` reads.
CUSTOMER_COLUMNS = """
    customer_id, name, email, phone, address, city, state, postal_code, revision, changed_at
"""


def held_customer(row: asyncpg.Record) -> HeldCustomer:
    """Return the customer of a row with CUSTOMER_COLUMNS."""
    profile = Customer(
        customer_id=row["customer_id"],
        name=row["name"],
        email=row["email"],
        phone=row["phone"],
        address=row["address"],
        city=row["city"],
        state=row["state"],
        postal_code=row["postal_code"],
    )
    return HeldCustomer(
        customer=profile, revision=row["revision"], changed_at=moment_text(row["changed_at"])
    )
