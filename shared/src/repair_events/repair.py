"""A repair and a customer's profile, as an event carries them: whole, after the change."""

import hashlib

import msgspec


class Repair(msgspec.Struct, kw_only=True, frozen=True, gc=False):
    """One repair of one customer (design, section 4).

    `repair_date` is RFC 3339 in UTC, `cost` a decimal text with two places, ids are UUID texts.
    `status` is an open string on the wire, so that a new one is no broken message.
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
    """Return the name of a profile's state: made of what it says, for the list moves without it.

    Who shows a profile and who changes it must name its states alike, so the rule stands here.
    """
    return hashlib.sha256(msgspec.json.encode(customer)).hexdigest()[:32]
