"""What callers see: repairs and profiles as JSON, with the headers that go with them."""

import hashlib
from typing import Final

import msgspec
from fastapi.responses import Response

from repair_events.repair import Customer, Repair
from repair_writer.commands import Outcome
from repair_writer.store.rows import HeldCustomer, HeldRepair

REVISION_HEADER: Final = "Portal-Revision"
REPLAYED_HEADER: Final = "Idempotent-Replayed"
_CREATED: Final = 201
_OK: Final = 200


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


class ProfileView(Customer, frozen=True, kw_only=True):
    """A customer's profile, with the revision of the customer's list."""

    revision: int
    changed_at: str


def profile_tag(customer: Customer) -> str:
    """Return the name of a profile's state: made of what it says, for the list moves without it."""
    return hashlib.sha256(msgspec.json.encode(customer)).hexdigest()[:32]


def repair_view(held: HeldRepair) -> RepairView:
    """Return what internal systems see."""
    return RepairView(
        **msgspec.structs.asdict(held.repair),
        revision=held.revision,
        event_id=held.event_id,
        created_at=held.created_at,
        changed_at=held.changed_at,
    )


def portal_repair_view(held: HeldRepair) -> PortalRepairView:
    """Return what the customer sees."""
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
    """Return a profile as its customer and internal systems see it."""
    return ProfileView(
        **msgspec.structs.asdict(held.customer),
        revision=held.revision,
        changed_at=held.changed_at,
    )


def repair_answer(held: HeldRepair, *, portal: bool = False) -> Response:
    """Answer a read repair."""
    view = portal_repair_view(held) if portal else repair_view(held)
    return _answer(_OK, view, held.event_id, held.revision)


def profile_answer(held: HeldCustomer) -> Response:
    """Answer a read profile."""
    return _answer(_OK, profile_view(held), profile_tag(held.customer), held.revision)


def outcome_answer(outcome: Outcome, *, portal: bool = False) -> Response:
    """Answer a change: 201 for what is new, else 200, with the state after it."""
    status = _CREATED if outcome.created else _OK
    if outcome.customer is not None:
        held = outcome.customer
        tag, location = profile_tag(held.customer), f"/v1/customers/{held.customer.customer_id}"
        response = _answer(status, profile_view(held), tag, outcome.revision)
    else:
        assert outcome.repair is not None  # noqa: S101 - an outcome has one of the two
        view = portal_repair_view(outcome.repair) if portal else repair_view(outcome.repair)
        response = _answer(status, view, outcome.repair.event_id, outcome.revision)
        repair_id = outcome.repair.repair.repair_id
        location = f"/customer/api/repairs/{repair_id}/" if portal else f"/v1/repairs/{repair_id}"
    if outcome.created:
        response.headers["Location"] = location
    if outcome.replayed:
        response.headers[REPLAYED_HEADER] = "true"
    return response


def _answer(status: int, view: object, tag: str, revision: int) -> Response:
    return Response(
        msgspec.json.encode(view),
        status_code=status,
        media_type="application/json",
        headers={
            "ETag": f'"{tag}"',
            REVISION_HEADER: str(revision),
            "Cache-Control": "private, no-cache",
        },
    )
