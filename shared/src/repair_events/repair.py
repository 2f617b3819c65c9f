"""State in an event: a whole repair or a whole profile, after the change."""

import hashlib

import msgspec


class Repair(msgspec.Struct, kw_only=True, frozen=True, gc=False):
    """One repair of one customer.

    `repair_date` is RFC 3339 in UTC, `cost` a decimal text with two places, ids are UUID texts.
    `status` is an open string on the wire, so that a consumer accepts a new one.
    """

    repair_id: str
    customer_id: int
    unit_number: str
    repair_date: str
    status: str
    description: str = ""
    damage_type: str = ""
    cost: str = "0.00"
    technician: str = ""
    customer_notes: str = ""
    technician_notes: str = ""
    requested_by: str = "internal"
    batch_id: str | None = None
    source: str
    source_ref: str | None = None
    removed: bool = False


class Customer(msgspec.Struct, kw_only=True, frozen=True, gc=False):
    """The profile of a customer: the company, not its users."""

    customer_id: int
    name: str
    email: str = ""
    phone: str = ""
    address: str = ""
    city: str = ""
    state: str = ""
    postal_code: str = ""


def profile_tag(customer: Customer) -> str:
    """Return the tag of a profile's state: a hash of its content.

    The customer's revision also moves without the profile, so it cannot be the tag.
    Reads and commands must compute the same tag, so the rule is shared.
    """
    return hashlib.sha256(msgspec.json.encode(customer)).hexdigest()[:32]
