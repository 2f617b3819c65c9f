"""Event codec: one numbered fact of a customer's stream, as a CloudEvent in JSON.

The data carries the customer, the revision, the id of the preceding event and the whole state after
the change.
Within major version 1 only optional fields are added; consumers ignore unknown fields.
This module does no I/O.
"""

import re
from typing import Final

import msgspec

from repair_events.repair import Customer, Repair

TYPE_PREFIX: Final = "com.rswindrepair."
MAJOR: Final = 1

RECORDED: Final = "recorded"
REQUESTED: Final = "requested"
STATUS_CHANGED: Final = "status-changed"
CORRECTED: Final = "corrected"
REMOVED: Final = "removed"
RESTORED: Final = "restored"
PROFILE_CHANGED: Final = "profile-changed"

REPAIR_FACTS: Final = (RECORDED, REQUESTED, STATUS_CHANGED, CORRECTED, REMOVED, RESTORED)
FACTS: Final = (*REPAIR_FACTS, PROFILE_CHANGED)

_MAX_NUMBER: Final = 2**63 - 1

_TYPE: Final = re.compile(
    r"com\.rswindrepair\.(?:repair|customer)\.(?P<fact>[a-z][a-z-]*)\.v(?P<major>[1-9][0-9]*)"
)


class BadEventError(ValueError):
    """The bytes are not an event of this system; the message names the reason in one line."""


class EventData(msgspec.Struct, kw_only=True, frozen=True, gc=False):
    """Facts of an event: exactly one of `repair` and `customer` is set.

    `previous` is the id of event `revision - 1` of the same customer, null for revision 1.
    `occurred_at` comes from the publisher; `actor` is `internal:<client>` or `customer:<user>`.
    """

    customer_id: int
    revision: int
    previous: str | None
    occurred_at: str
    actor: str
    reason: str | None = None
    repair: Repair | None = None
    customer: Customer | None = None


class Event(msgspec.Struct, kw_only=True, frozen=True, gc=False, omit_defaults=True):
    """The CloudEvents 1.0 envelope, structured JSON mode; `time` is the time of acceptance.

    An absent `traceparent` is left out of the JSON; the two constants are always written.
    They come from factories, because `omit_defaults` leaves out plain defaults only.
    """

    id: str
    source: str
    type: str
    subject: str
    time: str
    data: EventData
    specversion: str = msgspec.field(default_factory=lambda: "1.0")
    datacontenttype: str = msgspec.field(default_factory=lambda: "application/json")
    traceparent: str | None = None


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(Event)


def event_type(fact: str) -> str:
    """Return the CloudEvents type of a fact, such as `com.rswindrepair.repair.recorded.v1`."""
    noun = "customer" if fact == PROFILE_CHANGED else "repair"
    return f"{TYPE_PREFIX}{noun}.{fact}.v{MAJOR}"


#: Known facts by their whole type: the fast path of `fact_of`.
_KNOWN_TYPES: Final = {event_type(fact): (fact, MAJOR) for fact in FACTS}


def fact_of(type_: str) -> tuple[str, int]:
    """Return the fact and the major version of an event's type.

    Raises BadEventError for a type of another system.
    """
    known = _KNOWN_TYPES.get(type_)
    if known is not None:
        return known
    match = _TYPE.fullmatch(type_)
    if match is None:
        raise BadEventError(f"type {type_[:100]!r} is none of ours")
    return match["fact"], int(match["major"])


def encode(event: Event) -> bytes:
    """Return the event as UTF-8 JSON: the bytes that are stored and sent."""
    return _encoder.encode(event)


def decode(payload: bytes) -> Event:
    """Return the event of these bytes; ignore unknown fields.

    Raises BadEventError for bytes that are no JSON, lack a field or contradict themselves.
    It checks the shape alone; the consumer checks the revision.
    """
    try:
        event = _decoder.decode(payload)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadEventError(str(error)) from error
    data = event.data
    if event.specversion != "1.0":
        raise BadEventError(f"specversion is {event.specversion[:20]!r}, not '1.0'")
    if not (0 < data.customer_id <= _MAX_NUMBER and 0 < data.revision <= _MAX_NUMBER):
        raise BadEventError("customer_id and revision must lie between 1 and 2**63 - 1")
    if (data.previous is None) != (data.revision == 1):
        raise BadEventError("previous must be null for revision 1, and only for it")
    subject = data.repair if data.repair is not None else data.customer
    if subject is None or (data.repair is not None and data.customer is not None):
        raise BadEventError("data must hold either a repair or a customer")
    if subject.customer_id != data.customer_id:
        raise BadEventError("the state belongs to another customer than the event")
    return event
