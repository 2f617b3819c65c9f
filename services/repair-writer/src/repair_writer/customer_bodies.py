"""Request bodies that customers send through the portal."""

from collections.abc import Callable
from typing import Annotated, Final, Self

import msgspec
from pydantic import AfterValidator, Field, model_validator

from repair_events.ids import new_id
from repair_events.repair import Customer, Repair
from repair_writer.bodies import Body
from repair_writer.fields import (
    Address,
    Decided,
    Email,
    LongText,
    Postal,
    Reason,
    SeenTag,
    ShortText,
    UnitNumber,
    Uuid,
    VisitDate,
)

MAX_BREAKS: Final = 10
MAX_DECISIONS: Final = 100


class Break(Body):
    """One thing that is broken; it says at least in one word what."""

    damage_type: ShortText = ""
    description: LongText = ""

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if not (self.damage_type.strip() or self.description.strip()):
            raise ValueError("Say what is broken: its kind, or a description.")
        return self


class Visit(Body):
    """Request of a visit by a customer: one unit, and each break a repair of its own."""

    unit_number: UnitNumber
    repair_date: VisitDate | None = None
    customer_notes: LongText = ""
    breaks: Annotated[list[Break], Field(min_length=1, max_length=MAX_BREAKS)]

    def to_repairs(self, customer_id: int, *, now: str, source: str) -> list[Repair]:
        """Return the new repairs. If there are several, they share a new batch id."""
        batch_id = new_id() if len(self.breaks) > 1 else None
        return [
            Repair(
                repair_id=new_id(),
                customer_id=customer_id,
                unit_number=self.unit_number,
                repair_date=self.repair_date or now,
                status="REQUESTED",
                description=one.description,
                damage_type=one.damage_type,
                customer_notes=self.customer_notes,
                requested_by="customer",
                batch_id=batch_id,
                source=source,
            )
            for one in self.breaks
        ]


class CustomersDecision(Body):
    """Decision of a customer about a pending repair."""

    status: Decided
    reason: Reason | None = None


class SeenRepair(Body):
    """A repair to be decided, as it was seen."""

    repair_id: Uuid
    etag: SeenTag


def _each_once(repairs: "list[SeenRepair]") -> "list[SeenRepair]":
    if len({one.repair_id for one in repairs}) != len(repairs):
        raise ValueError("must name each repair once")
    return repairs


class ManyDecisions(Body):
    """One decision of many repairs, each bound to its own state."""

    status: Decided
    reason: Reason | None = None
    repairs: Annotated[
        list[SeenRepair],
        Field(min_length=1, max_length=MAX_DECISIONS),
        AfterValidator(_each_once),
    ]


class ProfilePatch(Body):
    """Changes of a customer's own profile: contact data, never the name."""

    email: Email = ""
    phone: ShortText = ""
    address: Address = ""
    city: ShortText = ""
    state: ShortText = ""
    postal_code: Postal = ""

    def changes(self) -> Callable[[Customer], Customer]:
        """Return a function that applies the given fields to the current profile."""
        given = self.model_dump(include=self.model_fields_set)
        return lambda customer: msgspec.structs.replace(customer, **given)
