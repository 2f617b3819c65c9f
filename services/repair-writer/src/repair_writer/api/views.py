"""Representations of repairs and profiles for callers, field by field."""

from typing import Any

import msgspec

from repair_events.repair import Customer, Repair
from repair_writer.store.rows import HeldCustomer, HeldRepair


class RepairView(Repair, frozen=True, kw_only=True):
    """A repair as internal systems see it: everything, with its last revision and event."""

    revision: int
    event_id: str
    created_at: str
    changed_at: str


class PortalRepairView(msgspec.Struct, frozen=True, kw_only=True):
    """A repair as its customer sees it: no technician, no notes of the technicians."""

    repair_id: str
    unit_number: str
    repair_date: str
    status: str
    description: str
    damage_type: str
    cost: str
    customer_notes: str
    requested_by: str
    batch_id: str | None
    revision: int
    event_id: str
    created_at: str
    changed_at: str


class VisitView(msgspec.Struct, frozen=True, kw_only=True):
    """Repairs of a customer's request; several of them share an id."""

    batch_id: str | None
    repairs: list[PortalRepairView]


class DecisionView(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Result of one decision among many: the status that it alone would have, with its body."""

    repair_id: str
    status: int
    repair: PortalRepairView | None = None
    problem: dict[str, Any] | None = None


class DecisionsView(msgspec.Struct, frozen=True, kw_only=True):
    """Result of each decision, in the order of the request."""

    results: list[DecisionView]


class ProfileView(Customer, frozen=True, kw_only=True):
    """A customer's profile and revision. JavaScript's JSON.parse rounds a customer_id beyond 2^53."""

    revision: int
    changed_at: str


def repair_view(held: HeldRepair) -> RepairView:
    """Return the representation for internal systems."""
    return RepairView(
        **msgspec.structs.asdict(held.repair),
        revision=held.revision,
        event_id=held.event_id,
        created_at=held.created_at,
        changed_at=held.changed_at,
    )


def portal_repair_view(held: HeldRepair) -> PortalRepairView:
    """Return the representation for the customer."""
    repair = held.repair
    return PortalRepairView(
        repair_id=repair.repair_id,
        unit_number=repair.unit_number,
        repair_date=repair.repair_date,
        status=repair.status,
        description=repair.description,
        damage_type=repair.damage_type,
        cost=repair.cost,
        customer_notes=repair.customer_notes,
        requested_by=repair.requested_by,
        batch_id=repair.batch_id,
        revision=held.revision,
        event_id=held.event_id,
        created_at=held.created_at,
        changed_at=held.changed_at,
    )


def profile_view(held: HeldCustomer) -> ProfileView:
    """Return the representation of a profile for its customer and for internal systems."""
    return ProfileView(
        **msgspec.structs.asdict(held.customer),
        revision=held.revision,
        changed_at=held.changed_at,
    )
