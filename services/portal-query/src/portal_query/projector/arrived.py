"""Records of the topic, decoded: an event, or a bad record with the reason. Pure."""

from typing import Final

import msgspec

from repair_events import topic
from repair_events.event import BadEventError, Event, decode, fact_of
from service_runtime.kafka import ConsumerRecord

_LARGEST_ID: Final = 2**63 - 1
_LONGEST_ID: Final = len(str(_LARGEST_ID))


class Arrived(msgspec.Struct, frozen=True, gc=False):
    """An event's place in its customer's stream, with the record that carried it.

    The decoded event is dropped: tens of thousands wait here, and the record holds it all.
    """

    customer_id: int
    revision: int
    id: str
    previous: str | None
    time: str
    major: int
    record: ConsumerRecord


class BadRecord(msgspec.Struct, frozen=True, gc=False):
    """A record that is no event of a stream, the reason, and the customers it seems to name."""

    record: ConsumerRecord
    reason: str
    customers: tuple[int, ...]


class _NamedData(msgspec.Struct):
    customer_id: int


class _Named(msgspec.Struct):
    data: _NamedData


_named = msgspec.json.Decoder(_Named)


def read(record: ConsumerRecord) -> tuple[Arrived, Event, str] | BadRecord:
    """Return the event's place, the event and its fact, or a BadRecord. Never raise."""
    if record.value is None:
        return _bad(record, "the record has no value")
    try:
        event = decode(record.value)
        fact, major = fact_of(event.type)
    except BadEventError as error:
        return _bad(record, str(error))
    data = event.data
    if data.customer_id > _LARGEST_ID or data.revision > _LARGEST_ID:
        return _bad(record, "customer_id or revision is larger than 64 bits hold")
    if record.key != topic.key(data.customer_id):
        return _bad(record, "the key is not the customer of the event")
    arrived = Arrived(
        data.customer_id, data.revision, event.id, data.previous, event.time, major, record
    )
    return arrived, event, fact


def _bad(record: ConsumerRecord, reason: str) -> BadRecord:
    customers = {_customer_of_key(record.key), _customer_of_value(record.value)} - {None}
    named = tuple(sorted(one for one in customers if one is not None and 0 < one <= _LARGEST_ID))
    return BadRecord(record, reason[:500], named)


def _customer_of_key(key: bytes | None) -> int | None:
    return int(key) if key is not None and len(key) <= _LONGEST_ID and key.isdigit() else None


def _customer_of_value(value: bytes | None) -> int | None:
    try:
        return _named.decode(value or b"").data.customer_id
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
