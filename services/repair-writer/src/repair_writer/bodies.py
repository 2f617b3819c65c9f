"""Request bodies of internal systems, and the parser for all bodies.

Unknown fields are rejected. Types are not converted.
"""

import re
from typing import Any, Final, TypeVar

import jiter
from pydantic import (
    BaseModel,
    ConfigDict,
    ValidationError,
)
from pydantic_core import ErrorDetails

from repair_events.repair import Customer, Repair
from repair_writer.fields import (
    Address,
    Bounds,
    Cost,
    CustomerId,
    Email,
    LongText,
    Name,
    OccurredAt,
    Postal,
    Reason,
    RepairDate,
    RequestedBy,
    ShortText,
    Source,
    SourceRef,
    Status,
    UnitNumber,
    Uuid,
)
from repair_writer.repair import ChangeStatus, Command, Correct, Remove, Restore

#: Fields that a correction may set. The status has a separate command.
CORRECTABLE: Final = frozenset(
    {
        "customer_id", "unit_number", "repair_date", "description", "damage_type", "cost",
        "technician", "customer_notes", "technician_notes", "batch_id",
    }
)  # fmt: skip


class Body(BaseModel):
    """Strict: no unknown field, no text for a number."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class NewRepair(Body):
    """A repair as an internal system records it."""

    customer_id: CustomerId
    unit_number: UnitNumber
    repair_date: RepairDate
    status: Status = "REQUESTED"
    description: LongText = ""
    damage_type: ShortText = ""
    cost: Cost = "0.00"
    technician: ShortText = ""
    customer_notes: LongText = ""
    technician_notes: LongText = ""
    requested_by: RequestedBy = "internal"
    batch_id: Uuid | None = None
    source: Source | None = None
    source_ref: SourceRef | None = None
    occurred_at: OccurredAt | None = None

    def to_repair(self, repair_id: str, source: str) -> Repair:
        """Return the repair with its new id. `source` applies if the body names none."""
        return Repair(
            repair_id=repair_id,
            customer_id=self.customer_id,
            unit_number=self.unit_number,
            repair_date=self.repair_date,
            status=self.status,
            description=self.description,
            damage_type=self.damage_type,
            cost=self.cost,
            technician=self.technician,
            customer_notes=self.customer_notes,
            technician_notes=self.technician_notes,
            requested_by=self.requested_by,
            batch_id=self.batch_id,
            source=self.source or source,
            source_ref=self.source_ref,
        )


class ImportedRepair(NewRepair):
    """One line of an import: the reference is what makes it repeatable.

    A field that is left out keeps what is there, or its default when the repair is new.
    """

    source_ref: SourceRef

    def given(self) -> dict[str, Any]:
        """Return the fields that the line sets, in the form of `Restate.given`."""
        stated = self.model_fields_set & _RESTATABLE
        return {name: getattr(self, name) for name in stated}


_RESTATABLE: Final = CORRECTABLE | {"status", "requested_by"}


class ChangeBody(Body):
    """A change of a repair that is there."""

    occurred_at: OccurredAt | None = None

    def command(self) -> Command:
        """Return the command for `decide`."""
        raise NotImplementedError


class NewStatus(ChangeBody):
    """Another status of a repair."""

    status: Status
    reason: Reason | None = None

    def command(self) -> Command:
        """Return the change of status."""
        return ChangeStatus(status=self.status, reason=self.reason)


class Correction(ChangeBody):
    """Correction of a repair; only the given fields change."""

    customer_id: CustomerId = 1
    unit_number: UnitNumber = "-"
    repair_date: RepairDate = ""
    description: LongText = ""
    damage_type: ShortText = ""
    cost: Cost = "0.00"
    technician: ShortText = ""
    customer_notes: LongText = ""
    technician_notes: LongText = ""
    batch_id: Uuid | None = None
    reason: Reason | None = None

    def command(self) -> Command:
        """Return the correction of the given fields."""
        given = {name: getattr(self, name) for name in self.model_fields_set & CORRECTABLE}
        return Correct(given=given, reason=self.reason)


class Removal(ChangeBody):
    """Removal of a repair from the counts, with its reason."""

    reason: Reason

    def command(self) -> Command:
        """Return the removal."""
        return Remove(reason=self.reason)


class Restoration(ChangeBody):
    """Restoration of a removed repair to the counts, with an optional reason."""

    reason: Reason | None = None

    def command(self) -> Command:
        """Return the restoration."""
        return Restore(reason=self.reason)


class Profile(Body):
    """A customer's profile, whole."""

    name: Name
    email: Email = ""
    phone: ShortText = ""
    address: Address = ""
    city: ShortText = ""
    state: ShortText = ""
    postal_code: Postal = ""
    occurred_at: OccurredAt | None = None

    def to_customer(self, customer_id: int) -> Customer:
        """Return the profile of this customer."""
        return Customer(customer_id=customer_id, **self.model_dump(exclude={"occurred_at"}))


BodyT = TypeVar("BodyT", bound=Body)


class BadBodyError(Exception):
    """The bytes are not a valid body.

    `errors` lists the bad fields. It is empty when the bytes are not valid JSON.
    """

    def __init__(self, detail: str, errors: list[dict[str, str]]) -> None:
        super().__init__(detail)
        self.detail = detail
        self.errors = errors


#: The bound keeps the response to a body of unknown fields smaller than the body.
_MAX_ERRORS: Final = 100
#: Twice the members of the largest body, a hundred decisions: each could become an error.
_MAX_MEMBERS: Final = 500
# Each comma outside a string comes before a member, and so does each opening bracket, unless it is
# closed at once. The pattern reads white space behind a bracket twice, all else once.
_TOO_MANY_MEMBERS: Final = re.compile(
    rb"""\s*+(?=[\[{])
    (?: (?: [^",\[{]++ | "(?:[^"\\]++|\\.)*+" | [\[{]\s*+[\]}] )*+ [,\[{] ){%d}"""
    % (_MAX_MEMBERS + 1),
    re.DOTALL | re.VERBOSE,
)

#: `named` is the singular name of a list's items. No list requires more than one item.
_SAY: Final = {
    "extra_forbidden": "This field is not known here.",
    "missing": "This field is required.",
    "model_type": "The body must be a JSON object.",
    "string_too_short": "must not be empty",
    "string_too_long": "must have at most {max_length} characters",
    "too_short": "must name at least one {named}",
    "too_long": "must name at most {max_length} {named}s",
    "literal_error": "must be {expected}",
}


def parse(model: type[BodyT], data: bytes, bounds: Bounds) -> BodyT:
    """Return the validated body of these bytes.

    Raises BadBodyError with at most 100 errors, each with a `pointer` and a `detail`.
    """
    _check_members(data)
    try:
        return model.model_validate_json(data, context=bounds)
    except ValidationError as error:
        faults = error.errors(include_url=False, include_input=False)
    if faults[0]["type"] == "json_invalid":
        where = faults[0].get("ctx", {}).get("error", "it is no JSON")
        raise BadBodyError(f"This is not JSON: {where}.", [])
    raise BadBodyError(
        "Every bad field is named in errors; nothing was changed.",
        [
            {
                "pointer": "".join(f"/{_escaped(str(part))}" for part in fault["loc"])[:200],
                "detail": _said(fault),
            }
            for fault in faults[:_MAX_ERRORS]
        ],
    )


def _check_members(data: bytes) -> None:
    """Raise BadBodyError for more than 500 members or for a duplicate key.

    Pydantic would use the last of two values, and report an error for every unknown member. Members
    are counted in the text: a list of 80 000 lists is not built, which costs collections of garbage.
    """
    if _TOO_MANY_MEMBERS.match(data):
        detail = f"This JSON has more than {_MAX_MEMBERS} members; no body here has as many."
        raise BadBodyError(detail, [])
    try:
        jiter.from_json(data, catch_duplicate_keys=True)
    except ValueError as error:
        if not str(error).startswith("Detected duplicate key"):
            return  # not JSON: pydantic reports the position
        where = str(error).removeprefix("Detected duplicate key ")[:200]
        raise BadBodyError(f"This JSON gives the key {where} twice; give it once.", []) from None


def _said(fault: ErrorDetails) -> str:
    """Return the fault as a sentence that a person at a form understands."""
    words = _SAY.get(fault["type"], "")
    named = "".join(map(str, fault["loc"][-1:])).removesuffix("s")
    return words.format(**fault.get("ctx", {}), named=named) or fault["msg"].removeprefix(
        "Value error, "
    )


def _escaped(part: str) -> str:
    return part.replace("~", "~0").replace("/", "~1")
